"""Ctrl-C once and twice, SIGTERM, and two runs over one workspace, as real signals to real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tomllib

import pytest

from tests.acceptance.conftest import ROOT, Cli, Simulated, listed, numbered, until

AT_ONCE = 4


def _stopping(process: subprocess.Popen[str]) -> str:
    """Read what the run says until it has taken notice of the signal; returns that line."""
    assert process.stderr is not None
    return next(line for line in process.stderr if line.startswith("stopping"))


def _running(cli: Cli) -> int:
    return cli.count("out/m", "SELECT count(*) FROM jobs WHERE state = 'running'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_one_signal_lets_what_is_in_flight_finish_and_a_run_continues(
    cli: Cli, provider: Simulated, number: signal.Signals
) -> None:
    with provider() as p:
        section = p.section("apiyi", extra=f"limits: {{concurrency: {AT_ONCE}}}")
        cli.write("m.yaml", f"provider: apiyi\n{section}jobs:\n{listed(numbered(12))}")
        with p.asleep():
            run = cli.start("run", "m.yaml")
            until(lambda: _running(cli) == AT_ONCE, run)
            run.send_signal(number)
            assert "press Ctrl-C again to abort now" in _stopping(run)
        stopped = cli.end(run, code=130)
        assert "batchgen run m.yaml" in stopped.stderr

        assert p.counts()["in_flight"] == 0
        states = cli.states("out/m")
        assert set(states) == {"done", "pending"}
        assert states["done"] == p.posts == AT_ONCE
        outcomes = cli.ask("out/m", "SELECT DISTINCT outcome FROM attempts")
        assert outcomes == [("succeeded",)]

        cli.run("run", "m.yaml", code=0)
        assert p.posts == 12
    assert cli.states("out/m") == {"done": 12}
    cli.run("verify", "out/m", code=0)


def test_a_second_signal_leaves_at_once_and_what_was_in_flight_is_held(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "stall_before_headers") as p:
        section = p.section("apiyi", extra=f"limits: {{concurrency: {AT_ONCE}}}")
        cli.write("m.yaml", f"provider: apiyi\n{section}jobs:\n{listed(numbered(8))}")
        run = cli.start("run", "m.yaml")
        until(lambda: p.counts()["in_flight"] == AT_ONCE, run)
        run.send_signal(signal.SIGINT)
        _stopping(run)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        cli.end(run, code=130)
        assert time.monotonic() - began < 120  # the stalled replies would have taken more than five minutes

        jobs = cli.jobs("out/m")
        assert [job["state"] for job in jobs] == ["held"] * AT_ONCE + ["pending"] * 4
        for job in jobs[:AT_ONCE]:
            assert [one["outcome"] for one in job["attempts"]] == ["unknown"]
            assert job["error"]["kind"] == "interrupted"
        assert p.posts == AT_ONCE


def test_after_a_second_signal_a_named_task_is_asked_for_and_not_sent_again(
    cli: Cli, provider: Simulated
) -> None:
    with provider(latency="3s") as p:
        section = p.section("tu-zi", extra=f"limits: {{concurrency: {AT_ONCE}}}")
        cli.write("m.yaml", f"provider: tu-zi\n{section}jobs:\n{listed(numbered(AT_ONCE))}")
        run = cli.start("run", "m.yaml")
        until(lambda: cli.count("out/m", "SELECT count(task_id) FROM attempts") == AT_ONCE, run)
        with p.asleep():
            run.send_signal(signal.SIGINT)
            _stopping(run)
            run.send_signal(signal.SIGINT)
            cli.end(run, code=130)
        jobs = cli.jobs("out/m")
        assert {job["state"] for job in jobs} == {"running"}
        tasks = [job["attempts"][0]["task_id"] for job in jobs]

        until(lambda: all("<h1>succeeded" in p.task(task) for task in tasks))
        cli.run("run", "m.yaml", code=0)
        assert p.posts == AT_ONCE
    assert [job["attempts"][0]["task_id"] for job in cli.jobs("out/m")] == tasks
    assert cli.states("out/m") == {"done": AT_ONCE}


@pytest.mark.parametrize(
    "words", [("run", "m.yaml"), ("fetch", "out/m"), ("retry", "out/m")], ids=lambda w: w[0]
)
def test_a_workspace_in_use_by_a_run_is_left_alone_at_once(
    cli: Cli, provider: Simulated, words: tuple[str, ...]
) -> None:
    with provider("--fault", "stall_before_headers") as p:
        cli.write("m.yaml", f"provider: apiyi\n{p.section('apiyi')}jobs:\n{listed(numbered(2))}")
        first = cli.start("run", "m.yaml")
        until(lambda: p.counts()["in_flight"] == 2, first)
        second = cli.run(*words, code=4)
        last = second.stderr.splitlines()[-1]
        assert last.startswith(f"workspace out/m is in use by another run (pid {first.pid}, since ")
        # Whoever only reads may read meanwhile.
        status = cli.json("status", "out/m")
        assert status["jobs"]["running"] == 2
        assert status["providers"]["apiyi"]["in_flight"] == 2
        assert p.posts == 2


def _script() -> str:
    """What the script `batchgen` does, by the project's own file."""
    place = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["batchgen"]
    module, _, name = place.partition(":")
    return f"import sys; from {module} import {name}; sys.exit({name}())"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("library", ["click", "pydantic"])
@pytest.mark.parametrize("words", [("-m", "batchgen"), ("-c", _script())], ids=["module", "script"])
def test_a_signal_while_libraries_are_imported_ends_it_without_a_word(
    cli: Cli, words: tuple[str, ...], library: str, number: signal.Signals
) -> None:
    # A library of that name in the current folder comes first; it stands for one that takes long.
    cli.write(f"{library}.py", "print('importing', flush=True)\nwhile True: pass\n")
    process = subprocess.Popen(
        [sys.executable, *words, "run", "a.yaml"],
        cwd=cli.folder, env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    cli.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    assert cli.end(process, code=130).stderr == ""


INTERRUPTED_WORK = """
import asyncio, os, signal
from batchgen.early import interrupt_from_here

async def work():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        print("closed what was open")
        raise

interrupt_from_here()
try:
    asyncio.run(work())
except KeyboardInterrupt:
    print("interrupted")
"""


def test_sigterm_in_the_midst_of_a_step_lets_the_work_close_what_it_opened(cli: Cli) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_WORK],
        env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    cli.started.append(process)
    assert cli.end(process, code=0).stdout == "closed what was open\ninterrupted\n"


def test_sigterm_ends_a_command_that_only_reads_with_130_as_ctrl_c_does(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "stall_before_headers") as p:
        cli.write("m.yaml", f"provider: apiyi\n{p.section('apiyi')}jobs:\n{listed(numbered(1))}")
        run = cli.start("run", "m.yaml")
        until(lambda: p.counts()["in_flight"] == 1, run)
        watching = cli.start("status", "m.yaml", "--watch")
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("jobs")
        watching.send_signal(signal.SIGTERM)
        cli.end(watching, code=130)
