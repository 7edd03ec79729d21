"""What every dataset format is: it takes rows with their pictures, one by one, and says which files it made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batchgen.export.choices import ShardSize
from batchgen.export.pictures import Picture
from batchgen.export.rows import SPLIT, Column, Row
from batchgen.model import Json
from batchgen.storage.local import digest_of


@dataclass(frozen=True, slots=True)
class Made:
    """A file that holds rows, by its path below the dataset."""

    path: str
    split: str
    rows: int
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a format writes, and what. `divided`: into parts that the user named."""

    folder: Path
    columns: Sequence[Column]
    divided: bool
    shard: ShardSize


class Writer(Protocol):
    """One dataset format: `add` in the order of the rows, then `close` once."""

    def add(self, picture: Picture) -> None:
        """Write one row with its picture. Raises `OSError`."""
        ...

    def close(self) -> list[Made]:
        """Finish every file; those that hold rows, part by part."""
        ...


def facts(row: Row) -> dict[str, Json]:
    """A row without its part, which the place of the file tells."""
    return {name: value for name, value in row.items() if name != SPLIT.name}


def part(row: Row) -> str:
    """The part of the dataset that a row belongs to."""
    return str(row[SPLIT.name])


def made(folder: Path, path: str, split: str, rows: int) -> Made:
    """The facts of a finished file."""
    whole = folder / path
    return Made(path, split, rows, digest_of(whole).hexdigest(), whole.stat().st_size)
