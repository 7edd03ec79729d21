"""One batch in shards: processes of their own, merged into one workspace that goes on as if it were one run."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import QUICK, Cli, listed, numbered

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
