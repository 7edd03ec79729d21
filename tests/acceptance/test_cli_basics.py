"""The command line as a user meets it: help, mistakes, the way from a starter manifest to verified images."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchgen.cli import COMMANDS
from tests.acceptance.conftest import Cli

ONE = "provider: simulator\njobs:\n  - {id: cat, prompt: a cat}\n"
PAID = "provider: tu-zi\njobs:\n  - {id: cat, prompt: a cat}\n"


@pytest.fixture
def batch(cli: Cli) -> str:
    """The workspace of a batch of two jobs: one is done, one refused."""
    cli.write(
        "two.yaml",
        f"{ONE}  - {{id: bad, prompt: 'simulate:refusal'}}\n",
    )
    cli.run("run", "two.yaml", "--quiet", code=1)
    return "out/two"


def test_help_lists_every_command_and_each_has_help_of_its_own(cli: Cli) -> None:
    text = cli.run("--help", code=0).stdout
    listed = re.findall(r"^  (\w+) ", text.split("Commands:\n")[1], flags=re.M)
    assert listed == list(COMMANDS)
    for command in listed:
        assert cli.run(command, "--help", code=0).stdout.startswith(f"Usage: batchgen {command} [OPTIONS]")


def test_an_unknown_command_is_a_mistake_with_a_suggestion(cli: Cli) -> None:
    assert "did you mean 'status'?" in cli.run("stauts", code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--workers", "4"), "--workers goes with --engine ray"),
        (("--address", "auto"), "--address goes with --engine ray"),
        (("--engine", "dask"), "'dask' is not one of 'local', 'ray'"),
    ],
    ids=lambda words: words[0],
)
def test_an_option_of_a_cluster_without_one_is_refused_in_one_line(cli: Cli, words: tuple[str, ...], said: str) -> None:
    cli.write("one.yaml", ONE)
    done = cli.run("run", "one.yaml", *words, code=2)
    assert said in done.stderr
    assert not (cli.folder / "out").exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="only where ray is not installed")
def test_an_engine_whose_extra_is_missing_says_which(cli: Cli) -> None:
    cli.write("one.yaml", ONE)
    done = cli.run("run", "one.yaml", "--engine", "ray", code=2)
    assert done.stderr == "--engine ray needs the extra 'ray': pip install 'batchgen[ray]'\n"
    assert not (cli.folder / "out").exists()


def test_the_starter_runs_as_it_is_and_everything_it_makes_verifies(cli: Cli) -> None:
    cli.run("init", code=0)
    plan = cli.json("plan", "jobs.yaml")
    assert plan["jobs"] == {"new": 5, "changed": 0, "unchanged": 0, "removed": 0}
    assert plan["images"] == 6
    done = cli.run("run", "jobs.yaml", code=0)
    assert done.stdout == ""
    assert "jobs: all 5 jobs done" in done.stderr
    assert cli.json("verify", "jobs.yaml") == {
        "checked": 6,
        "missing": [],
        "changed": [],
        "unknown": [],
        "leftovers": [],
    }
    assert cli.json("plan", "jobs.yaml")["requests"] == 0


def test_the_starter_tells_editors_of_the_schema_and_how_to_make_it(cli: Cli) -> None:
    first, second = cli.run("init", "-", code=0).stdout.splitlines()[:2]
    (schema,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", first)
    (words,) = re.findall(rf"batchgen (\w+) > {re.escape(schema)}\)$", second)
    assert json.loads(cli.run(words, code=0).stdout)["title"] == "batchgen manifest"


def test_the_starter_is_never_written_over_a_file(cli: Cli) -> None:
    cli.write("jobs.yaml", "mine")
    assert "jobs.yaml exists" in cli.run("init", code=2).stderr
    assert (cli.folder / "jobs.yaml").read_text() == "mine"


def test_the_starter_goes_to_stdout_when_asked(cli: Cli) -> None:
    assert "provider: simulator" in cli.run("init", "-", code=0).stdout
    assert list(cli.folder.iterdir()) == []


def test_a_missing_key_is_said_before_anything_is_made(cli: Cli) -> None:
    cli.write("paid.yaml", PAID)
    assert cli.run("run", "paid.yaml", code=2).stderr == (
        "provider 'tu-zi' needs the environment variable TUZI_API_KEY: "
        "export it, or play the batch through without a key: run --rehearse\n"
    )
    assert not (cli.folder / "out").exists()


def test_a_plan_warns_of_a_missing_key_and_makes_nothing(cli: Cli) -> None:
    cli.write("paid.yaml", PAID)
    assert any("TUZI_API_KEY" in warning for warning in cli.json("plan", "paid.yaml")["warnings"])
    assert not (cli.folder / "out").exists()


def test_every_mistake_of_a_manifest_is_a_line_and_nothing_is_made(cli: Cli) -> None:
    cli.write(
        "bad.yaml", "provider: simulator\njobs:\n  - {id: a, promt: x}\n  - {id: b, prompt: y, ratio: wide}\n"
    )
    for command in ("plan", "run"):
        lines = cli.run(command, "bad.yaml", code=2).stderr.splitlines()
        assert any(line.startswith("bad.yaml:3:") and "'promt'" in line for line in lines)
        assert any(line.startswith("bad.yaml:4:") and "'wide'" in line for line in lines)
    assert not (cli.folder / "out").exists()


@pytest.mark.parametrize("command", ["status", "jobs", "retry", "fetch", "verify"])
def test_a_place_that_is_no_workspace_is_a_mistake_that_says_what_is_missing(cli: Cli, command: str) -> None:
    cli.write("one.yaml", ONE)
    assert "has no workspace yet" in cli.run(command, "one.yaml", code=2).stderr
    assert "does not exist" in cli.run(command, "nowhere", code=2).stderr
    assert "is no workspace" in cli.run(command, ".", code=2).stderr
    assert not (cli.folder / "out").exists()


def test_status_counts_every_state(cli: Cli, batch: str) -> None:
    status = cli.json("status", batch)
    assert status["jobs"]["total"] == 2
    assert (status["jobs"]["done"], status["jobs"]["refused"], status["jobs"]["pending"]) == (1, 1, 0)
    assert status["outputs"]["saved"] == 1
    assert status == cli.json("status", "two.yaml")
    assert "1 done, 1 refused (of 2)" in cli.run("status", batch, code=0).stdout


def test_jobs_come_in_manifest_order_one_object_a_line(cli: Cli, batch: str) -> None:
    cat, bad = cli.jobs(batch)
    assert (cat["id"], cat["state"], cat["error"]) == ("cat", "done", None)
    assert (bad["id"], bad["state"], bad["error"]["kind"]) == ("bad", "refused", "refused")
    assert (cli.folder / batch / cat["outputs"][0]["path"]).is_file()


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--state", "refused,held"), ["bad"]),
        (("--error", "refus*"), ["bad"]),
        (("--id", "c*"), ["cat"]),
        (("--provider", "simulator", "--model", "sim-*"), ["cat", "bad"]),
        (("--state", "failed"), []),
    ],
    ids=str,
)
def test_filters_narrow_the_list(cli: Cli, batch: str, words: tuple[str, ...], ids: list[str]) -> None:
    assert [job["id"] for job in cli.jobs(batch, *words)] == ids


def test_the_table_for_people_has_a_line_a_job_and_says_why(cli: Cli, batch: str) -> None:
    head, cat, bad = cli.run("jobs", batch, code=0).stdout.splitlines()
    assert head.split()[:3] == ["id", "state", "model"]
    assert cat.endswith((".png", ".jpg", ".jpeg", ".webp"))
    assert "refused: " in bad


def test_an_unknown_state_is_named_with_those_that_exist(cli: Cli, batch: str) -> None:
    assert "the states are pending, running" in cli.run("jobs", batch, "--state", "lost", code=2).stderr


def test_the_summary_names_the_job_that_is_not_done_and_the_command_for_it(cli: Cli, batch: str) -> None:
    text = cli.run("run", "two.yaml", "--quiet", code=1).stderr
    assert "1 refused by the content policy" in text
    assert "\n  bad  " in text
    assert "batchgen retry out/two --state refused && batchgen run two.yaml" in text


def test_retry_leaves_refused_jobs_alone_unless_they_are_asked_for(cli: Cli, batch: str) -> None:
    told = cli.run("retry", batch, code=0).stderr
    assert "nothing to retry among failed, expired, cancelled; 1 is refused: add --state refused" in told
    assert "1 job: 1 is sent again (paid): batchgen run" in cli.run("retry", batch, "--state", "refused", code=0).stderr
    assert cli.json("status", batch)["jobs"]["pending"] == 1


def test_retry_of_jobs_that_are_not_at_an_end_is_a_mistake(cli: Cli, batch: str) -> None:
    told = cli.run("retry", batch, "--state", "pending", code=2).stderr
    assert "pending" in told
    assert cli.json("status", batch)["jobs"]["refused"] == 1


def test_without_download_the_images_wait_for_fetch(cli: Cli) -> None:
    cli.write("one.yaml", ONE)
    cli.run("run", "one.yaml", "--no-download", code=0)
    assert cli.json("status", "one.yaml")["jobs"]["generated"] == 1
    cli.run("fetch", "one.yaml", "--every", "10m", "--concurrency", "2", code=0)
    assert cli.json("status", "one.yaml")["jobs"]["done"] == 1


def test_verify_finds_what_was_deleted_changed_or_added(cli: Cli, batch: str) -> None:
    image = next((cli.folder / batch / "images").glob("cat.*"))
    (image.parent / "stranger.png").write_bytes(b"?")
    image.write_bytes(b"other")
    answer = json.loads(cli.run("verify", batch, "--json", code=1).stdout)
    assert answer["changed"] == [f"images/{image.name}"]
    assert answer["unknown"] == ["images/stranger.png"]
    image.unlink()
    assert f"missing   images/{image.name}" in cli.run("verify", batch, code=1).stdout


def test_another_workspace_can_be_chosen(cli: Cli) -> None:
    cli.write("one.yaml", ONE)
    cli.run("run", "one.yaml", "--workspace", "elsewhere", code=0)
    assert not (cli.folder / "out").exists()
    assert cli.json("status", "elsewhere")["jobs"]["done"] == 1
    assert cli.json("status", "one.yaml", "--workspace", "elsewhere")["jobs"]["done"] == 1


def test_a_limit_leaves_with_3_and_says_that_jobs_are_pending(cli: Cli) -> None:
    cli.write(
        "many.yaml", "provider: simulator\njobs:\n" + "".join(f"  - prompt: cat {n}\n" for n in range(3))
    )
    done = cli.run("run", "many.yaml", "--limit", "1", code=3)
    assert "stopped early" in done.stderr
    assert cli.json("status", "many.yaml")["jobs"]["pending"] == 2


def test_providers_say_whether_the_key_is_set_and_never_the_key(cli: Cli) -> None:
    cli.env["TUZI_API_KEY"] = "sk-very-secret"
    done = cli.run("providers", "--json", code=0)
    providers = json.loads(done.stdout)
    assert providers["tu-zi"]["key_set"] is True
    assert providers["apiyi"]["key_set"] is False
    assert providers["simulator"]["key_set"] is None
    assert "sk-very-secret" not in done.stdout + cli.run("providers", code=0).stdout


def test_providers_of_a_manifest_are_listed_too(cli: Cli) -> None:
    cli.write("mine.yaml", f"providers: {{mine: {{extends: tu-zi, api_key_env: MINE}}}}\n{ONE}")
    assert cli.json("providers", "mine.yaml")["mine"]["api_key_env"] == ["MINE"]


def test_the_schema_is_one_json_object(cli: Cli) -> None:
    assert "jobs" in json.loads(cli.run("schema", code=0).stdout)["properties"]
    assert cli.run("schema", "--json", code=0).stdout == cli.run("schema", code=0).stdout
    assert cli.run("--version", code=0).stdout.startswith("batchgen, ")


def test_the_simulator_lists_its_faults_and_refuses_an_unknown_one(cli: Cli) -> None:
    assert "rate_limit" in cli.run("simulate", "--list-faults", code=0).stdout
    assert "unknown fault" in cli.run("simulate", "--fault", "rate_limt=5%", code=2).stderr


def test_help_and_status_load_no_library_that_they_have_no_use_for(cli: Cli, batch: str) -> None:
    heavy = {"httpx2", "pydantic", "PIL", "yaml", "h11", "tqdm"}
    cli.env["PYTHONPROFILEIMPORTTIME"] = "1"
    for words in (("--help",), ("status", batch)):
        lines = cli.run(*words, code=0).stderr.splitlines()
        assert not heavy & {line.rsplit("|", 1)[-1].strip() for line in lines}


def test_a_run_leaves_a_log_in_the_workspace(cli: Cli, batch: str) -> None:
    assert (cli.folder / batch / "run.log").is_file()
    assert Path(cli.folder / batch / "ledger.db").is_file()
