"""Outages, spent accounts, other runs and full disks: a few requests, no lost attempt, a clear exit code."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import KEY_VARIABLES, Cli, command_line, listed, numbered, until
from tests.acceptance.cutting_provider import Cutting, Face

Status = tuple[int, str]

SATURATED = (503, '{"error": {"message": "当前分组上游负载已饱和，请稍后再试", "type": "new_api_error"}}')
SPENT = (403, '{"error": {"message": "用户额度不足", "type": "new_api_error", "code": "insufficient_user_quota"}}')
BAD_KEY = (401, '{"error": {"message": "无效的令牌", "type": "new_api_error"}}')


def manifest(cli: Cli, provider: Cutting, jobs: int, *, at_once: int, settings: str = "") -> None:
    """A batch for a provider that answers with one JSON object."""
    cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
    limits = f"{{concurrency: {at_once}, requests_per_minute: 60000}}"
    where = f"base_url: '{provider.url}', limits: {limits}"
    cli.write(
        "m.yaml",
        f"provider: apiyi\nproviders: {{apiyi: {{{where}}}}}\nsettings: {{{settings}}}\n"
        f"jobs:\n{listed(numbered(jobs))}",
    )


def down_for(refusals: int, answer: Status) -> Iterator[Status | None]:
    """So many refusals, then pictures."""
    return itertools.chain(itertools.repeat(answer, refusals), itertools.repeat(None))


def test_an_outage_at_8_in_flight_costs_probes_and_no_attempt_and_fails_no_job(cli: Cli) -> None:
    # This outage refuses 8 in flight and the first probe, two seconds later. tests/bench/outage.py
    # does the same for 13 seconds of a clock.
    with Cutting(Face.BLIND, statuses=down_for(9, SATURATED)) as provider:
        manifest(cli, provider, 24, at_once=8)
        with provider.holding():
            run = cli.start("run", "m.yaml")
            until(lambda: provider.total == 8)
        cli.end(run, code=0)
        assert provider.total == 24 + 9
    assert cli.states("out/m") == {"done": 24}
    # Until five have failed in a row nobody knows that it is the provider.
    counted = cli.ask("out/m", "SELECT sum(counted), count(*) FROM attempts WHERE outcome = 'failed'")
    assert counted == [(4, 9)]


@pytest.mark.parametrize("answer", [SPENT, BAD_KEY], ids=["spent quota", "bad key"])
def test_a_spent_quota_or_bad_key_at_4_in_flight_costs_at_most_8_requests_and_no_job(cli: Cli, answer: Status) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(answer)) as provider:
        manifest(cli, provider, 40, at_once=4)
        done = cli.run("run", "m.yaml", code=3)
        assert provider.total <= 8
        assert cli.states("out/m") == {"pending": 40}
        assert json.loads(answer[1])["error"]["message"] in done.stderr

        # The account is topped up, or the key replaced: nothing is lost by what happened.
        provider.statuses = None
        before = provider.total
        cli.run("run", "m.yaml", code=0)
        assert provider.total == before + 40


def test_a_provider_down_past_its_patience_is_left_with_exit_3_and_every_job_pending(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(SATURATED)) as provider:
        manifest(cli, provider, 20, at_once=4, settings="patience: 1s")
        done = cli.run("run", "m.yaml", code=3)
        assert provider.total <= 12
    assert cli.states("out/m") == {"pending": 20}
    assert re.search(r"apiyi has served nobody for \d+ s", done.stderr)


def test_nobody_listening_is_left_with_exit_3_and_no_attempt_is_spent(cli: Cli, closed_port: int) -> None:
    provider = Cutting(Face.BLIND, port=closed_port)
    manifest(cli, provider, 10, at_once=4, settings="patience: 1s")
    cli.run("run", "m.yaml", code=3)
    assert cli.states("out/m") == {"pending": 10}
    assert cli.ask("out/m", "SELECT sum(tries) FROM jobs") == [(0,)]


def test_a_second_run_leaves_at_once_and_a_killed_one_is_no_obstacle(cli: Cli) -> None:
    hanging = [f"picture {number} at:request " for number in range(2)]
    with Cutting(Face.BLIND) as provider:
        cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
        jobs = "".join(f"  - {{prompt: '{prompt}'}}\n" for prompt in hanging)
        cli.write("m.yaml", f"provider: apiyi\nproviders: {{apiyi: {{base_url: '{provider.url}'}}}}\njobs:\n{jobs}")
        with provider.holding():
            first = cli.start("run", "m.yaml")
            until(lambda: provider.total == 2)
            for command in (("run", "m.yaml"), ("fetch", "out/m"), ("retry", "out/m"), ("reparse", "out/m")):
                done = cli.run(*command, code=4)
                assert f"in use by another run (pid {first.pid}, since" in done.stderr
            assert provider.total == 2
            first.send_signal(signal.SIGKILL)
            cli.end(first, code=-signal.SIGKILL)
        cli.run("run", "m.yaml", code=1)
        assert provider.total == 2
    assert cli.states("out/m") == {"held": 2}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    words = [mount or "mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if mount is None or os.getuid() != 0 or subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip("a small disk can be made by root alone, where mounting is allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_the_run_with_exit_4_and_nothing_is_lost_or_paid_again(small_disk: Path) -> None:
    with Cutting(Face.BLIND, side=100) as provider, command_line(small_disk) as cli:
        manifest(cli, provider, 20, at_once=4)
        cli.run("run", "m.yaml", "--no-download", "--limit", "4", code=3)
        ballast = small_disk / "ballast"
        _fill(ballast, leave=200_000)
        done = cli.run("run", "m.yaml", code=4)
        assert re.search(r"disk is full|No space left on device", done.stderr)
        assert "Traceback" not in done.stderr
        before = provider.counted()
        seen = {row[0] for row in cli.ask("out/m", "SELECT prompt FROM jobs JOIN outputs ON job = key")}
        open_ = cli.ask("out/m", "SELECT prompt FROM jobs WHERE state IN ('running', 'held')")
        assert seen

        ballast.unlink()
        cli.run("run", "m.yaml")
        held = {job["prompt"] for job in cli.jobs("out/m", "--state", "held")}
        assert held <= {row[0] for row in open_}
        after = provider.counted()
        assert all(after[prompt] == 1 for prompt in seen)
        assert max(after.values()) == 1
        assert sum(before.values()) <= 20
        cli.run("retry", "out/m", "--state", "held", code=0)
        cli.run("run", "m.yaml", code=0)
        assert cli.states("out/m") == {"done": 20}
        assert sum(provider.counted().values()) == 20 + len(held)
        cli.run("verify", "out/m", code=0)


def _fill(path: Path, leave: int) -> None:
    """Write until only so many bytes are free."""
    with path.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(path.parent).free) > leave:
            file.write(b"\0" * min(65536, free - leave))
