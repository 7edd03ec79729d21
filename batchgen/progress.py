"""What a run shows while it goes on: a bar on a terminal, else a plain line now and then.

Three sinks that share one count. They write to the stream they are given and nowhere else; the
clock is an argument. No colour, so nothing to switch off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Never, TextIO

from batchgen.events import Event, Saved
from batchgen.ledger.records import Status
from batchgen.model import END_STATES, JobState
from batchgen.sinks import Report

if TYPE_CHECKING:
    from tqdm import tqdm

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines, at the least."""

DRAW_INTERVAL = 0.1
"""Seconds between two drawings of the bar."""

_NEAR = 90.0
"""Seconds that are told as such; of what is farther off the hour is told."""

_LOST = END_STATES - {JobState.DONE}


class Tally:
    """Counts and shows nothing: the sink of `--quiet`, and what the other two are made of.

    `clock` gives epoch seconds. `downloads` False: a job is over as soon as it is generated.
    """

    def __init__(self, clock: Callable[[], float], *, downloads: bool = True) -> None:
        self._clock = clock
        self._over = END_STATES if downloads else END_STATES | {JobState.GENERATED}
        self._counts = Counter[JobState]()
        self._since = clock()
        self._over_before = 0
        self._saved = 0
        self._waiting: dict[str, tuple[float | None, str]] = {}
        self._staff: str | None = None
        self.total = 0

    def started(self, total: int, status: Status) -> None:
        """Begin to count from where the ledger stands; told again when jobs are taken up on the way."""
        again, before = self.total > 0, self.over
        self.total = total
        self._counts = Counter(dict(status.jobs))
        if not again:
            self._since, before = self._clock(), 0
        # What was over and is taken up again counts once more when it ends.
        self._over_before += self.over - before
        self.show()

    def event(self, job_id: str, provider: str, event: Event) -> None:
        """Only saved images count; all else shows in the states."""
        if isinstance(event, Saved):
            self._saved += 1
            self.show()

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """A job leaves one count and joins another."""
        self._counts[old] -= 1
        self._counts[new] += 1
        self.show()

    def waiting(self, provider: str, until: float | None, reason: str | None) -> None:
        """Remember, or forget, what a provider waits for."""
        if reason is None:
            self._waiting.pop(provider, None)
        else:
            self._waiting[provider] = (until, reason)
        self.show()

    def staffed(self, words: str) -> None:
        """Remember who is there to work."""
        self._staff = words

    def finished(self, report: Report) -> None:
        """Nothing more to count."""

    def show(self) -> None:
        """Something changed; a sink with a face draws it."""

    def say(self, line: str) -> None:
        """A line for the person who watches; nobody watches this one."""

    @property
    def in_flight(self) -> int:
        """Jobs of which an attempt is open."""
        return self._counts[JobState.RUNNING]

    @property
    def over(self) -> int:
        """Jobs that ask for nothing more."""
        return sum(self._counts[state] for state in self._over)

    @property
    def _all_over(self) -> bool:
        return 0 < self.total <= self.over

    def facts(self) -> str:
        """`97 done, 2 failed, 4 in flight, 31 images/min, 5 min left; waiting until …`."""
        now = self._clock()
        minutes = max(now - self._since, 1e-9) / 60
        parts = [f"{self._counts[JobState.DONE]} done"]
        if lost := sum(self._counts[state] for state in _LOST):
            parts.append(f"{lost} not done")
        if generated := self._counts[JobState.GENERATED]:
            parts.append(f"{generated} to download")
        parts.append(f"{self.in_flight} in flight")
        if self._staff is not None:
            parts.append(self._staff)
        if self._saved:
            parts.append(f"{self._saved / minutes:.0f} images/min")
        # What is over waits for nobody.
        gained, waits = self.over - self._over_before, [] if self._all_over else self._waits(now)
        # With no more in flight than a probe for each that waits, nobody knows how long it takes.
        if gained > 0 and self.over < self.total and not (waits and self.in_flight <= len(waits)):
            parts.append(f"{duration((self.total - self.over) * minutes * 60 / gained)} left")
        return "; ".join([", ".join(parts), *waits])

    def _waits(self, now: float) -> list[str]:
        return [
            f"waiting{wait_text(until, now)} for {provider}: {reason}"
            for provider, (until, reason) in sorted(self._waiting.items())
            if until is None or until > now
        ]


class PlainLines(Tally):
    """A line at most every ten seconds, one as soon as there is something, and one at the end."""

    def __init__(self, clock: Callable[[], float], stream: TextIO, *, downloads: bool = True) -> None:
        super().__init__(clock, downloads=downloads)
        self._stream = stream
        self._next = float("-inf")

    def show(self) -> None:
        """Write a line unless the last one is too fresh."""
        now = self._clock()
        if now >= self._next:
            self._next = now + PLAIN_INTERVAL
            self._write()

    def finished(self, report: Report) -> None:
        """The last line shows where the batch stands."""
        self._write()

    def say(self, line: str) -> None:
        """Write the line now."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def _write(self) -> None:
        self.say(f"{self.over}/{self.total}: {self.facts()}")


class Bar(Tally):
    """One line on a terminal that is drawn over and over."""

    def __init__(self, clock: Callable[[], float], stream: TextIO, *, downloads: bool = True) -> None:
        super().__init__(clock, downloads=downloads)
        self._stream = stream
        self._bar: tqdm[Never] | None = None
        self._drawn = float("-inf")

    def started(self, total: int, status: Status) -> None:
        """Open the bar where the last run left it."""
        from tqdm import tqdm

        if self._bar is None:
            tqdm.monitor_interval = 0  # no watching thread: every fact draws
            self._bar = tqdm(
                total=total,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt}{postfix}",
            )
        super().started(total, status)

    def show(self) -> None:
        """Draw, as often as an eye can follow."""
        now = self._clock()
        if now - self._drawn >= DRAW_INTERVAL:
            self._drawn = now
            self._draw()

    def waiting(self, provider: str, until: float | None, reason: str | None) -> None:
        """Drawn at once: perhaps nothing else happens until then."""
        super().waiting(provider, until, reason)
        self._draw()

    def finished(self, report: Report) -> None:
        """Leave the last state standing above the summary."""
        if self._bar is not None:
            self._draw()
            self._bar.close()
            self._bar = None

    def say(self, line: str) -> None:
        """Write the line above the bar."""
        from tqdm import tqdm

        tqdm.write(line, file=self._stream)

    def _draw(self) -> None:
        if self._bar is not None:
            self._bar.n = self.over
            self._bar.set_postfix_str(self.facts())


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`, `7 d`: as exact as anyone wants to know."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{round(hours / 24)} d"


def wait_text(until: float | None, now: float) -> str:
    """` 8 s more` for what is near, ` until 02:14` for what is not; nothing when the end is not known."""
    if until is None or until - now >= _NEAR:
        return until_text(until)
    return f" {max(1, math.ceil(until - now))} s more"


def until_text(until: float | None) -> str:
    """` until 02:14` by the clock on the wall; nothing when the end is not known."""
    if until is None:
        return ""
    return f" until {datetime.fromtimestamp(until):%H:%M}"
