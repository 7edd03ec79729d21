"""What a request waits for: the bell that wakes it, the places of all, and the gate of one key.

A gate answers when it may be entered; it never waits itself and knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from batchgen.errors import JobError
from batchgen.events import Allowance
from batchgen.pacing import FIRST, Line, Pace, Rate, Trip
from batchgen.providers.profile import Limits


def stated(limits: Limits, concurrency: int | None) -> int | None:
    """Requests that one key may have in flight, as far as somebody said: the least of it; None: nobody did."""
    return min((most for most in (limits.concurrency, concurrency) if most), default=None)


class Bell:
    """Wakes whoever waits, and never loses a ring that came between the look and the wait."""

    def __init__(self) -> None:
        self.rings = 0
        self._awaited: anyio.Event | None = None

    def ring(self) -> None:
        """Something changed: look again."""
        self.rings += 1
        if self._awaited is not None:
            self._awaited.set()
            self._awaited = None

    async def wait(self, seen: int, seconds: float = float("inf")) -> None:
        """Return when it rang since `rings` was `seen`, or after so many seconds."""
        if self.rings == seen:
            # Most rings meet nobody: what they would set is made by who waits.
            self._awaited = ringing = self._awaited or anyio.Event()
            with anyio.move_on_after(max(0.0, seconds)):
                await ringing.wait()


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
    """What one key of a provider permits over all its models, and a line for each of these.

    It says when the next request may go and keeps count; lanes/keyring.py waits, and chooses among keys.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        concurrency: int | None,
        everyone: Places | None = None,
        key: str | None = None,
        paces: Mapping[str, Pace] | None = None,
    ) -> None:
        """`key` is the name of the key's variable, never the key; None where the provider takes none.

        `paces`: what earlier runs noted, by model.
        """
        self.key = key
        self.in_flight = 0
        self.lines: dict[str, Line] = {}
        self.parked: JobError | None = None
        """why this key gets nothing more in this run"""
        self._ceiling = stated(limits, concurrency)
        self._paces = paces or {}
        self._requests = Rate(limits.requests_per_minute)
        self._images = Rate(limits.images_per_minute)
        self._everyone = everyone or Places(None)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now: what its lines take together, and no more than is stated."""
        places = sum(line.window.places for line in self.lines.values()) or self._ceiling or FIRST
        return min(places, self._ceiling or places)

    def line(self, model: str) -> Line:
        """The line for one model."""
        if model not in self.lines:
            self.lines[model] = Line(self._ceiling, self._paces.get(model))
        return self.lines[model]

    def ready_at(self, model: str, now: float) -> float:
        """Epoch seconds when a request may go; infinity while a place or the end of an outage is awaited."""
        full = self._ceiling is not None and self.in_flight >= self._ceiling
        if self.parked is not None or full or not self._everyone.free:
            return float("inf")
        return max(self._requests.ready_at(now), self._images.ready_at(now), self.line(model).ready_at(now))

    def take(self, model: str, images: int, now: float) -> Pass:
        """One request for `images` images goes now."""
        self.in_flight += 1
        self._everyone.take()
        self._requests.take(now)
        self._images.take(now, images)
        line = self.line(model)
        return Pass(self, line, line.take(now))

    def leave(self) -> None:
        """A request is over."""
        self.in_flight -= 1
        self._everyone.leave()


@dataclass(frozen=True, slots=True)
class Pass:
    """The leave of one request to go: through which gate, in which line. Given back when it is over."""

    gate: Gate
    line: Line
    trip: Trip

    @property
    def key(self) -> str | None:
        """The variable of the API key that it goes with."""
        return self.gate.key

    def served(self, now: float, *, timed: bool = True) -> None:
        """It brought images. `timed` False: they came from its task later on, which tells nothing of the pace."""
        self.line.served(self.trip, now, timed=timed)

    def told(self, allowance: Allowance, now: float) -> None:
        """Its answer says how many more are taken, and in how many seconds there is one again."""
        self.line.told(self.trip, allowance, now)

    def failed(self, error: JobError, now: float) -> bool:
        """It brought none. True when it was refused as one more than was ever served at once."""
        return self.line.failed(self.trip, error, now)

    def leave(self, now: float) -> None:
        """The request is over, however it ended."""
        self.line.leave(self.trip, now)
        self.gate.leave()
