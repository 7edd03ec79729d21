"""The gate before one provider: waits for a free place, the rate, and the breaker. Owns the clock.

One lane enters at a time, so there is no queue here. It says what it waits for, so that status and
progress never show "running" for something that stands still.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from batchgen.errors import JobError
from batchgen.ledger.records import ProviderStatus
from batchgen.pacing import Breaker, Rate
from batchgen.providers.profile import Limits

DEFAULT_CONCURRENCY = 8
# Timers closer than this only burn the processor: a rate of thousands a minute is exact without.
_SLACK = 0.005


class Bell:
    """Wakes whoever waits, and never loses a ring that came between the look and the wait."""

    def __init__(self) -> None:
        self.rings = 0
        self._event = anyio.Event()

    def ring(self) -> None:
        """Something changed: look again."""
        self.rings += 1
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, seen: int, seconds: float = float("inf")) -> None:
        """Return when it rang since `rings` was `seen`, or after so many seconds."""
        if self.rings == seen:
            with anyio.move_on_after(max(0.0, seconds)):
                await self._event.wait()


class Gate:
    """Concurrency, requests and images a minute, pauses and outages of one provider."""

    def __init__(self, limits: Limits, *, concurrency: int | None, now: Callable[[], float]) -> None:
        self.limit = concurrency or limits.concurrency or DEFAULT_CONCURRENCY
        self.in_flight = 0
        self.breaker = Breaker()
        self.parked: JobError | None = None
        self.waiting_until: float | None = None
        self.opens_at: float | None = None
        """epoch seconds of the run's first hour, while it has not come"""
        self._requests = Rate(limits.requests_per_minute)
        self._images = Rate(limits.images_per_minute)
        self._now = now
        self.bell = Bell()

    async def enter(self, images: int, closed: Callable[[], bool]) -> bool:
        """Wait until one request for `images` images may go; False when the gate closed meanwhile."""
        while self.parked is None and not closed():
            seen = self.bell.rings
            now = self._now()
            ready = self._ready_at(now)
            if ready - now <= _SLACK:
                self.waiting_until = None
                self.in_flight += 1
                self._requests.take(now)
                self._images.take(now, images)
                return True
            self.waiting_until = ready if ready != float("inf") else None
            await self.bell.wait(seen, ready - now)
        self.waiting_until = None
        return False

    def _ready_at(self, now: float) -> float:
        places = 1 if self.breaker.is_open else self.limit
        if self.in_flight >= places:
            return float("inf")
        return max(
            self._requests.ready_at(now), self._images.ready_at(now), self.breaker.ready_at(now)
        )

    def leave(self) -> None:
        """The request is over, however it ended."""
        self.in_flight -= 1
        self.bell.ring()

    def park(self, error: JobError) -> None:
        """The provider takes nothing more in this run: a bad key, a spent quota, a wrong address."""
        self.parked = error
        self.bell.ring()

    def status(self, due: float | None, now: float) -> ProviderStatus:
        """What the provider does now; `due` is when the next waiting job may be sent."""
        until, reason = self._waiting(due, now)
        return ProviderStatus(
            in_flight=self.in_flight, limit=self.limit, waiting_until=until, reason=reason
        )

    def _waiting(self, due: float | None, now: float) -> tuple[float | None, str | None]:
        if self.parked is not None:
            return None, f"stopped: {self.parked.message}"
        if self.opens_at is not None and self.opens_at > now:
            return self.opens_at, "the hours of this run (--start-at)"
        if self.breaker.is_open:
            return self.breaker.ready_at(now), f"down: {self.breaker.reason}"
        if self.waiting_until is not None:
            return self.waiting_until, "rate limit"
        if due is not None and due > now and self.in_flight == 0:
            return due, "retry"
        return None, None
