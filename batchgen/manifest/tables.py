"""CSV, TSV and JSONL as rows, one at a time and in constant memory; every row knows its first line.

In CSV quotes hold cells together, in TSV they are plain characters. Reads text that was found to be
UTF-8 before; says what is wrong with a header or a row and goes on with the next.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchgen.manifest.problems import Origin, Place, Problems
from batchgen.manifest.row import AFTER_IMAGE, Header, Row, json_object, with_parts
from batchgen.manifest.schema import JOB_KEYS
from batchgen.manifest.words import did_you_mean, nearest

_OF_ONES_OWN = ": columns of your own are named meta.NAME, or left out by 'columns' in a YAML manifest"

SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": "", ".ndjson": ""}
"""The job files by ending, with what separates their cells; the empty ones are lines of JSON."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The manifest's `columns`: job key -> their header, and where each stands in the manifest."""

    names: Mapping[str, str]
    places: Mapping[str, Place]


def is_column(key: str) -> bool:
    """Whether a job file may have a column of this name."""
    return key in JOB_KEYS or key == AFTER_IMAGE or (key.startswith("meta.") and len(key) > len("meta."))


def read_rows(path: Path, origin: Origin, columns: Columns | None, problems: Problems) -> Iterator[Row]:
    """Yield every row of a job file; a row with a mistake of its own form is told and left out."""
    separator = SUFFIXES[path.suffix.lower()]
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if separator:
            yield from _Table(lines, separator, origin, problems).rows(columns)
        else:
            yield from _json_rows(lines, origin, columns, problems)


class _Table:
    """One CSV or TSV file."""

    def __init__(self, lines: Iterator[str], separator: str, origin: Origin, problems: Problems) -> None:
        # The module's limit of 131,072 characters a cell is less than one reference as a data URL.
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        if separator == ",":
            self._reader = csv.reader(lines, strict=True)
        else:
            self._reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
        self._separator = separator
        self._origin = origin
        self._problems = problems
        self._doubtful: set[str] = set()

    def rows(self, columns: Columns | None) -> Iterator[Row]:
        cells = self._cells()
        line, first = next(cells, (0, []))
        if not first:
            self._problems.add(self._origin.at(), "empty: the first line names the columns")
            return
        names = [name.strip() for name in first]
        keys = self._mapped(names, columns) if columns else self._known(names, self._origin.at(line))
        header = Header(line, keys, frozenset(self._doubtful))
        width, number = len(names), 0
        for line, row in cells:
            if len(row) > width and any(row[width:]):
                hint = ": quote a cell that has a comma in it" if self._separator == "," else ""
                text = f"{len(row)} cells where the header has {width}{hint}"
                self._problems.add(self._origin.at(line), text)
                continue
            if len(row) < width:
                row += [""] * (width - len(row))
            values = None
            if header.has_json:
                try:
                    values = header.values(row)
                except ValueError as error:
                    self._problems.add(self._origin.at(line), str(error))
                    continue
            number += 1
            yield Row(number, self._origin, line, 0, values, row, header)

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """(first line, cells) of every row that is not blank."""
        while True:
            line = self._reader.line_num + 1
            try:
                row = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                unclosed = "unexpected end" in str(error)
                text = "a quote that is opened here is never closed" if unclosed else f"not CSV: {error}"
                self._problems.add(self._origin.at(line), text)
                continue
            if any(row):
                yield line, row

    def _known(self, names: list[str], place: Place) -> dict[int, str]:
        keys: dict[int, str] = {}
        other = next((sign for sign in ";\t," if sign in names[0]), None) if len(names) == 1 else None
        if other is not None:
            shown = "a tab" if other == "\t" else f"'{other}'"
            text = f"the columns are separated by {shown}: commas belong into a .csv, tabs into a .tsv"
            self._problems.add(place, text)
            self._doubtful.update(JOB_KEYS)
            return keys
        for index, name in enumerate(names):
            if not name:
                self._problems.add(place, f"column {index + 1} has no name: name it, or take its cells out")
            elif name in names[:index]:
                self._problems.add(place, f"column '{name}' is there twice: keep one")
            elif is_column(name):
                keys[index] = name
            else:
                self._problems.add(place, f"unknown column '{name}'{did_you_mean(name, JOB_KEYS) or _OF_ONES_OWN}")
                self._doubtful.add(nearest(name, JOB_KEYS) or "")
        return keys

    def _mapped(self, names: list[str], columns: Columns) -> dict[int, str]:
        keys: dict[int, str] = {}
        for key, name in columns.names.items():
            if names.count(name) == 1:
                keys[names.index(name)] = key
                continue
            text = f"no column '{name}' in {self._origin.shown}{did_you_mean(name, names)}"
            if name in names:
                text = f"column '{name}' is there twice in {self._origin.shown}"
            self._problems.add(columns.places[key], text)
            self._doubtful.add(key)
        return keys


def _json_rows(lines: Iterator[str], origin: Origin, columns: Columns | None, problems: Problems) -> Iterator[Row]:
    number = 0
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            found = json_object(text)
        except ValueError as error:
            problems.add(origin.at(line), f"not a JSON object: {error}")
            continue
        if columns:
            found = {key: found[name] for key, name in columns.names.items() if name in found}
        meta = {key[len("meta.") :]: found.pop(key) for key in list(found) if key.startswith("meta.")}
        number += 1
        yield Row(number, origin, line, 0, with_parts(found, meta))
