"""How many requests a provider takes at once, found out by asking: a congestion window. Pure arithmetic.

Slow start, then by steps while the places are really used; refusals in a row are a limit, a single
one is chance. At a known limit it stays, and asks for more ever more rarely.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

FIRST = 4
"""requests at once of a provider that nothing is known of"""

LARGEST = 1000
"""requests at once where nobody states a limit"""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a window knows, for the next run: `limited` when the provider refused more than these places."""

    places: int
    limited: bool


class Latency:
    """Whether answers became slower as the window grew: then the provider queues, and more brings nothing.

    The medians of two stages are compared, one at half the places of the other.
    """

    SLOWER = 1.8
    """times the median at half the places: hardly more is served than then"""
    NOTICEABLE = 1.0
    """seconds: less than that is the noise of machines and wires"""
    ENOUGH = 8
    """answers that make a median"""

    def __init__(self) -> None:
        self._stage = 0.0
        self._before: float | None = None
        self._recent: deque[float] = deque(maxlen=31)

    @property
    def usual(self) -> float | None:
        """The median of the last answers, in seconds; None before there are enough."""
        return median(self._recent) if len(self._recent) >= self.ENOUGH else self._before

    def add(self, seconds: float, size: float) -> None:
        """An answer came after so many seconds, the window being so large."""
        if not self._recent:
            self._stage = size
        elif size >= 2 * self._stage and len(self._recent) >= self.ENOUGH:
            self._before, self._stage = median(self._recent), size
            self._recent.clear()
        self._recent.append(seconds)

    def settle(self, size: float) -> None:
        """The window stays: whatever makes answers slower now is not its growth."""
        self._before, self._stage = None, size

    @property
    def slower(self) -> float:
        """How many times longer the answers of this stage take than those of the stage before; 1: no clear change."""
        if self._before is None or len(self._recent) < self.ENOUGH:
            return 1.0
        now = median(self._recent)
        clearly = now > max(self.SLOWER * self._before, self._before + self.NOTICEABLE)
        return now / self._before if clearly else 1.0


class Window:
    """The requests that may be in flight at once. `ceiling` is what is stated, `learned` what an earlier run knew.

    A stated ceiling is begun with; it was somebody's word. Requests are told apart by their serial
    number, `level` is how many were in flight when one left, itself included.
    """

    IN_A_ROW = 3
    """requests that left one after the other and were all refused: a limit, where one alone is chance. More
    of them in a large window, which meets chance more often"""
    ASKING = 64
    """Up to so many places others may come between them on the way up; a false limit is not to end a large window"""
    EDGE = 0.9
    """times what was ever served: a refusal above that is the limit itself, and one below a new, lower one"""
    CUT = 0.8
    """times the places, when what was served before is refused now"""
    FIRST_STAY, LONGEST_STAY = 20, 80
    """rounds at a known limit before more is asked for; doubled each time that more is refused"""
    SHORT_STAY = 3
    """the same after a cut below what was served before: it may come back soon"""

    def __init__(self, ceiling: int | None = None, learned: Learned | None = None) -> None:
        if ceiling is not None and learned is not None and not learned.limited:
            learned = None  # no more was tried then, and more is stated now
        self._most = float(ceiling or LARGEST)
        self._size = min(float(learned.places if learned else ceiling or FIRST), self._most)
        self._limit = self._size if learned is not None and learned.limited else None
        self._starting = self._limit is None
        self._slow = ceiling is None
        self._proven = 0
        self._round_places = self.places
        self._served = self._rounds = self._peak = 0
        self._since_cut = LARGEST
        self._found = self._limit is not None
        self._step = 1.0
        self._stay = self.SHORT_STAY if learned else self.FIRST_STAY
        self._refused: deque[tuple[int, int]] = deque(maxlen=16)
        self._cut_before = 0
        self._latency = Latency()

    @property
    def places(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._size))

    @property
    def proven(self) -> int:
        """The most that were served at once."""
        return self._proven

    @property
    def usual(self) -> float | None:
        """Seconds that answers take, the median of the last ones; None before there are enough."""
        return self._latency.usual

    @property
    def learned(self) -> Learned | None:
        """What the next run may begin with; None while nothing was served."""
        if self._found:
            return Learned(self.places, True)
        return Learned(min(self.places, self._proven), False) if self._proven else None

    def sent(self, level: int) -> None:
        """A request leaves."""
        self._peak = max(self._peak, level)

    def served(self, serial: int, level: int, seconds: float | None, next_serial: int) -> None:
        """A request was answered, after so many seconds; None: by an answer that took no work."""
        self._proven = max(self._proven, min(level, self.places))
        if seconds is not None and serial >= self._cut_before:
            self._latency.add(seconds, self._size)
            if (slower := self._latency.slower) > 1.0:
                # So many fewer are served as fast as before; what comes then shows whether that was why.
                self._cut_before = next_serial
                self._settle(max(1.0, self._size / slower), self.SHORT_STAY)
        # Places that stand empty prove nothing about the limit.
        used = self._peak + 1 >= self._round_places
        if self._starting and used:
            self._size = min(self._size + 1, self._most)
        self._served += 1
        self._since_cut += 1
        if self._served >= self._round_places:
            self._round(used)
            self._round_places = self.places

    def _round(self, used: bool) -> None:
        """As many answers came as there are places."""
        self._served = self._peak = 0
        self._rounds += 1
        if self._starting or not used:
            return
        if self._limit is not None and self._size >= self._limit:
            self._latency.settle(self._size)
            if self._rounds < self._stay:
                return
            self._limit, self._step = None, 1.0
        self._rounds = 0
        self._size = min(self._size + self._step, self._limit or self._most)
        self._step *= 2

    def refused(self, serial: int, level: int, next_serial: int) -> bool:
        """A request was refused for load; True when that is taken for a limit, and the window was cut.

        `next_serial` is that of the next request to leave: what left before a cut can't cause another.
        """
        if serial < self._cut_before:
            return False
        self._refused.append((serial, level))
        found = self._in_a_row(serial, level)
        if found is None:
            return False
        self._cut_before = next_serial
        self._cut(found)
        return True

    def _cut(self, level: int) -> None:
        # Which of two neighbours is the last that fits depends on how long answers are on their way to us.
        if level > self.EDGE * self._proven and self._since_cut >= self.places / 2:
            self._settle(max(1.0, level - 1.0), self.FIRST_STAY)
        else:
            self._settle(max(1.0, level - 1.0), self.SHORT_STAY)
            self._size = max(1.0, min(self._size, level * self.CUT))
        self._proven = min(self._proven, self.places)
        self._since_cut = 0

    def _settle(self, limit: float, stay: int) -> None:
        """Take that for the limit. After so many rounds more is asked for; later, when that was just tried."""
        probed = self._limit is None and not self._starting
        self._stay = min(self._stay * 2, self.LONGEST_STAY) if probed else stay
        self._size = min(self._size, limit)
        self._limit = limit
        self._found = True
        self._latency = Latency()
        self._starting = False
        self._step = 1.0
        self._round_places = self.places
        self._served = self._rounds = 0
        self._refused.clear()

    def _in_a_row(self, serial: int, level: int) -> int | None:
        """The lowest level of enough refusals that left one after the other, this one among them; or None."""
        needed = self.IN_A_ROW + (level > 100) + (level > 500)
        span = needed
        if level > self.EDGE * self._proven and (not self._starting or (self._slow and level <= self.ASKING)):
            # Places get free meanwhile, and let one or another pass between them. While one more is tried,
            # nothing is lost by a mistake.
            probing = self._limit is None and not self._starting
            needed += level <= self._proven and not probing
            span = 2 * needed - 1
        levels = dict(self._refused)
        for first in range(serial - span + 1, serial + 1):
            row = [levels[one] for one in range(first, first + span) if one in levels]
            if len(row) >= needed:
                return min(row)
        return None
