"""Time on a chart: an axis without the hours in which nothing happened, and what falls into each of its bins. Pure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

MOST_BINS: Final = 72
"""A batch with few events gets fewer, or every bin would hold one."""

IDLE: Final = 1800.0
"""Seconds without any event that are left out of the axis: a night between two runs would flatten both."""

_MOST_SPANS: Final = 8
_SHORTEST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Bin:
    """A piece of time, and where it lies on the axis, from 0 to 1."""

    start: float
    end: float
    left: float
    right: float

    @property
    def minutes(self) -> float:
        """Its length."""
        return (self.end - self.start) / 60


@dataclass(frozen=True, slots=True)
class Axis:
    """Bins in order; `breaks` are the places where idle time was left out, with its seconds."""

    bins: Sequence[Bin]
    breaks: Sequence[tuple[float, float]]

    @property
    def start(self) -> float:
        """The first moment."""
        return self.bins[0].start

    @property
    def end(self) -> float:
        """The last moment."""
        return self.bins[-1].end

    def sort(self, times: Iterable[float], values: Iterable[float]) -> list[list[float]]:
        """The values by the bin that their time falls into."""
        starts = [one.start for one in self.bins]
        found: list[list[float]] = [[] for _ in self.bins]
        for at, value in zip(times, values, strict=True):
            found[max(0, bisect.bisect_right(starts, at) - 1)].append(value)
        return found

    def count(self, times: Sequence[float]) -> list[int]:
        """How many of the times fall into each bin."""
        return [len(values) for values in self.sort(times, times)]


def axis(*events: Iterable[float]) -> Axis | None:
    """The axis on which all these moments lie; None when there are none."""
    times = sorted(chain(*events))
    if not times:
        return None
    gaps = sorted(((after - before, before, after) for before, after in pairwise(times)), reverse=True)
    idle = sorted(gap[1:] for gap in gaps[: _MOST_SPANS - 1] if gap[0] > IDLE)
    starts = [times[0], *(after for _, after in idle)]
    ends = [*(before for before, _ in idle), times[-1]]
    # A single event needs some width too, or nobody would see it.
    shortest = max(_SHORTEST, sum(end - start for start, end in zip(starts, ends, strict=True)) / MOST_BINS)
    spans = [(start, max(end, start + shortest)) for start, end in zip(starts, ends, strict=True)]
    whole = sum(end - start for start, end in spans)
    count = min(MOST_BINS, 8 + round(2 * math.sqrt(len(times))))
    bins: list[Bin] = []
    breaks: list[tuple[float, float]] = []
    left = 0.0
    for number, (start, end) in enumerate(spans):
        if number:
            breaks.append((left, start - spans[number - 1][1]))
        share = (end - start) / whole
        bins += _bins(spans[number], left, share, max(1, round(count * share)))
        left += share
    return Axis(bins, breaks)


def _bins(span: tuple[float, float], left: float, share: float, count: int) -> Iterator[Bin]:
    """The bins of one span of time, which has that share of the axis from `left` on."""
    start, end = span
    step, width = (end - start) / count, share / count
    for one in range(count):
        yield Bin(start + one * step, start + (one + 1) * step, left + one * width, left + (one + 1) * width)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which that share of the values lies; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
