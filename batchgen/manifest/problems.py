"""Mistakes with their places, collected until all of them are known. Pure.

A line of the result reads `jobs/a.yaml:14:5: what is wrong`; tables have no column, whole files no line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from batchgen.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that is read. `shown` is its path as the user gave it, `order` 1 sorts a job file last."""

    shown: str
    order: int = 0

    def at(self, line: int = 0, column: int = 0) -> Place:
        """A place in this file, counted from 1; 0 means that there is none."""
        return Place(self.order, line, column, self.shown)


class Place(NamedTuple):
    """Where something stands; places compare in the order of the files."""

    order: int
    line: int
    column: int
    shown: str

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        column = f":{self.column}" if self.line and self.column else ""
        return f"{self.shown}{line}{column}"


class Fatal(Exception):
    """A file can't be read any further from this place on."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(f"{place}: {text}")
        self.place = place
        self.text = text


class Problems:
    """What has been found so far; true when there is anything."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, text: str) -> None:
        """Note one mistake. The same words about the same place, met again by another job, count once."""
        self._found[place, text] = None

    def error(self) -> ManifestError:
        """Everything as one error, in the order of the files."""
        ordered = sorted(self._found, key=lambda found: found[0])
        return ManifestError(tuple(f"{place}: {text}" for place, text in ordered))
