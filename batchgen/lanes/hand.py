"""The jobs that one lane has in hand: taken from the ledger in blocks, given back when they go elsewhere.

Which provider a job goes to is routing.py's word, and which jobs this run may start at all the scope's.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable
from functools import partial

from batchgen.lanes.context import Context
from batchgen.ledger import claims
from batchgen.ledger.records import PendingJob

BLOCK = 64

LOOK_EVERY = 1.0
"""Seconds between two looks for jobs of other models, while those in hand wait."""

NEVER, NEVER_AGAIN = float("-inf"), float("inf")


class Hand:
    """What one provider's lane will send next, in manifest order.

    A model that waits does not hold the others. Times are epoch seconds.
    """

    def __init__(self, provider: str, context: Context) -> None:
        self._provider = provider
        self._context = context
        self._routing = context.routing
        self._jobs: deque[tuple[str, PendingJob]] = deque()
        """Each with its model, as this provider calls it."""
        self._routes: set[tuple[str, ...]] = set()
        """Those of the jobs in hand, and perhaps of some that are gone."""
        self._turns = -1
        self._looked = NEVER
        self._retries: list[float] = []

    @property
    def empty(self) -> bool:
        """Whether nothing is in hand."""
        return not self._jobs

    @property
    def models(self) -> list[str]:
        """Those of the jobs in hand, as this provider calls them."""
        return list(dict.fromkeys([model for model, _ in self._jobs]))

    def take(self, closed: Collection[str]) -> PendingJob | None:
        """The next one whose model is not among the `closed`; None when there is none."""
        for place, (model, pending) in enumerate(self._jobs):
            if model not in closed:
                del self._jobs[place]
                if all(one.job.model != pending.job.model for _, one in self._jobs):
                    self._looked = NEVER  # there may be more of it behind those of the others
                return pending
        return None

    def give_back(self, *jobs: PendingJob) -> None:
        """Leave these to whoever takes them next."""
        self._context.returned.update(pending.key for pending in jobs)
        self._routing.claimed.difference_update(pending.key for pending in jobs)

    def drop(self) -> None:
        """Give everything back."""
        self.give_back(*(pending for _, pending in self._jobs))
        self._jobs.clear()

    def sort_out(self, now: float) -> None:
        """Give back what goes to another provider now."""
        lost = {route for route in self._routes if not self._routing.goes_to(route, self._provider, now)}
        if lost:
            self._routes -= lost
            self.give_back(*(pending for _, pending in self._jobs if pending.route in lost))
            self._jobs = deque(one for one in self._jobs if one[1].route not in lost)

    async def fill(self, now: float, most: int = BLOCK) -> None:
        """Take at most so many jobs that go here now."""
        await self._fetch(now, most)

    async def look_beyond(self, now: float) -> float:
        """Take jobs of other models than those in hand, which wait. Returns when to look again."""
        if now >= self._looked + LOOK_EVERY:
            self._looked = now
            await self._fetch(now, BLOCK, without={pending.job.model for _, pending in self._jobs})
        return self._looked + LOOK_EVERY

    def expect(self, at: float) -> None:
        """A job of this lane comes back then."""
        heapq.heappush(self._retries, at)

    async def retries_first(self, now: float) -> float:
        """What is due again goes before all that was taken earlier. Returns when the next one is."""
        if self._retries and self._retries[0] <= now:
            while self._retries and self._retries[0] <= now:
                heapq.heappop(self._retries)
            earlier, self._jobs = self._jobs, deque()
            await self._fetch(now, BLOCK, retried=True)
            self._jobs.extend(earlier)
        return self._retries[0] if self._retries else NEVER_AGAIN

    async def _fetch(self, now: float, most: int, *, without: Collection[str] = (), retried: bool = False) -> None:
        found: list[PendingJob] = []
        async with self._routing.claiming:
            for route in self._routing.open_to(self._provider, now):
                if self.limit_reached:
                    found += [one for one in await self._begun(route, now) if one.job.model not in without]
                    continue
                found += await self._context.ledger.pending(
                    route,
                    now,
                    most,
                    exclude=self._routing.claimed,
                    id_glob=self._context.scope.id_glob,
                    without=without,
                    retried=retried,
                )
            found.sort(key=lambda pending: pending.position)
            self._claim(found[:most])

    async def _begun(self, route: str, now: float) -> list[PendingJob]:
        """What this run has begun and may send again now."""
        keys, claimed = frozenset(self._context.returned), frozenset(self._routing.claimed)
        return await self._context.ledger.reader.ask(partial(claims.begun_jobs, keys, route, now, claimed))

    async def turns_first(self, now: float) -> None:
        """A parent was done: what edits its image goes before all that was taken earlier, row by row."""
        relay = self._context.relay
        if not relay.chained or self._turns == relay.turns:
            return
        self._turns = relay.turns
        earlier, self._jobs = self._jobs, deque()
        async with self._routing.claiming:
            for route in self._routing.open_to(self._provider, now):
                self._claim(
                    await self._context.ledger.next_turns(
                        route, BLOCK, exclude=self._routing.claimed, id_glob=self._context.scope.id_glob
                    )
                )
        self._jobs.extend(earlier)

    def _claim(self, jobs: Iterable[PendingJob]) -> None:
        started = self._context.started
        for pending in jobs:
            if self.limit_reached and pending.key not in started:
                continue
            started.add(pending.key)
            self._routing.claimed.add(pending.key)
            self._jobs.append((pending.job.models.get(self._provider, pending.job.model), pending))
            self._routes.add(pending.route)

    async def next_due(self, now: float) -> float | None:
        """When the first job that goes here now may be sent: 0.0 for at once, None when there is none."""
        ledger, glob = self._context.ledger, self._context.scope.id_glob
        routes = self._routing.open_to(self._provider, now)
        if self.limit_reached:
            keys = frozenset(self._context.returned)
            times = [await ledger.reader.ask(partial(claims.begun_due, keys, route)) for route in routes]
        else:
            times = [await ledger.next_due(route, id_glob=glob) for route in routes]
        return min((time for time in times if time is not None), default=None)

    @property
    def limit_reached(self) -> bool:
        """Whether this run may start no more jobs; those that it has begun it finishes."""
        limit = self._context.scope.limit
        return limit is not None and len(self._context.started) >= limit

    @property
    def scope_spent(self) -> bool:
        """Whether this run may start no more jobs, and no lane holds one of its own that may come here yet."""
        return self.limit_reached and not self._routing.claimed
