"""The state of one simulated provider (one dialect and name): limits, requests in flight, and tallies.

Time comes in as an argument, in epoch seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from batchgen.model import Json
from batchgen.simulator.failures import Failure
from batchgen.simulator.settings import SimulatorSettings


@dataclass(slots=True)
class Counts:
    """What happened at the server since its start; `billed` counts requests that were worked on."""

    posts: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    """requests by path; files by the first segment only"""
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    billed: int = 0
    images: int = 0
    in_flight: int = 0
    peak: int = 0
    """the most POSTs that were ever in flight together"""

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Count one POST as in flight."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def as_json(self, keys: Counter[str]) -> dict[str, Json]:
        """The answer of GET /_counts; `keys` are the Idempotency-Keys seen."""
        return {
            "posts": self.posts,
            "paths": dict(self.paths),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "faults": dict(self.faults),
            "billed": self.billed,
            "images": self.images,
            "in_flight": self.in_flight,
            "peak": self.peak,
            "idempotency_keys": len(keys),
            "repeated_keys": {key: count for key, count in keys.items() if count > 1},
        }


class Account:
    """Limits of one provider: requests in any 60 seconds, and requests at once."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.in_flight = 0
        self._recent: deque[float] = deque()

    def over_limit(self, now: float) -> Failure | None:
        """The 429 that a request in flight meets, or None; then it counts as taken."""
        allowed = self.settings.concurrency
        if allowed is not None and self.in_flight > allowed:
            return Failure(
                status=429, message="token concurrency limit reached", code="token_concurrency_limit_reached"
            )
        if self.settings.rpm is not None:
            while self._recent and now - self._recent[0] >= 60:
                self._recent.popleft()
            if len(self._recent) >= self.settings.rpm:
                wait = 60 - (now - self._recent[0])
                return Failure(
                    status=429,
                    message=f"Rate limit reached for requests per min: Limit {self.settings.rpm:g}. "
                    f"Please try again in {wait:.3f}s.",
                    type="requests",
                    code="rate_limit_exceeded",
                )
            self._recent.append(now)
        return None

    def allowance(self, now: float) -> tuple[float, float, float]:
        """The limit of a minute, what is left of it, and in how many seconds there is one more again."""
        limit = self.settings.rpm
        if limit is None:
            return 10_000, max(0, 10_000 - self.in_flight), 0.12
        return limit, max(0.0, limit - len(self._recent)), 60 - (now - self._recent[0]) if self._recent else 0.0

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Hold one of the places for requests at once."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
