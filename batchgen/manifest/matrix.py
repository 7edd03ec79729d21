"""A matrix: lists whose values multiply a job, in every combination or (`zip`) in pairs. Pure.

Nothing is spelt out before it is asked for: the number of combinations is known from the lists, and they are
made one at a time. What a combination adds to an id comes from its values, never from their places.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from batchgen.model import Json

JOINT = "+"
"""Stands in an id between the job's own and each value, and in no value."""

LONGEST_ID = 200
"""Characters of an id; it has to fit into one line of a listing."""

_PLAIN = re.compile(r"[\w.-]+(?: [\w.-]+)*")
_LONGEST_WORD = 32
_RATIO = re.compile(r"\d+(?:\.\d+)?:\d+(?:\.\d+)?", re.ASCII)
_ODD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Axis:
    """One list of a matrix, or several that `zip` ties together; a row of values for each of its steps."""

    names: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]

    def repeated(self) -> str | None:
        """The first row that is there twice, as text."""
        seen = set()
        for row in self.rows:
            text = ", ".join(json.dumps(value, ensure_ascii=False, sort_keys=True) for value in row)
            if text in seen:
                return text
            seen.add(text)
        return None


def axes_of(values: Mapping[str, Sequence[Json]], zipped: bool) -> tuple[Axis, ...]:
    """The axes of a matrix as written; lists that are zipped are equally long."""
    if zipped and values:
        return (Axis(tuple(values), tuple(zip(*values.values(), strict=True))),)
    return tuple(Axis((name,), tuple((value,) for value in several)) for name, several in values.items())


def over(base: Sequence[Axis], own: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes of both; a name of `own` takes the place of the same one in `base`."""
    taken = {name for axis in own for name in axis.names}
    kept = []
    for axis in base:
        places = [place for place, name in enumerate(axis.names) if name not in taken]
        if len(places) == len(axis.names):
            kept.append(axis)
        elif places:
            rows = [tuple(row[place] for place in places) for row in axis.rows]
            # Without its partner a zipped list may repeat itself.
            apart = {json.dumps(row, sort_keys=True): row for row in rows}
            kept.append(Axis(tuple(axis.names[place] for place in places), tuple(apart.values())))
    return (*kept, *own)


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, Json]]:
    """Every combination as name -> value, the last axis changing fastest; one empty one without axes."""
    names = [name for axis in axes for name in axis.names]
    for rows in itertools.product(*(axis.rows for axis in axes)):
        yield dict(zip(names, itertools.chain.from_iterable(rows), strict=True))


def size(axes: Sequence[Axis]) -> int:
    """How many combinations there are."""
    return prod(len(axis.rows) for axis in axes)


def suffixed(base: str, words: Sequence[str]) -> str:
    """An id for one combination: `cat+16x9+red`. Too long a one ends in a hash of its words."""
    whole = JOINT.join((base, *words))
    if len(whole) <= LONGEST_ID:
        return whole
    return f"{base[: LONGEST_ID - 20]}{JOINT}{_digest(whole)}"


def word(value: Json) -> str:
    """A value as it stands in an id: `16:9` as `16x9`, `old oak` as `old_oak`, what is long or odd with a hash."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if len(text) <= _LONGEST_WORD and _PLAIN.fullmatch(text):
        return text.replace(" ", "_")
    if _RATIO.fullmatch(text):
        return text.replace(":", "x")
    slug = _ODD.sub("-", text.lower()).strip("-")[:16].rstrip("-")
    return f"{slug}.{_digest(text)}" if slug else _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
