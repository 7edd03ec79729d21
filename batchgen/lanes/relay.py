"""What ties the lanes of one run together where jobs edit the images of other jobs.

A lane with nothing to send stays while another may still finish a parent for it, and never waits for
something that can't happen any more. Without chains in the manifest nothing here does anything.
"""

from __future__ import annotations

from batchgen.lanes.routing import Routing
from batchgen.ledger.chains import LOST
from batchgen.ledger.store import Ledger
from batchgen.model import JobState
from batchgen.sinks import Sink


class Relay:
    """Wakes lanes when a parent ends, and tells them whether anything may still come."""

    def __init__(self, ledger: Ledger, sink: Sink, routing: Routing, id_glob: str | None) -> None:
        self._ledger = ledger
        self._routing = routing
        self._sink = sink
        self._id_glob = id_glob
        self.chained = False
        self.turns = 0
        """how often a parent was done, and with that perhaps a child ready"""
        self.put_off: set[int] | None = None
        """outputs that the download lane leaves to the next run; None: this run fetches none"""

    async def settle(self) -> None:
        """At the start and at the end of a run: children of parents that ended without an image end too."""
        self.chained = await self._ledger.chained()
        if self.chained:
            self._cancelled(await self._ledger.settle_children())

    def stir(self) -> None:
        """Something moved: let every lane look again."""
        if self.chained:
            self._routing.stir()

    async def moved(self, key: int, state: JobState) -> None:
        """A job came to rest in this state: its children start, or end with it."""
        if not self.chained:
            return
        if state in LOST:
            self._cancelled(await self._ledger.cancel_children(key))
        self.turns += state is JobState.DONE
        self.stir()

    async def may_come(self, provider: str, now: float) -> bool:
        """Whether a job may yet be sent to this provider: after its parent, or when another can't serve it."""
        routes, served = self._routing.with_(provider, now), self._routing.served(now)
        return await self._ledger.may_come(routes, served, self.put_off, id_glob=self._id_glob)

    def _cancelled(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self._sink.moved(job_id, JobState.PENDING, JobState.CANCELLED)
