"""How the batch stands, looked up once for all who look: the ledger's counts, and images a minute.

The rate comes from what was on disk at each of its own looks; nothing in the ledger is counted anew for it.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from batchgen.errors import WorkspaceError
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import RunRecord, Status
from batchgen.model import Json, OutputState
from batchgen.summary import Commands
from batchgen.web import views

EVERY: Final = 1.0
"""Seconds that what was looked up counts as now."""

_SAMPLE: Final = 5.0
_RATE_OVER: Final = 60.0
_SOONEST: Final = 3.0
"""Seconds of looking before a rate is told."""


class Watch:
    """The counts of one workspace. `keep_count` goes on as long as the page does."""

    def __init__(self, reader: Reader, workspace: Path) -> None:
        self._reader = reader
        self._commands = Commands(str(workspace))
        self._saved: deque[tuple[float, int]] = deque()
        self._looking = anyio.Lock()
        self._seen: tuple[float, Status, RunRecord | None] | None = None

    async def keep_count(self) -> None:
        """Look now and then, so that the rate is known when somebody asks."""
        while True:
            with suppress(WorkspaceError):  # whoever asks is told
                await self._look()
            await anyio.sleep(_SAMPLE)

    async def standing(self, oldest: float = EVERY) -> dict[str, Json]:
        """What the page shows of the whole batch, looked up not more than so many seconds ago."""
        now, status, run = await self._look(oldest)
        return views.standing(status, run, self._rate(), self._commands, now)

    async def metrics(self) -> str:
        """The same for Prometheus."""
        _, status, run = await self._look()
        return views.metrics(status, run is not None and run.alive, self._rate())

    async def _look(self, oldest: float = EVERY) -> tuple[float, Status, RunRecord | None]:
        async with self._looking:
            now = time.time()
            if self._seen is None or now - self._seen[0] >= oldest:
                status = await self._reader.status(now)
                self._seen = now, status, await self._reader.last_run()
                self._count(now, status.outputs.get(OutputState.SAVED, 0))
            return self._seen

    def _count(self, now: float, saved: int) -> None:
        self._saved.append((now, saved))
        while now - self._saved[0][0] > _RATE_OVER:
            self._saved.popleft()

    def _rate(self) -> float | None:
        """Images a minute over the last minute; None before there is anything to tell."""
        (since, before), (now, saved) = self._saved[0], self._saved[-1]
        return round(max(0, saved - before) / (now - since) * 60, 1) if now - since >= _SOONEST else None
