"""The ids of a manifest's jobs: each is noted, so that a second one like it is found or gets a number.

Nothing is kept of an id but its place in `Seen`. Touches no file.
"""

from __future__ import annotations

from typing import Final

from batchgen.manifest.expand import Content, numbered
from batchgen.manifest.problems import Problems
from batchgen.manifest.row import Row
from batchgen.manifest.seen import Seen
from batchgen.manifest.words import shortened

_COLUMNS: Final = (1 << 14) - 1
_ID: Final = ("id",)


class Ids:
    """One pass over the jobs, in their order. Mistakes go to the collector."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._seen = Seen()
        self._counts: dict[int, int] = {}

    def of(self, row: Row, number: int, content: Content, words: tuple[str, str, str | None]) -> str:
        """The id of the `number`th job of a row, whose own id ("" for none), prompt and parent are `words`.

        `content` is what it is made of where the user gave none; then identical jobs are told apart by a count.
        """
        name, prompt, parent = words
        packed = _packed(row, number)
        if name:
            first = self._seen.first(name, packed)
            if first != packed:
                place = row.origin.at(*_unpacked(first))
                self._problems.add(row.place(_ID), f"duplicate id '{shortened(name)}', first at {place}")
            return name
        base = content.derived_id(prompt, parent)
        count = self._counts.get(hash(base), 0) + 1
        while self._seen.first(numbered(base, count), packed) != packed:
            count += 1
        if count > 1:
            # Only what repeats is counted, so that most rows cost one entry.
            self._counts[hash(base)] = count
        return numbered(base, count)


def _packed(row: Row, number: int) -> int:
    """A place in 64 bits, told from the same place met by another job of its row."""
    if row.node is None:
        return row.line << 34 | number & 0xFFFFF
    place = row.place(_ID)
    return place.line << 34 | min(place.column, _COLUMNS) << 20 | number & 0xFFFFF


def _unpacked(packed: int) -> tuple[int, int]:
    return packed >> 34, packed >> 20 & _COLUMNS
