"""One line of requests: those for one model that go with one key. How many at once, when, and what they meet.

Pure: every method takes the time. Rates that are stated, and what all lines share, are limiter.py's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from batchgen.errors import (
    BadReference,
    JobError,
    NoWorker,
    RateLimited,
    ReferenceLost,
    Saturated,
    StoreDown,
    WorkerLost,
)
from batchgen.events import Allowance
from batchgen.pacing.breaker import Breaker
from batchgen.pacing.window import Learned, Window
from batchgen.retry import LONGEST_TOLD_WAIT

WORTH_A_PAUSE = 1.0
"""Seconds that a provider tells one job to wait, from which on all of its line wait."""

TOLD_IN_A_ROW = 3
"""Jobs in a row that are told to wait, from which on all of the line wait however short it is."""

SPREAD, SHORTEST_SPACING, LONGEST_SPACING = 0.6, 0.005, 0.02
"""Requests are spread over this share of a usual answer, but no farther apart than so many seconds; what would
be nearer together goes as it comes, which costs fewer commits."""

APART = 4
"""Refusals for load whose requests left farther apart than this are no row: those between them were taken."""

BELIED = 3
"""Requests that are served although nothing was left for them, after which what a line is told counts no more."""

LONGEST_SPAN = 60.0
"""Seconds that a told limit is taken to be for at the most, whenever it says that there is one again."""

TIMES_THE_USUAL, SHORTEST_STALL = 5, 60.0
"""A stall is silence of so many usual answers, and of so many seconds at the least."""

NEVER_ANSWERED = 300.0
"""The same in seconds, where no answer has come that could tell what is usual."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is kept of a line for the next run. `paused_until`: epoch seconds; 0 or past: no wait."""

    learned: Learned | None = None
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Trip:
    """One request on its way: its number in the line, how many were in flight with it, when it left."""

    serial: int
    level: int
    left: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing came back for `silent` seconds, while `in_flight` requests are out, the oldest for `oldest` seconds."""

    silent: float
    in_flight: int
    oldest: float


class Line:
    """The window, the breaker and the told waits of one model with one key. Times are epoch seconds."""

    def __init__(self, ceiling: int | None = None, pace: Pace | None = None) -> None:
        """`ceiling` is what is stated, `pace` what an earlier run noted."""
        pace = pace or Pace()
        self.window = Window(ceiling, pace.learned)
        self.breaker = Breaker()
        self.paused_until = pace.paused_until
        self.served_at = float("-inf")
        """epoch seconds of its last images"""
        self._under_way: dict[int, Trip] = {}
        self._refused: deque[int] = deque(maxlen=64)
        self._beyond = set[int]()
        self._contradicted = 0
        self._told_by = -1
        self._told_until = self._told_spacing = self._span = 0.0
        self._came_back = float("-inf")
        self._next_serial = 0
        self._next_at = float("-inf")

    @property
    def in_flight(self) -> int:
        """Requests that left and are not over."""
        return len(self._under_way)

    @property
    def pace(self) -> Pace:
        """What the next run should know."""
        return Pace(self.window.learned, self.paused_until)

    def ready_at(self, now: float) -> float:
        """When the next request may go; infinity while a place is awaited."""
        places = 1 if self.breaker.is_open else self.window.places
        if self.in_flight >= places:
            return float("inf")
        return max(self.breaker.ready_at(now), self.paused_until, self._next_at)

    def take(self, now: float) -> Trip:
        """A request leaves."""
        trip = Trip(self._next_serial, self.in_flight + 1, now)
        self._next_serial += 1
        self._under_way[trip.serial] = trip
        self.window.sent(trip.level)
        self._next_at = max(self._next_at, now) + self._spacing()
        return trip

    def leave(self, trip: Trip, now: float) -> None:
        """The request is over, however it ended."""
        del self._under_way[trip.serial]
        self._beyond.discard(trip.serial)
        self._came_back = now

    def _spacing(self) -> float:
        """Seconds between two requests: those that left together would come back and leave together for ever."""
        usual = self.window.usual
        spacing = 0.0 if usual is None else min(usual / self.window.places * SPREAD, LONGEST_SPACING)
        return max(spacing if spacing >= SHORTEST_SPACING else 0.0, self._told_spacing)

    def _refusals_around(self, serial: int) -> int:
        """How many in a row were refused, this one among them, since one was served."""
        self._refused.append(serial)
        row: list[int] = []
        for one in sorted(self._refused):
            if row and one - row[-1] > APART:
                if row[-1] >= serial:
                    break
                row = []
            row.append(one)
        return len(row)

    def stall(self, now: float) -> Stall | None:
        """What stands still, when nothing came back for far longer than answers usually take."""
        if not self._under_way:
            return None
        oldest = next(iter(self._under_way.values())).left
        silent, usual = now - max(oldest, self._came_back), self.window.usual
        patience = NEVER_ANSWERED if usual is None else max(SHORTEST_STALL, TIMES_THE_USUAL * usual)
        return Stall(silent, self.in_flight, now - oldest) if silent > patience else None

    def served(self, trip: Trip, now: float, *, timed: bool = True) -> None:
        """It brought images. `timed` False: they came from its task later on, which tells nothing of the pace."""
        self.breaker.succeeded()
        self._refused.clear()
        self.served_at = now
        self._belied(trip.serial)
        self.window.served(trip.serial, trip.level, now - trip.left if timed else None, self._next_serial)

    def told(self, trip: Trip, allowance: Allowance, now: float) -> None:
        """An answer says how many more are taken, and when there is one again; those that left after it use that up.

        When nothing is left the line waits, and from then on spreads its requests over the time that the limit
        is for. What is told too late, or always the same, is contradicted by those that are served all the
        same; then it is heeded no more.
        """
        if self._contradicted >= BELIED or trip.serial < self._told_by:
            return
        self._told_by = trip.serial
        if allowance.remaining == 0:
            self._span = max(self._span, min(allowance.reset, LONGEST_SPAN))
        if self._span and allowance.limit:
            self._told_spacing = self._span / allowance.limit
        # It was true when the request came in, which may be a minute ago.
        until = trip.left + min(allowance.reset, LONGEST_TOLD_WAIT)
        later = [serial for serial in self._under_way if serial > trip.serial]
        if now < until and allowance.remaining <= len(later):
            self._beyond.update(later[allowance.remaining :])
            self._told_until = until
            self.paused_until = max(self.paused_until, until)

    def _belied(self, serial: int) -> None:
        """A request was served; if it should have been refused, what was told is not so."""
        self._contradicted += serial in self._beyond
        if self._contradicted >= BELIED and self._told_until:
            self._told_spacing = 0.0
            self.paused_until = 0.0 if self.paused_until == self._told_until else self.paused_until

    def failed(self, trip: Trip, error: JobError, now: float) -> bool:
        """It brought none. True when it was refused as one more than was ever served: the line's own asking."""
        if isinstance(error, ReferenceLost | BadReference | StoreDown) and error.status is None:
            return False  # found out here: the provider was not asked
        if isinstance(error, NoWorker | WorkerLost):
            return False  # our own trouble, which tells nothing of the provider
        load = isinstance(error, RateLimited | Saturated)
        row = self._refusals_around(trip.serial) if load else None
        self.breaker.failed(error, now, row=row)
        if load:
            self._contradicted = 0 if trip.serial in self._beyond else self._contradicted
            beyond = 0 < self.window.proven < trip.level
            self.window.refused(trip.serial, trip.level, self._next_serial)
            told = error.retry_after or 0.0
            if isinstance(error, RateLimited) and (told >= WORTH_A_PAUSE or (row or 0) >= TOLD_IN_A_ROW):
                # It was told to one job, and is meant for everybody.
                self.paused_until = max(self.paused_until, now + min(told, LONGEST_TOLD_WAIT))
            return beyond
        if not isinstance(error, Breaker.DOWN):
            self.window.served(trip.serial, trip.level, None, self._next_serial)
        return False
