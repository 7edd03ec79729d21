"""Notices that nobody is served any more, and lets a probe through now and then. Pure: the time comes in."""

from __future__ import annotations

from batchgen.errors import (
    EmptyReply,
    Interrupted,
    JobError,
    NoChannel,
    NotSent,
    RateLimited,
    Saturated,
    ServerError,
)

_NEVER = float("-inf")


class Breaker:
    """Notices that a provider serves nobody, and then lets one probe through now and then.

    Five failures in a row that speak of the provider open it, refusals for rate or load among them.
    Any success, and any answer about a job itself, closes it.
    """

    THRESHOLD = 5
    FIRST_PROBE = 2.0
    LONGEST_PROBE = 60.0
    DOWN = (NotSent, ServerError, Saturated, NoChannel, Interrupted, EmptyReply, RateLimited)
    """failures that speak of the provider; after any other it has answered about the job"""

    def __init__(self) -> None:
        self._row = 0
        self._since: float | None = None
        self._interval = self.FIRST_PROBE
        self._probe_at = _NEVER
        self.is_open = False
        self.reason = ""
        self.limited = False
        """whether that was a refusal for rate: the provider is there, and has had enough"""

    def failed(self, error: JobError, now: float, *, row: int | None = None) -> None:
        """An attempt failed; errors that say nothing about the provider are ignored.

        `row`: how many in a row that makes, where others were taken between and are not answered yet.
        """
        if not isinstance(error, self.DOWN):
            return self.succeeded()
        self._row = self._row + 1 if row is None else row
        self._since = now if self._since is None else self._since
        self.reason, self.limited = error.message, isinstance(error, RateLimited)
        if self.is_open and now < self._probe_at:
            return None  # sent before the breaker opened: no probe, so no reason to wait longer for one
        if self.is_open:
            self._interval = min(self._interval * 2, self.LONGEST_PROBE)
            self._probe_at = now + self._interval
        elif self._row >= self.THRESHOLD:
            self.is_open = True
            self._interval = self.FIRST_PROBE
            self._probe_at = now + self._interval
        return None

    def succeeded(self) -> None:
        """The provider answered somebody: it is up."""
        self._row = 0
        self._since = None
        self.is_open = False

    def ready_at(self, now: float) -> float:
        """When the next request (a probe, while open) may go."""
        return max(self._probe_at, now) if self.is_open else now

    def failing_since(self) -> float | None:
        """Epoch seconds of the first failure after the last success; None while it serves."""
        return self._since
