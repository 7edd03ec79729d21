"""An outage of 13 seconds by the clock, at 8 in flight: `python -m tests.bench.outage`.

Prints the requests that it cost as JSON; the exit code is 1 when a job failed or 40 requests were not enough.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.conftest import command_line
from tests.acceptance.cutting_provider import Cutting, Face
from tests.acceptance.test_outages import SATURATED, Status, manifest

JOBS = 24
MOST = 40


def outage(seconds: float, refused: list[float]) -> Iterator[Status | None]:
    """Pictures at first; 503 for so long after the ninth request; then pictures again."""
    for _ in range(8):
        yield None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        refused.append(time.monotonic())
        yield SATURATED
    while True:
        yield None


def main() -> int:
    """Run a batch through the outage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=13.0)
    seconds = parser.parse_args().seconds
    refused: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Cutting(Face.BLIND, statuses=outage(seconds, refused)) as provider,
        command_line(Path(folder)) as cli,
    ):
        manifest(cli, provider, JOBS, at_once=8)
        began = time.monotonic()
        code = cli.run("run", "m.yaml").returncode
        figures = {
            "outage_seconds": seconds,
            "run_seconds": round(time.monotonic() - began, 1),
            "exit_code": code,
            "jobs": cli.states("out/m"),
            "requests": provider.total,
            "requests_during_the_outage": len(refused),
        }
    print(json.dumps(figures))
    return 0 if code == 0 and provider.total < MOST + JOBS and len(refused) < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
