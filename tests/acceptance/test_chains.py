"""Chains through the command line: row by row, cancelled and brought back, scopes, a kill in the middle."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from tests.acceptance.conftest import QUICK, Cli, Simulated, until

TURNS = ("first", "second", "third")


def rows(count: int, *, by_level: bool = False) -> str:
    """Job lines of so many rows of three turns each."""
    pairs = [(row, turn) for row in range(count) for turn in range(3)]
    if by_level:
        pairs.sort(key=lambda pair: pair[1])
    return "".join(
        f"  - {{id: r{row}-{turn}, prompt: '{TURNS[turn]} turn of row {row}'"
        + (f", after: r{row}-{turn - 1}" if turn else "")
        + "}\n"
        for row, turn in pairs
    )


def embedded(jobs: str, *, settings: str = "", name: str = "tu-zi") -> str:
    return f"provider: {name}\nproviders:\n  {name}: {{base_url: simulator, {QUICK}}}\n{settings}jobs:\n{jobs}"


def started(cli: Cli) -> list[str]:
    """The jobs in the order of their first attempts."""
    query = "SELECT j.id FROM attempts a JOIN jobs j ON j.key = a.job ORDER BY a.id"
    return [name for (name,) in cli.ask("out/m", query)]


def test_a_chain_starts_as_soon_as_its_own_parent_is_done(cli: Cli) -> None:
    settings = "settings: {concurrency: 1}\n"
    cli.write("m.yaml", embedded(rows(16, by_level=True), settings=settings))
    cli.run("run", "m.yaml", code=0)
    order = started(cli)
    # A few first turns may go while a picture is fetched, but not all of them.
    assert order.index("r0-2") < order.index("r15-0")


@pytest.mark.parametrize("state", ["refused", "held"])
def test_what_a_job_takes_with_it_comes_back_when_it_is_retried(cli: Cli, state: str) -> None:
    fault = {"refused": "simulate:refusal", "held": "simulate:gateway_504"}[state]
    jobs = rows(2).replace("first turn of row 1", f"first turn of row 1 {fault}")
    cli.write("m.yaml", embedded(jobs, name="modelverse"))
    text = cli.run("run", "m.yaml", code=1).stderr
    assert cli.states("out/m") == {"done": 3, state: 1, "cancelled": 2}
    assert "2 cancelled" in text
    second, third = cli.jobs("out/m", "--state", "cancelled")
    assert second["error"]["kind"] == third["error"]["kind"] == "parent"
    assert second["error"]["message"].startswith("its parent 'r1-0' ")
    assert third["error"]["message"].startswith("its parent 'r1-1' was cancelled, because 'r1-0' ")
    assert second["attempts"] == third["attempts"] == []

    alone = cli.run("retry", "out/m", code=0).stderr
    assert alone == (
        "nothing to retry: 2 are cancelled because of their parents: "
        "retry those by their own states, and they come along\n"
    )
    told = cli.run("retry", "out/m", "--state", state, code=0).stderr
    assert told.startswith("3 jobs: 1 is sent again (paid), 2 are sent once the parent is done (paid): batchgen run")
    assert cli.states("out/m") == {"done": 3, "pending": 3}
    cli.write("m.yaml", embedded(rows(2), name="modelverse"))
    cli.run("run", "m.yaml", code=0)
    assert cli.states("out/m") == {"done": 6}
    cli.run("verify", "out/m", code=0)


def test_a_changed_parent_is_generated_anew_with_all_that_descends_from_it(cli: Cli) -> None:
    cli.write("m.yaml", embedded(rows(2)))
    cli.run("run", "m.yaml", code=0)
    cli.write("m.yaml", embedded(rows(2).replace("second turn of row 1", "other words")))
    assert cli.json("plan", "m.yaml")["jobs"] == {"new": 0, "changed": 2, "unchanged": 4, "removed": 0}
    cli.run("run", "m.yaml", code=0)
    assert [name for name, times in Counter(started(cli)).items() if times == 2] == ["r1-1", "r1-2"]
    cli.write("m.yaml", embedded(rows(2)))
    assert cli.json("plan", "m.yaml")["requests"] == 0


def test_without_downloads_a_child_waits_and_the_run_says_why(cli: Cli) -> None:
    cli.write("m.yaml", embedded(rows(1)))
    text = cli.run("run", "m.yaml", "--no-download", code=3).stderr
    assert "stopped early: 2 jobs wait for their parents' images, which --no-download leaves at the provider" in text
    assert "waits for the image of 'r0-0'" in text
    assert cli.states("out/m") == {"generated": 1, "pending": 2}
    cli.run("run", "m.yaml", code=0)


@pytest.mark.parametrize(
    ("scope", "sent", "reason"),
    [
        (("--id", "*-2"), 0, "--id *-2 leaves other jobs out; 4 jobs wait for their parents' images"),
        (("--id", "r0-*"), 3, "--id r0-* leaves other jobs out; 2 jobs wait for their parents' images"),
        (("--limit", "1"), 1, "--limit 1 was reached; 3 jobs wait for their parents' images"),
    ],
)
def test_a_scope_that_leaves_a_parent_out_ends_with_the_reason(
    cli: Cli, scope: tuple[str, str], sent: int, reason: str
) -> None:
    cli.write("m.yaml", embedded(rows(2)))
    text = cli.run("run", "m.yaml", *scope, code=3).stderr
    assert f"stopped early: {reason}" in text
    assert len(started(cli)) == sent


def test_a_parked_provider_leaves_the_children_elsewhere_pending(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "bad_key=1") as p:
        jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: a, provider: modelverse}\n"
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi', 'modelverse')}jobs:\n{jobs}")
        text = cli.run("run", "m.yaml", code=3).stderr
    assert "the key" in text
    assert "1 job waits for its parent's image" in text
    assert cli.states("out/m") == {"pending": 2}


@pytest.mark.parametrize("seen", ["done", "running"])
def test_a_kill_in_the_middle_of_chains_sends_nothing_twice(cli: Cli, provider: Simulated, seen: str) -> None:
    with provider(latency="150ms") as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi', extra='limits: {concurrency: 3}')}jobs:\n{rows(6)}")
        process = cli.start("run", "m.yaml")
        query = f"SELECT count(*) FROM jobs WHERE state = '{seen}' AND parent IS NOT NULL"
        until(lambda: cli.count("out/m", query) > 0, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        cli.run("run", "m.yaml")
        # An attempt that no task id was seen of is held, and its later turns are cancelled; all else is done.
        states = cli.states("out/m")
        assert set(states) <= {"done", "held", "cancelled"}
        if "held" in states:
            cli.run("retry", "out/m", "--state", "held")
            cli.run("run", "m.yaml", code=0)
        assert cli.states("out/m") == {"done": 18}
        # A held attempt may have been killed before its request left.
        assert 18 <= p.posts <= 18 + states.get("held", 0)
    attempts = Counter(started(cli))
    assert sum(attempts.values()) == 18 + states.get("held", 0)
    cli.run("verify", "out/m", code=0)


def test_an_interrupted_chain_says_so_and_goes_on_where_it_was(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{rows(1)}")
        with p.asleep():
            process = cli.start("run", "m.yaml")
            until(lambda: cli.count("out/m", "SELECT count(*) FROM jobs WHERE state = 'running'") == 1, process)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert any(line.startswith("stopping") for line in process.stderr)
        text = cli.end(process, 130).stderr
        assert "interrupted: the ledger is whole, run again to continue" in text
        assert "stopped early" not in text
        assert cli.states("out/m") == {"done": 1, "pending": 2}
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 3


def test_a_csv_names_the_parent_and_which_of_its_images(cli: Cli) -> None:
    cli.write("rows.csv", "id,prompt,n,after,after.image\na,two cats,2,,\nb,a hat,,a,1\nc,a coat,,a,\n")
    head = f"provider: modelverse\nproviders:\n  modelverse: {{base_url: simulator, {QUICK}}}\n"
    cli.write("m.yaml", f"{head}jobs: rows.csv\n")
    cli.run("run", "m.yaml", code=0)
    kept = dict(cli.ask("out/m", "SELECT id, request FROM jobs"))
    assert [json.loads(kept[name]).get("after_image") for name in "abc"] == [None, 1, None]
    cli.write("rows.csv", "prompt,after.image\nx,1\n")
    told = cli.run("plan", "m.yaml", code=2).stderr
    assert told == "rows.csv:2: after names no job: give its id, as in {id: cat, image: 1}\n"


def test_a_matrix_chains_each_combination_to_its_own_parent(cli: Cli) -> None:
    jobs = "  - {id: cat, prompt: 'A {coat} cat'}\n  - {id: hat, prompt: A hat, after: cat}\n"
    cli.write("m.yaml", embedded(jobs, settings="matrix: {coat: [red, blue]}\n"))
    cli.run("run", "m.yaml", code=0)
    chained = cli.ask("out/m", "SELECT id, parent FROM jobs WHERE parent IS NOT NULL ORDER BY position")
    assert chained == [("hat+red", "cat+red"), ("hat+blue", "cat+blue")]
    one = "  - {id: cat, prompt: A cat, matrix: null}\n  - {id: hat, prompt: 'A {coat} hat', after: cat}\n"
    cli.write("m.yaml", embedded(one, settings="matrix: {coat: [red, blue]}\n"))
    cli.run("run", "m.yaml", code=0)
    chained = cli.ask("out/m", "SELECT id, parent FROM jobs WHERE parent IS NOT NULL AND listed = 1 ORDER BY position")
    assert chained == [("hat+red", "cat"), ("hat+blue", "cat")]
