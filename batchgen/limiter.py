"""What a request waits for: the bell that wakes it, the places of all, and the gate of one key.

A gate answers when it may be entered; it never waits itself and knows no clock.
"""

from __future__ import annotations

import anyio

from batchgen.errors import JobError
from batchgen.pacing import Breaker, Rate
from batchgen.providers.profile import Limits

DEFAULT_CONCURRENCY = 8


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
    """What one key of a provider permits: requests at once and a minute, images a minute, pauses, a breaker.

    It says when the next request may go and keeps count; lanes/keyring.py waits, and chooses among keys.
    """

    def __init__(
        self, limits: Limits, *, concurrency: int | None, everyone: Places | None = None, key: str | None = None
    ) -> None:
        """`key` is the name of the key's variable, never the key; None where the provider takes none."""
        self.key = key
        self.limit = places_for(limits, concurrency)
        self.in_flight = 0
        self.breaker = Breaker()
        self.parked: JobError | None = None
        """why this key gets nothing more in this run"""
        self.paused_until = 0.0
        self._requests = Rate(limits.requests_per_minute)
        self._images = Rate(limits.images_per_minute)
        self._everyone = everyone or Places(None)

    def ready_at(self, now: float) -> float:
        """Epoch seconds when a request may go; infinity while a place or the end of an outage is awaited."""
        places = 1 if self.breaker.is_open else self.limit
        if self.parked is not None or self.in_flight >= places or not self._everyone.free:
            return float("inf")
        return max(
            self._requests.ready_at(now),
            self._images.ready_at(now),
            self.breaker.ready_at(now),
            self.paused_until,
        )

    def take(self, now: float, images: int) -> None:
        """One request for `images` images goes now."""
        self.in_flight += 1
        self._everyone.take()
        self._requests.take(now)
        self._images.take(now, images)

    def leave(self) -> None:
        """The request is over, however it ended."""
        self.in_flight -= 1
        self._everyone.leave()

    def pause(self, until: float) -> None:
        """The provider told everybody to wait, not only the job that it told."""
        self.paused_until = max(self.paused_until, until)
