"""The little HTML that the report is made of: every text that comes from outside goes through `text`. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def text(words: object) -> str:
    """Words as HTML text or as an attribute's value: no tag, no entity, no quote is left in them."""
    return html.escape(_CONTROL.sub("\ufffd", str(words)), quote=True)


def link(path: str) -> str:
    """A path relative to the page as the value of `href` or `src`; it never names a scheme or a host."""
    return text("./" + quote(path.lstrip("/")))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> str:
    """A table of ready cells in a frame that scrolls by itself; the first cell of a row is its head."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    frame = f'<div class="wide" role="region" aria-label="{text(name)}" tabindex="0">'
    return f"{frame}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def number(value: float) -> str:
    """A number as people write it: `1,234`, `12.3`, `0.031`."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """A span of time: `0.4 s`, `38 s`, `2 min 5 s`, `3 h 20 min`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def size(count: int) -> str:
    """Bytes: `820 KB`, `1.4 GB`."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count} bytes"


def period(start: float, end: float) -> str:
    """Local dates and times; of the second what is another."""
    first, last = (datetime.fromtimestamp(at).astimezone() for at in (start, end))
    if first.date() != last.date():
        return f"{first:%-d %B %Y, %H:%M} to {last:%-d %B %Y, %H:%M}"
    begun = f"{first:%-d %B %Y, %H:%M}"
    return begun if (last - first).total_seconds() < 60 else f"{begun} to {last:%H:%M}"


def clock(at: float, span: float) -> str:
    """Local time of day, with seconds or the date where the span of the chart asks for it."""
    local = datetime.fromtimestamp(at).astimezone()
    if span < 600:
        return f"{local:%H:%M:%S}"
    return f"{local:%H:%M}" if span < 72_000 else f"{local:%-d %b %H:%M}"
