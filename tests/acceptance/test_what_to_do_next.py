"""Whoever reads a message knows what to type next, from where they stand, and it never costs by mistake."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import QUICK, Cli, listed, numbered

BATCH = f"provider: tu-zi\nproviders: {{tu-zi: {{base_url: simulator, {QUICK}}}}}\njobs:\n"
REFUSED = "  - {id: odd, prompt: 'simulate:refusal'}\n"


def test_status_says_what_to_do_about_jobs_that_are_not_done(cli: Cli) -> None:
    cli.write("jobs/a.yaml", BATCH + REFUSED + listed(numbered(2)))
    cli.run("run", "jobs/a.yaml", "--limit", "2", code=3)
    assert cli.run("status", "out/a").stdout.splitlines()[-2:] == [
        "next      batchgen run jobs/a.yaml",
        "next      batchgen jobs out/a --state refused",
    ]
    cli.run("run", "jobs/a.yaml", "--no-download", code=1)
    assert "next      batchgen fetch out/a" in cli.run("status", "out/a").stdout
    cli.write("b.yaml", BATCH + listed(numbered(1)))
    cli.run("run", "b.yaml", code=0)
    assert "next" not in cli.run("status", "b.yaml").stdout


def test_retry_and_fetch_name_the_manifest_where_it_is_and_the_workspace_if_it_is_another(cli: Cli) -> None:
    cli.write("jobs/a.yaml", BATCH + REFUSED)
    cli.run("run", "jobs/a.yaml", code=1)
    cli.run("run", "jobs/a.yaml", "--workspace", "else", code=1)
    assert "&& batchgen run jobs/a.yaml\n" in cli.run("fetch", "out/a", code=0).stderr
    assert cli.run("retry", "out/a", "--state", "refused").stderr.endswith(": batchgen run jobs/a.yaml\n")
    assert cli.run("retry", "else", "--state", "refused").stderr.endswith(
        ": batchgen run jobs/a.yaml --workspace else\n"
    )


@pytest.mark.parametrize("night", [(), ("--night", "bad")])
def test_a_rehearsal_goes_on_as_a_rehearsal_and_never_for_money(cli: Cli, night: tuple[str, ...]) -> None:
    cli.write("a.yaml", "provider: tu-zi\njobs:\n" + REFUSED)
    cli.run("run", "a.yaml", "--rehearse", *night, code=1)
    told = cli.run("retry", "out/a.rehearsal", "--state", "refused,failed,held,expired").stderr
    assert told.strip().endswith(" ".join(["batchgen run a.yaml --rehearse", *night]))


def test_verify_and_an_empty_list_say_what_there_is_to_do(cli: Cli) -> None:
    cli.write("a.yaml", BATCH + listed(numbered(2)))
    cli.run("run", "a.yaml", code=0)
    assert "no job is like that; batchgen status" in cli.run("jobs", "a.yaml", "--state", "held").stderr
    (cli.folder / "out/a/images/job-000.png").unlink()
    (cli.folder / "out/a/images/mine.png").touch()
    told = cli.run("verify", "a.yaml", code=1).stdout
    assert "comes again, for free, where its link still lives: batchgen run a.yaml\n" in told
    assert "made anew, and paid: batchgen retry out/a --state done --id JOB\n" in told
    assert "keep it elsewhere, or delete it" in told
    assert "next:" not in cli.run("verify", "out/a", "--json", code=1).stdout


def test_a_run_does_not_keep_quiet_about_a_saved_image_that_is_gone_and_can_not_be_fetched(cli: Cli) -> None:
    inline = f"provider: modelverse\nproviders: {{modelverse: {{base_url: simulator, {QUICK}}}}}\njobs:\n"
    cli.write("a.yaml", inline + listed(numbered(2)))
    assert "gone" not in cli.run("run", "a.yaml", code=0).stderr
    (cli.folder / "out/a/images/job-000.png").unlink()
    told = cli.run("run", "a.yaml", code=0).stderr
    assert "saved images that are gone, and that no link brings back: 1; batchgen verify out/a names them" in told
    cli.run("retry", "out/a", "--state", "done", "--id", "job-000", code=0)
    assert "gone" not in cli.run("run", "a.yaml", code=0).stderr
    cli.run("verify", "a.yaml", code=0)


def test_after_the_budget_was_reached_the_next_step_is_a_run_that_may_spend_more(cli: Cli) -> None:
    priced = BATCH.replace("base_url", "prices: {gpt-image-1-vip: 0.03}, base_url")
    cli.write("a.yaml", priced + REFUSED + listed(numbered(4)))
    again = "batchgen run a.yaml --max-cost AMOUNT"
    told = cli.run("run", "a.yaml", "--max-cost", "0.06", "--concurrency", "1", code=3).stderr
    assert f"  -> {again}\n" in told
    assert "--max-cost 0.06" not in told
    assert f"next      {again}\n" in cli.run("status", "a.yaml").stdout
    assert cli.run("retry", "a.yaml", "--state", "refused").stderr.endswith(f": {again}\n")
    cli.run("run", "a.yaml", "--limit", "1", "--max-cost", "1", code=3)
    assert "AMOUNT" not in cli.run("status", "a.yaml").stdout
