"""The hours of a run: nothing leaves before the first, nothing after the last."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from batchgen.batch import RunOptions, run_batch
from batchgen.manifest.load import open_manifest
from batchgen.model import JobState

MANIFEST = """
provider: sim
providers: {sim: {extends: tu-zi, base_url: simulator, simulate: {latency: 0, image_side: 16}}}
jobs: [{prompt: one}, {prompt: two}]
"""


def _manifest(folder: Path) -> Path:
    path = folder / "hours.yaml"
    path.write_text(MANIFEST)
    return path


async def test_after_the_last_hour_nothing_is_sent_and_the_run_says_so(tmp_path: Path) -> None:
    options = RunOptions(workspace=tmp_path / "out", ends=time.time() - 1)
    report = await run_batch(open_manifest(_manifest(tmp_path)), options)
    assert (report.exit_code, report.requests, report.reason) == (3, 0, "the hours of this run ended (--stop-at)")
    assert report.status.jobs[JobState.PENDING] == 2


async def test_before_the_first_hour_a_run_waits_and_then_sends(tmp_path: Path) -> None:
    first_hour = time.time() + 0.3
    options = RunOptions(workspace=tmp_path / "out", begins=first_hour)
    report = await run_batch(open_manifest(_manifest(tmp_path)), options)
    assert report.exit_code == 0
    assert time.time() >= first_hour
    assert report.status.jobs[JobState.DONE] == 2


async def test_a_run_that_waits_for_its_hours_can_be_drained(tmp_path: Path) -> None:
    options = RunOptions(workspace=tmp_path / "out", begins=time.time() + 3600, ends=time.time() + 0.1)
    report = await run_batch(open_manifest(_manifest(tmp_path)), options)
    assert (report.exit_code, report.requests) == (3, 0)


async def test_a_run_with_nothing_to_send_does_not_wait_for_its_hours(tmp_path: Path) -> None:
    done = await run_batch(open_manifest(_manifest(tmp_path)), RunOptions(workspace=tmp_path / "out"))
    assert done.exit_code == 0
    options = RunOptions(workspace=tmp_path / "out", begins=time.time() + 3600)
    async with asyncio.timeout(60):
        report = await run_batch(open_manifest(_manifest(tmp_path)), options)
    assert (report.exit_code, report.requests) == (0, 0)
