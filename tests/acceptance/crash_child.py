"""A run that kills itself: `crash_child.py MANIFEST WORKSPACE FACT N` dies by SIGKILL after the N-th such fact.

FACT is an event's name (`TaskSeen`, `Replied`, `Generated`, `Saved`), `running` for an attempt that
is in the ledger while its request has not left, or `spooled` for an answer whose files are written
and which the ledger does not know. The ledger is told before anybody else, so the fact is in it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from batchgen.batch import RunOptions, run_batch
from batchgen.events import Event
from batchgen.images.spool import ANSWERS
from batchgen.manifest.load import open_manifest
from batchgen.model import JobState
from batchgen.sinks import NullSink


def die() -> None:
    """What a power cut does to a process: nothing of ours runs after this."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(NullSink):
    """Counts facts of one kind and dies at the last one."""

    def __init__(self, fact: str, count: int) -> None:
        self._fact = fact
        self._left = count

    def event(self, job_id: str, provider: str, event: Event) -> None:
        """A worker reported something."""
        self._count(type(event).__name__)

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """A job went on."""
        self._count(new.value)

    def _count(self, fact: str) -> None:
        if fact == self._fact:
            self._left -= 1
            if self._left == 0:
                die()


def die_when_spooled(count: int) -> None:
    """Die when the `count`-th inline answer is in the log and not in the ledger."""
    left = [count]

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(ANSWERS):
            left[0] -= 1
        elif event == "open" and left[0] == 0:
            # The first file opened after the log: its folder, for the sync.
            die()

    sys.addaudithook(audit)


def main(manifest: str, workspace: str, fact: str, count: str) -> None:
    """Run until the fact comes."""
    if fact == "spooled":
        die_when_spooled(int(count))
    options = RunOptions(workspace=Path(workspace), keys=os.environ, sink=Killer(fact, int(count)))
    asyncio.run(run_batch(open_manifest(Path(manifest)), options))


if __name__ == "__main__":
    main(*sys.argv[1:])
