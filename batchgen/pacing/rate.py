"""A stated rate, kept without bursts. Pure: every method takes the time, in epoch seconds."""

from __future__ import annotations

_NEVER = float("-inf")


class Rate:
    """At most so many a minute, evenly spaced (a generic cell rate algorithm with burst 1).

    A token bucket that starts full would let twice the quota through in its first minute.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._spacing = 60.0 / per_minute if per_minute else 0.0
        self._next = _NEVER

    def ready_at(self, now: float) -> float:
        """Epoch seconds when the next one may go; `now` or earlier means at once."""
        return max(self._next, now) if self._spacing else now

    def take(self, now: float, weight: int = 1) -> None:
        """One goes now and weighs as much as `weight` (images of one request)."""
        if self._spacing:
            self._next = max(self._next, now) + self._spacing * weight
