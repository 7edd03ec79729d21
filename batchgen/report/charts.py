"""Charts as inline SVG: drawn on a stretched canvas, with their words beside them in HTML, so text never shrinks.

No script: a bin's numbers are its tooltip. Colours are classes of the stylesheet.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from batchgen.report.gather import Timeline
from batchgen.report.markup import clock, number, seconds, text
from batchgen.report.times import Axis, Bin, axis, quantile

WIDTH: Final = 720
HEIGHT: Final = 160
_KINDS: Final = 5
"""Kinds of errors with a colour of their own; the rest share the last."""


def charts(line: Timeline) -> str:
    """The four charts on one axis of time; words instead when nothing has happened."""
    found = axis(line.saved, line.answered, line.paid, *line.errors.values())
    if found is None:
        return '<p class="quiet">Nothing has happened yet: the first answer will show here.</p>'
    drawn = (_rate(found, line), _latency(found, line), _cost(found, line), _errors(found, line))
    return f'<div class="charts">{"".join(drawn)}</div>'


def _rate(time: Axis, line: Timeline) -> str:
    rates = [count / one.minutes for count, one in zip(time.count(line.saved), time.bins, strict=True)]
    if not line.saved:
        return _card("Images a minute", "none yet", "", time, "")
    tips = [f"{number(rate)} images a minute" for rate in rates]
    top, mean = max(rates), len(line.saved) / sum(one.minutes for one in time.bins)
    drawing = _steps(time, rates, top, "rate") + _tips(time, tips)
    return _card("Images a minute", f"{number(mean)} on average, {number(top)} at best", drawing, time, number(top))


def _latency(time: Axis, line: Timeline) -> str:
    binned = time.sort(line.answered, line.seconds)
    middle = [quantile(values, 0.5) for values in binned]
    slow = [quantile(values, 0.9) for values in binned]
    if not line.seconds:
        return _card("Time to an answer", "no answer yet", "", time, "")
    top = max(value for value in slow if value is not None) or 1.0
    tips = [
        "" if low is None or high is None else f"half within {seconds(low)}, nine in ten within {seconds(high)}"
        for low, high in zip(middle, slow, strict=True)
    ]
    drawing = _line(time, slow, top, "slow") + _line(time, middle, top, "middle") + _tips(time, tips)
    half = quantile(line.seconds, 0.5) or 0.0
    most = quantile(line.seconds, 0.9) or 0.0
    words = f"half within {seconds(half)}, nine in ten within {seconds(most)}"
    legend = _legend((("middle", "half of them within"), ("slow", "nine in ten within")))
    return _card("Time to an answer", words, drawing, time, seconds(top), legend)


def _cost(time: Axis, line: Timeline) -> str:
    if not line.cost:
        words = "unknown: no price given" if line.answered else "nothing yet"
        return _card("Cost", words, "", time, "")
    sums, total = [], 0.0
    for values in time.sort(line.paid, line.cost):
        total += sum(values)
        sums.append(total)
    drawing = _steps(time, sums, total or 1.0, "cost") + _tips(time, [f"{value:.2f} so far" for value in sums])
    return _card("Cost, added up", f"{total:.2f} by the price list", drawing, time, f"{total:.2f}")


def _errors(time: Axis, line: Timeline) -> str:
    ranked = sorted(line.errors, key=lambda kind: (-len(line.errors[kind]), kind))
    if not ranked:
        return _card("Failed attempts", "none", "", time, "")
    counts = {kind: time.count(line.errors[kind]) for kind in ranked}
    sums = [sum(column) for column in zip(*counts.values(), strict=True)]
    top = max(sums)
    drawing, below = "", [0] * len(sums)
    for rank, kind in enumerate(ranked):
        drawing += _bars(time, counts[kind], below, top, _colour(kind, rank))
        below = [low + more for low, more in zip(below, counts[kind], strict=True)]
    tips = [
        ", ".join(f"{count} {kind}" for kind, count in zip(ranked, column, strict=True) if count)
        for column in zip(*counts.values(), strict=True)
    ]
    total = sum(sums)
    keys = [(_colour(kind, rank), f"{kind} {len(line.errors[kind]):,}") for rank, kind in enumerate(ranked[:_KINDS])]
    if rest := sum(len(line.errors[kind]) for kind in ranked[_KINDS:]):
        keys.append((f"error-{_KINDS}", f"others {rest:,}"))
    words = "1 attempt" if total == 1 else f"{total:,} attempts"
    return _card("Failed attempts", words, drawing + _tips(time, tips), time, number(top), _legend(keys))


def _legend(keys: Sequence[tuple[str, str]]) -> str:
    """A line of colours, by the name of their class, each with its words."""
    items = "".join(f'<li><i class="key {colour}"></i>{text(words)}</li>' for colour, words in keys)
    return f'<ul class="legend">{items}</ul>'


def _colour(kind: str, rank: int) -> str:
    """A refusal has the colour of its state everywhere on the page."""
    return "refused" if kind == "refused" else f"error-{min(rank, _KINDS)}"


def _card(title: str, words: str, drawing: str, time: Axis, top: str, legend: str = "") -> str:
    """A chart with its words; `top` is what the upper edge stands for."""
    span = time.end - time.start
    head = f"<h3>{title}</h3><p>{text(words)}</p>"
    if not drawing:
        return f'<figure class="chart empty">{head}</figure>'
    breaks = "".join(
        f'<line class="break" x1="{_x(place)}" x2="{_x(place)}" y1="0" y2="{HEIGHT}">'
        f"<title>{seconds(idle)} without any event</title></line>"
        for place, idle in time.breaks
    )
    heights = [HEIGHT * part / 4 for part in range(5)]
    grid = "".join(f'<line class="rule" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>' for y in heights)
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    svg = f'<svg {view} role="img" aria-label="{text(f"{title}: {words}")}">{grid}{breaks}{drawing}</svg>'
    ends = f"<span>{clock(time.start, span)}</span><span>{clock(time.end, span)}</span>"
    plot = f'<div class="plot"><span class="top">{top}</span>{svg}</div><div class="axis">{ends}</div>'
    return f'<figure class="chart">{head}{plot}{legend}</figure>'


def _x(place: float) -> str:
    return f"{place * WIDTH:.1f}"


def _y(value: float, top: float) -> str:
    return f"{HEIGHT - value / top * (HEIGHT - 4):.1f}"


def _steps(time: Axis, values: Sequence[float], top: float, name: str) -> str:
    """A filled line of steps; it falls to the ground where idle time was left out."""
    path = f"M0 {HEIGHT}"
    for one, value in zip(time.bins, values, strict=True):
        path += f"L{_x(one.left)} {_y(value, top)}L{_x(one.right)} {_y(value, top)}"
    return f'<path class="{name} area" d="{path}L{WIDTH} {HEIGHT}Z"/>'


def _line(time: Axis, values: Sequence[float | None], top: float, name: str) -> str:
    """A line from middle to middle of the bins that have a value; it is broken where idle time was left out."""
    edges = [place for place, _ in time.breaks]
    both = zip(time.bins, values, strict=True)
    points = [(one.left, _middle(one), value) for one, value in both if value is not None]
    path = ""
    for _, run in groupby(points, key=lambda point: bisect.bisect_right(edges, point[0])):
        places = [f"{x} {_y(value, top)}" for _, x, value in run]
        path += f"M{'L'.join(places)}" + f"L{places[0]}" * (len(places) == 1)
    return f'<path class="{name} line" d="{path}"/>'


def _middle(one: Bin) -> str:
    return _x((one.left + one.right) / 2)


def _bars(time: Axis, counts: Sequence[int], below: Sequence[int], top: float, name: str) -> str:
    path = ""
    for one, count, low in zip(time.bins, counts, below, strict=True):
        if count:
            left, right, foot, head = _x(one.left), _x(one.right), _y(low, top), _y(low + count, top)
            path += f"M{left} {foot}V{head}H{right}V{foot}Z"
    return f'<path class="{name}" d="{path}"/>'


def _tips(time: Axis, tips: Sequence[str]) -> str:
    span = time.end - time.start
    return "".join(
        f'<rect class="tip" x="{_x(one.left)}" y="0" width="{_x(one.right - one.left)}" height="{HEIGHT}">'
        f"<title>{clock(one.start, span)}: {text(tip)}</title></rect>"
        for one, tip in zip(time.bins, tips, strict=True)
        if tip
    )
