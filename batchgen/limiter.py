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


def places_for(limits: Limits, concurrency: int | None) -> int:
    """Requests that one provider may have in flight: the smaller of what it and the run state, else 8."""
    return min((stated for stated in (limits.concurrency, concurrency) if stated), default=DEFAULT_CONCURRENCY)


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


class Places:
    """Requests that all providers together may have in flight; None: no limit over all."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken = 0
        self._bells: list[Bell] = []

    def join(self, bell: Bell) -> None:
        """Ring this bell whenever a place gets free."""
        self._bells.append(bell)

    @property
    def free(self) -> bool:
        """Whether one more may go."""
        return self._most is None or self._taken < self._most

    def take(self) -> None:
        """One goes."""
        self._taken += 1

    def leave(self) -> None:
        """One is back."""
        self._taken -= 1
        # Whose turn comes first goes round: one provider must not take every place that gets free.
        self._bells.append(self._bells.pop(0))
        for bell in self._bells:
            bell.ring()


class Gate:
    """Concurrency, requests and images a minute, pauses and outages of one provider."""

    def __init__(
        self,
        limits: Limits,
        *,
        concurrency: int | None,
        now: Callable[[], float],
        everyone: Places | None = None,
        patience: float = float("inf"),
    ) -> None:
        self.limit = places_for(limits, concurrency)
        self.in_flight = 0
        self.breaker = Breaker()
        self.parked: JobError | None = None
        self.waiting_until: float | None = None
        self.opens_at: float | None = None
        """epoch seconds of the run's first hour, while it has not come"""
        self._paused_until = 0.0
        self._patience = patience
        self._requests = Rate(limits.requests_per_minute)
        self._images = Rate(limits.images_per_minute)
        self._now = now
        self.bell = Bell()
        self._everyone = everyone or Places(None)
        self._everyone.join(self.bell)

    async def enter(self, images: int, closed: Callable[[], bool]) -> bool:
        """Wait until one request for `images` images may go; False when the gate closed meanwhile."""
        while self.parked is None and not closed():
            seen = self.bell.rings
            now = self._now()
            ready = self._ready_at(now)
            if ready - now <= _SLACK:
                self.waiting_until = None
                self.in_flight += 1
                self._everyone.take()
                self._requests.take(now)
                self._images.take(now, images)
                return True
            self.waiting_until = ready if ready != float("inf") else None
            await self.bell.wait(seen, min(ready, self.gives_up_at()) - now)
        self.waiting_until = None
        return False

    def _ready_at(self, now: float) -> float:
        places = 1 if self.breaker.is_open else self.limit
        if self.in_flight >= places or not self._everyone.free:
            return float("inf")
        return max(
            self._requests.ready_at(now),
            self._images.ready_at(now),
            self.breaker.ready_at(now),
            self._paused_until,
        )

    def pause(self, until: float) -> None:
        """The provider told everybody to wait, not only the job that it told."""
        self._paused_until = max(self._paused_until, until)

    def gives_up_at(self) -> float:
        """Epoch seconds when a provider that has failed without a break is past its patience."""
        since = self.breaker.failing_since()
        return float("inf") if since is None else since + self._patience

    def leave(self) -> None:
        """The request is over, however it ended."""
        self.in_flight -= 1
        self._everyone.leave()

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
        if self.waiting_until is not None or self._paused_until > now:
            return self.waiting_until or self._paused_until, "rate limit"
        if due is not None and due > now and self.in_flight == 0:
            return due, "retry"
        return None, None
