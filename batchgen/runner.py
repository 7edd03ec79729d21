"""The runner: opens the lanes of a run, settles what an earlier run left open, and says how it ended.

One runner writes to the ledger. It never touches the network itself and prints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain

import anyio
from anyio.abc import TaskGroup

from batchgen.lanes.context import Context
from batchgen.lanes.download import DownloadLane
from batchgen.lanes.orders import PAUSED, Ordered, obey
from batchgen.lanes.submit import SubmitLane
from batchgen.later import Later
from batchgen.ledger.records import OpenAttempt
from batchgen.leftovers import settle_leftovers
from batchgen.limiter import Bell
from batchgen.providers.prices import exact

DOWNLOADS, FOLLOWED = "downloads of all providers", "attempt "
"""What goes on beside the lanes, which go by the names of their providers."""

TRAFFIC_EVERY = 1.0
"""Seconds between two notes of what each provider does, for `status` and the progress line."""


class Runner:
    """One run over one ledger: submissions of every provider and the downloads beside them."""

    def __init__(
        self,
        context: Context,
        *,
        simulated: frozenset[str],
        submit: bool = True,
        download: bool = True,
        downloads_at_once: int | None = None,
    ) -> None:
        self._context = context
        self._simulated = simulated
        self._submits = submit
        self._downloading = download
        self._working: set[str] = set()
        self._ordered = Ordered()
        self._obeying = anyio.Lock()
        self._bell = Bell()
        self._downloads = DownloadLane(context, concurrency=downloads_at_once, more=lambda: self._submitting)
        context.relay.put_off = self._downloads.put_off if download else None
        self._lanes: dict[str, SubmitLane] = {}
        self._scope = anyio.CancelScope()
        context.stop.listen(self._abort)

    async def run(self) -> str | None:
        """Run to the end. Returns why it stopped early, in plain words, or None."""
        submits = self._submits
        found = await settle_leftovers(self._context, self._simulated) if submits else {}
        await self._context.relay.settle()
        self._context.budget.begin(await self._context.ledger.status(), chain.from_iterable(found.values()))
        with self._scope:
            async with anyio.create_task_group() as group:
                group.start_soon(Later, self._report)
                group.start_soon(Later, self._close_at_the_end_of_hours)
                await self._work(found)
                group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            if submits:
                await settle_leftovers(self._context, self._simulated)
            await self._context.relay.settle()
            await self._note_traffic(over=True)
        missed = (lane.gave_up for name, lane in self._lanes.items() if self._context.routing.stranded(name))
        reasons = filter(None, (self._context.budget.reached, *missed))
        return self._context.stop.reason or "; ".join(reasons) or None

    async def _work(self, found: dict[str, list[OpenAttempt]]) -> None:
        """Keep the lanes open until nothing is left for them, and nobody ordered more meanwhile."""
        async with anyio.create_task_group() as group:
            if self._submits:
                await self._make_lanes()
            self._open(group, found)
            while True:
                seen, ordered, self._ordered = self._bell.rings, self._ordered, Ordered()
                if ordered.anew and not self._context.stop.draining:
                    self._take_up(group, ordered.reopened)
                elif self._submitting or DOWNLOADS in self._working:
                    await self._bell.wait(seen)
                else:
                    await self._obey()
                    if not self._ordered.anew or self._context.stop.draining:
                        return

    async def _make_lanes(self) -> None:
        paces = await self._context.ledger.paces()
        self._context.routing.learn(await self._context.ledger.routes())
        # All of them stand before the first one looks where a job may go.
        for name in self._context.profiles:
            self._lanes[name] = SubmitLane(name, self._context, self._downloads.bell.ring, paces.get(name))

    def _open(self, group: TaskGroup, found: Mapping[str, list[OpenAttempt]]) -> None:
        """Open every lane that is not."""
        for name, lane in self._lanes.items():
            if name not in self._working:
                self._context.routing.come_back(name)
                self._start(group, name, lane.run, found.get(name, []))
        if self._downloading and DOWNLOADS not in self._working:
            self._start(group, DOWNLOADS, self._downloads.run)

    def _take_up(self, group: TaskGroup, reopened: Iterable[OpenAttempt]) -> None:
        """Go on with what was ordered."""
        for attempt in reopened:
            # A lane stays open as long as something is in flight: first what is followed, then the lanes.
            self._context.routing.busy += 1
            self._context.budget.again(exact(attempt.reserved))
            name = f"{FOLLOWED}{attempt.attempt_id}"
            self._start(group, name, self._lanes[attempt.provider].reattach, attempt)
        self._downloads.take_up()
        self._open(group, {})

    def _start(self, group: TaskGroup, name: str, work: Callable[..., Awaitable[None]], *about: object) -> None:
        self._working.add(name)

        async def working() -> None:
            try:
                await work(*about)
            finally:
                self._working.discard(name)
                self._bell.ring()
                self._downloads.bell.ring()

        group.start_soon(Later, working)

    @property
    def _submitting(self) -> bool:
        """Whether more images may come."""
        return bool(self._working - {DOWNLOADS})

    async def _obey(self) -> None:
        async with self._obeying:
            ordered = await obey(self._context, tasks=self._submits)
            self._ordered.anew |= ordered.anew
            self._ordered.reopened += ordered.reopened
        if ordered.anew:
            self._bell.ring()

    def _abort(self) -> None:
        if self._context.stop.aborting:
            self._scope.cancel()

    async def _close_at_the_end_of_hours(self) -> None:
        ends = self._context.scope.ends
        if ends is not None:
            await anyio.sleep(max(0.0, ends - self._context.now()))
            self._context.stop.drain("the hours of this run ended (--stop-at)")

    async def _report(self) -> None:
        while True:
            await self._obey()
            await self._note_traffic()
            await anyio.sleep(TRAFFIC_EVERY)

    async def _note_traffic(self, over: bool = False) -> None:
        now, engine = self._context.now(), self._context.engine
        staff = None if over else engine.staff
        if staff is not None:
            self._context.sink.staffed(staff)
        for name, lane in self._lanes.items():
            status = lane.keys.status(lane.due, now)
            notes = (status.note, self._context.routing.note(name), staff)
            status = replace(status, note="; ".join(filter(None, notes)))
            if self._context.paused and not over:
                status = replace(status, reason=PAUSED)
            elif engine.absent is not None and not over:
                status = replace(status, reason=engine.absent)
            until = status.waiting_until
            # Nobody waits for one whose jobs another does.
            taken_over = lane.gave_up is not None and not self._context.routing.stranded(name)
            reason = None if taken_over else status.reason
            self._context.sink.waiting(name, until if until != math.inf else None, reason)
            if over:
                # Nobody waits any more; why a provider was left is worth keeping.
                status = replace(status, waiting_until=None, reason=status.reason if lane.gave_up else None)
            await self._context.ledger.traffic(name, status)
            await lane.note_paces()
