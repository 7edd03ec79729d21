"""One batch in shards: processes of their own, merged into one workspace that goes on as if it were one run."""

from __future__ import annotations

import csv

import pytest

from tests.acceptance.conftest import QUICK, Cli, Simulated, listed, numbered, until

SAME = ("id", "position", "prompt", "model", "provider", "ratio", "sha256", "bytes", "width", "height", "format")
HEAD = f"provider: sim\nproviders: {{sim: {{extends: tu-zi, base_url: simulator, {QUICK}}}}}\n"
MANIFEST = HEAD + "defaults: {model: gpt-image-1-vip}\njobs:\n"


@pytest.fixture
def batch(cli: Cli) -> Cli:
    """A command line beside `big.yaml`, a batch of twelve jobs."""
    cli.write("big.yaml", MANIFEST + listed(numbered(12)))
    return cli


def test_shards_have_workspaces_of_their_own_and_together_every_job(batch: Cli) -> None:
    ids: list[str] = []
    for number in (1, 2):
        plan = batch.json("plan", "big.yaml", "--shard", f"{number}/2")
        assert plan["shard"] == f"{number}/2"
        batch.run("run", "big.yaml", "--shard", f"{number}/2", code=0)
        shard = [job["id"] for job in batch.jobs(f"out/big.shard-{number}-of-2")]
        assert len(shard) == plan["jobs"]["new"] == plan["requests"]
        ids += shard
        status = batch.run("status", f"out/big.shard-{number}-of-2").stdout
        assert status.startswith(f"shard     {number}/2 of the batch\n")
        again = batch.run("run", "big.yaml", "--shard", f"{number}/2", code=0).stderr
        assert f"jobs      0 new, 0 changed, {len(shard)} unchanged, 0 removed" in again
    assert sorted(ids) == numbered(12)


def test_a_workspace_is_never_run_for_another_part_of_the_batch(batch: Cli) -> None:
    batch.run("run", "big.yaml", "--shard", "1/2", "--workspace", "one", code=0)
    batch.run("run", "big.yaml", "--workspace", "all", code=0)
    for words, line in (
        (("--workspace", "one"), "one holds shard 1/2: run it with --shard 1/2; the others have"),
        (("--workspace", "one", "--shard", "2/2"), "one holds shard 1/2: run it with --shard 1/2; shard 2/2 needs"),
        (("--workspace", "all", "--shard", "2/2"), "all holds the whole batch, not shard 2/2: leave --shard out"),
    ):
        for command in ("plan", "run"):
            told = batch.run(command, "big.yaml", *words, code=2).stderr.splitlines()
            assert len(told) == 1
            assert told[0].startswith(line)
    assert sum(batch.states("one").values()) < 12


def test_a_shard_keeps_to_its_part_of_the_budget_and_says_how_to_go_on(batch: Cli) -> None:
    prices = HEAD.replace(QUICK, f"prices: {{gpt-image-1-vip: 0.1}}, {QUICK}") + "settings: {max_cost: 0.6}\n"
    batch.write("big.yaml", prices + "defaults: {model: gpt-image-1-vip}\njobs:\n" + listed(numbered(12)))
    told = batch.run("run", "big.yaml", "--shard", "1/2", code=3).stderr
    assert "budget    0.30 for this shard" in told
    assert batch.states("out/big.shard-1-of-2")["done"] == 3
    assert "batchgen run big.yaml --shard 1/2" in told


def test_the_manifest_of_shards_is_no_workspace_but_tells_which_there_are(batch: Cli) -> None:
    batch.run("run", "big.yaml", "--shard", "2/2", code=0)
    told = batch.run("status", "big.yaml", code=2).stderr
    assert told == "big.yaml was run in shards: name one (out/big.shard-2-of-2), or merge them first\n"


def content(cli: Cli, workspace: str) -> list[dict[str, str]]:
    """What an export says of each image, without what is another one in every run."""
    cli.run("export", workspace, f"{workspace}.csv", "--format", "csv", code=0)
    with (cli.folder / f"{workspace}.csv").open(newline="", encoding="utf-8") as file:
        return [{name: row[name] for name in SAME} for row in csv.DictReader(file)]


def test_shards_that_fail_and_are_killed_become_one_batch_like_that_of_a_single_run(
    cli: Cli, provider: Simulated
) -> None:
    faults = ("--fault", "rate_limit=3%", "--fault", "server_error=3%", "--fault", "file_503=3%", "--seed", "7")
    with provider(*faults) as simulated:
        section = simulated.section("tu-zi", extra="limits: {concurrency: 64}")
        head = f"provider: tu-zi\ndefaults: {{model: gpt-image-1-vip}}\n{section}"
        cli.write("big.yaml", f"{head}jobs:\n{listed(numbered(400))}")
        shards = [f"{number}/4" for number in range(1, 5)]
        running = [cli.start("run", "big.yaml", "--shard", shard, "--quiet") for shard in shards]
        killed = "out/big.shard-2-of-4"
        until(lambda: cli.count(killed, "SELECT count(*) FROM jobs WHERE state = 'done'") >= 10, running[1])
        running[1].kill()
        cli.end(running[1])
        for process in (running[0], *running[2:]):
            cli.end(process, 0)
        cli.run("run", "big.yaml", "--shard", "2/4", "--on-unknown", "resend", "--quiet", code=0)

        merged = cli.json("merge", "out/big", *workspaces(cli))
        assert (merged["jobs"]["done"], merged["images"], merged["lost"]) == (400, 400, [])
        assert merged["shards"] == {"of": 4, "merged": [1, 2, 3, 4], "missing": []}
        assert cli.json("verify", "big.yaml")["checked"] == 400
        posts = simulated.posts
        again = cli.run("run", "big.yaml", code=0).stderr
        assert "jobs      0 new, 0 changed, 400 unchanged, 0 removed" in again
        assert simulated.posts == posts
        cli.run("run", "big.yaml", "--workspace", "out/single", "--quiet", code=0)
    assert [job["id"] for job in cli.jobs("big.yaml")] == numbered(400)
    assert content(cli, "out/big") == content(cli, "out/single")
    cli.run("report", "big.yaml", code=0)
    assert cli.json("status", "big.yaml")["jobs"]["done"] == 400


def workspaces(cli: Cli) -> list[str]:
    """The shards' workspaces, as a shell would name them."""
    return sorted(str(path.relative_to(cli.folder)) for path in cli.folder.glob("out/big.shard-*"))


def test_a_merge_that_is_killed_is_made_by_the_next_one(batch: Cli) -> None:
    for number in (1, 2):
        batch.run("run", "big.yaml", "--shard", f"{number}/2", "--quiet", code=0)
    process = batch.start("merge", "all", *workspaces(batch))
    until(lambda: (batch.folder / ".all.part").exists() or process.poll() is not None)
    process.kill()
    process.wait()
    if not (batch.folder / "all").exists():  # it had not come to its end
        batch.run("merge", "all", *workspaces(batch), code=0)
    assert batch.json("verify", "all")["checked"] == 12
    assert batch.run("run", "big.yaml", "--workspace", "all", code=0)
    assert not (batch.folder / ".all.part").exists()
    assert batch.states("all") == {"done": 12}


def test_a_shard_that_is_not_merged_is_not_sent_by_the_rest(batch: Cli) -> None:
    for number in (1, 3):
        batch.run("run", "big.yaml", "--shard", f"{number}/3", "--quiet", code=0)
    told = batch.run("merge", "some", *workspaces(batch), code=0).stderr
    assert "shard 2/3 is not in it" in told
    refused = batch.run("run", "big.yaml", "--workspace", "some", code=2).stderr
    assert refused.startswith("some was merged without shard 2/3: ")
    assert refused.endswith("is made with batchgen run big.yaml --shard 2/3\n")
    batch.run("run", "big.yaml", "--shard", "2/3", "--quiet", code=0)
    batch.run("merge", "out/big", "some", "out/big.shard-2-of-3", code=0)
    assert "to send   0 requests" in batch.run("run", "big.yaml", code=0).stderr
    assert batch.states("big.yaml") == {"done": 12}


def test_jobs_that_a_shard_put_back_are_run_by_that_shard(batch: Cli) -> None:
    batch.write("big.yaml", MANIFEST.replace("latency: 0.05", "latency: 0.05, faults: {refusal: 100%}") + listed(["a"]))
    batch.run("run", "big.yaml", "--shard", "1/1", "--quiet", code=1)
    told = batch.run("retry", "out/big.shard-1-of-1", "--state", "refused", code=0).stderr
    assert "batchgen run big.yaml --shard 1/1" in told
