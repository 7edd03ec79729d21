"""The engine that runs the worker in this process, on the runner's own event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from batchgen.events import Event
from batchgen.model import Work
from batchgen.worker import Worker


class LocalEngine:
    """Hands each work to one worker; events reach the runner as they happen."""

    absent = None
    staff = None
    hands = 1

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Stream the events of one work."""
        return self._worker.run(work)
