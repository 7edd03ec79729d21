"""Which provider each job goes to now: the first of its route that is not out. Shared by the lanes of a run.

A provider is out when it is stopped for this run, or for as long as it serves nobody; then the next one
of a job's list takes its jobs, and they go back when it returns. Decides about no attempt: see retry.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import anyio

from batchgen.lanes.keyring import Keyring
from batchgen.ledger.records import PendingJob
from batchgen.ledger.rows import route_of


class Routing:
    """The routes of the batch, the keyrings of its providers, and what the lanes have in hand."""

    def __init__(self) -> None:
        self._routes: dict[str, tuple[str, ...]] = {}
        self._rings: dict[str, Keyring] = {}
        self._went: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._reasons: dict[str, str] = {}
        self._left: set[str] = set()
        self._gone: set[str] = set()
        self.claimed: set[int] = set()
        """Keys of jobs that a lane has taken and not sent yet."""
        self.claiming = anyio.Lock()
        """Held from the look for jobs until they are in `claimed`: two lanes may look at the same route."""
        self.busy = 0
        """Attempts in flight, of all providers: each may leave a job for any of them."""

    def learn(self, routes: Mapping[str, tuple[str, ...]]) -> None:
        """Jobs may have these routes."""
        self._routes.update(routes)

    def join(self, provider: str, ring: Keyring) -> None:
        """A lane opens."""
        self._rings[provider] = ring

    def stir(self) -> None:
        """Something moved: let every lane look again."""
        for ring in self._rings.values():
            ring.bell.ring()

    def open_to(self, provider: str, now: float) -> list[str]:
        """The routes whose jobs go to this provider now: every provider before it is out."""
        return [text for text, route in self._routes.items() if self.goes_to(route, provider, now)]

    def leave(self, provider: str, *, gone: bool) -> None:
        """A lane sends nothing more in this run. `gone`: its provider gave out, so that others take its jobs."""
        self._left.add(provider)
        if gone:
            # For good: an answer that comes later still can't bring the lane back.
            self._gone.add(provider)
        self.stir()

    def come_back(self, provider: str) -> None:
        """A lane that had nothing left to send opens again."""
        self._left.discard(provider)

    def stranded(self, provider: str) -> bool:
        """Whether jobs of this provider, which gave out, have no other one left to go to."""
        return any(provider in route and self._gone.issuperset(route) for route in self._routes.values())

    def with_(self, provider: str, now: float) -> list[str]:
        """The routes that lead to this provider now, or may do so once the one that serves them fails."""
        return [
            text
            for text, route in self._routes.items()
            if provider in route and self._is_served(route, now)
        ]

    def served(self, now: float) -> list[str]:
        """The routes of which jobs may still be sent in this run."""
        return [text for text, route in self._routes.items() if self._is_served(route, now)]

    def _is_served(self, route: tuple[str, ...], now: float) -> bool:
        return any(name not in self._left and self.goes_to(route, name, now) for name in route)

    def goes_to(self, route: tuple[str, ...], provider: str, now: float) -> bool:
        """Whether a job of this route goes to the provider now."""
        if route[:1] == (provider,):
            return True
        if provider not in route:
            return False
        return all(self._out(name, now) for name in route[: route.index(provider)])

    def _out(self, provider: str, now: float) -> bool:
        ring = self._rings.get(provider)
        return ring is None or provider in self._gone or ring.is_out(now)

    def turned_away(self, pending: PendingJob, provider: str) -> tuple[str, ...]:
        """The route that is left for a job which this provider can't serve."""
        route = tuple(name for name in pending.route if name != provider)
        self.learn({route_of(route): route})
        return route

    def sent(self, pending: PendingJob, provider: str, now: float) -> None:
        """A job goes to this provider; remembered, if it is not the first of its list."""
        first = pending.job.provider[0]
        if first == provider:
            return
        self._went[first, provider].add(pending.key)
        if (ring := self._rings.get(first)) is not None and (reason := ring.gone(now)) is not None:
            self._reasons[first] = reason

    def note(self, provider: str) -> str | None:
        """Where jobs of this provider went: `120 jobs went to tu-zi`."""
        return ", ".join(self._moves(provider)) or None

    def told(self) -> tuple[str, ...]:
        """A line for each provider whose jobs went to others, and for each that lost a key; and why."""
        firsts = dict.fromkeys(first for first, _ in self._went)
        dropped = ((name, ring.dropped()) for name, ring in self._rings.items())
        return (
            *(
                f"{self._reasons.get(first, f'{first} could not serve them')}: {', '.join(self._moves(first))}"
                for first in firsts
            ),
            *(f"{name}: {words}" for name, words in dropped if words),
        )

    def _moves(self, provider: str) -> Iterator[str]:
        for (first, then), keys in self._went.items():
            if first == provider:
                yield f"{len(keys)} {'job' if len(keys) == 1 else 'jobs'} went to {then}"
