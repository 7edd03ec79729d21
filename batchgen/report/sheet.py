"""The pictures of the report: one contact sheet, a sheet for each group, or a grid that compares groups.

With two keys and more, the last one makes the columns and the one before it the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from math import sqrt
from typing import Final, TypeAlias, TypeVar

from batchgen.report.gather import Facts, Shot
from batchgen.report.markup import link, text
from batchgen.storage.stores import source_of
from batchgen.summary import counted

MOST_COLUMNS: Final = 12
"""A grid of more would be read by nobody; its groups stand below each other then."""

_AREA, _AREA_OF_MANY = 150 * 150, 85 * 85
"""Square pixels of a picture in a grid, whatever its shape, so that wide ones don't make a column long: where
each cell has one, and where some have more."""

K = TypeVar("K")
Source: TypeAlias = Callable[[Shot], str | None]
"""Where the small copy of a picture is: the value of `src`, or None when the picture can't be had."""


def sheet(facts: Facts, source: Source) -> Iterator[str]:
    """The whole part of the page, piece by piece: it holds the pictures' bytes."""
    shots = facts.pictures
    total = sum(maker.images for maker in facts.makers.values())
    if not shots:
        yield '<p class="quiet">No picture is on disk yet.</p>'
        return
    if total > len(shots) + facts.hidden.total():
        yield f'<p class="quiet">From the first {len(shots):,} of {total:,} pictures; --where shows others.</p>'
    depth = len(facts.group_by)
    columns = list(dict.fromkeys(shot.groups[-1] for shot in shots)) if depth > 1 else []
    if depth == 0:
        yield from _contact(shots, source)
    elif depth == 1 or len(columns) > MOST_COLUMNS:
        yield from _sections(facts, range(depth), lambda some: _cell(some, facts, source))
    else:
        yield from _sections(facts, range(depth - 2), lambda some: _grid(some, facts, source))


def _sections(facts: Facts, keys: range, inner: Callable[[Sequence[Shot]], Iterator[str]]) -> Iterator[str]:
    """A heading for each group of the outer keys, in the order in which the manifest has them."""
    names = facts.group_by
    for values, some in grouped(facts.pictures, lambda shot: tuple(shot.groups[key] for key in keys)).items():
        if values:
            heading = " · ".join(
                f'<span class="of">{text(names[key])}</span> {text(value)}'
                for key, value in zip(keys, values, strict=True)
            )
            count = len(some) + sum(facts.hidden[cell] for cell in {shot.groups for shot in some})
            yield f'<h3 class="group">{heading} <small>{counted(count, "picture")}</small></h3>'
        yield from inner(some)


def _contact(shots: Sequence[Shot], source: Source, area: int | None = None) -> Iterator[str]:
    """Pictures of one height, or of one `area` in square pixels."""
    yield f'<div class="sheet{" even" if area else ""}">'
    for shot in shots:
        yield _figure(shot, source, (shot.width, shot.height) if area is None else _even(shot, area))
    yield "</div>"


def _even(shot: Shot, area: int) -> tuple[int, int]:
    shape = min(4.0, max(0.25, shot.width / shot.height))
    return round(sqrt(area * shape)), round(sqrt(area / shape))


def _grid(shots: Sequence[Shot], facts: Facts, source: Source) -> Iterator[str]:
    names = facts.group_by
    rows = grouped(shots, lambda shot: shot.groups[-2])
    columns = list(dict.fromkeys(shot.groups[-1] for shot in shots))
    title = f"{names[-2]} by {names[-1]}"
    heads = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    corner = f'<td class="of">{text(names[-2])}\u00a0↓ {text(names[-1])}\u00a0→</td>'
    yield f'<div class="wide" role="region" aria-label="{text(title)}" tabindex="0"><table class="grid">'
    yield f"<thead><tr>{corner}{heads}</tr></thead><tbody>"
    area = _AREA if len(shots) == len({shot.groups for shot in shots}) else _AREA_OF_MANY
    for row, some in rows.items():
        cells = grouped(some, lambda shot: shot.groups[-1])
        yield f'<tr><th scope="row">{text(row)}</th>'
        for column in columns:
            if column in cells:
                yield "<td>"
                yield from _cell(cells[column], facts, source, area)
                yield "</td>"
            else:
                yield '<td class="none" aria-label="no picture">–</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _cell(shots: Sequence[Shot], facts: Facts, source: Source, area: int | None = None) -> Iterator[str]:
    """The pictures that share all values, and how many more there are."""
    yield from _contact(shots, source, area)
    if more := facts.hidden[shots[0].groups]:
        yield f'<p class="quiet">and {more:,} more</p>'


def _figure(shot: Shot, source: Source, size: tuple[int, int]) -> str:
    small = source(shot)
    name = shot.id if not shot.position else f"{shot.id} ~{shot.position}"
    facts = " · ".join(word for word in (shot.model, shot.ratio) if word)
    caption = f"<figcaption><b>{text(name)}</b><span>{text(facts)}</span></figcaption>"
    if small is None:
        return f'<figure class="lost"><div>not on disk any more</div>{caption}</figure>'
    image = (
        f'<img src="{small}" alt="{text(shot.prompt)}" title="{text(shot.prompt)}"'
        f' width="{size[0]}" height="{size[1]}" loading="lazy" decoding="async">'
    )
    if shot.store is not None:
        # No browser follows s3:// and its like; whoever wants the file finds its address here.
        return f'<figure><span title="{text(source_of(shot.store, shot.path))}">{image}</span>{caption}</figure>'
    return f'<figure><a href="{link(shot.path)}">{image}</a>{caption}</figure>'


def grouped(shots: Sequence[Shot], key: Callable[[Shot], K]) -> Mapping[K, Sequence[Shot]]:
    """The pictures by a key, each group where its first picture stands."""
    found: dict[K, list[Shot]] = {}
    for value, some in groupby(shots, key):
        found.setdefault(value, []).extend(some)
    return found
