"""CSV, TSV and JSONL as rows, one at a time and in constant memory; every row knows its first line.

In CSV quotes hold cells together, in TSV they are plain characters. Reads text that was found to be
UTF-8 before; says what is wrong with a header or a row and goes on with the next.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isinf
from pathlib import Path
from typing import NamedTuple, TypeAlias

from batchgen.manifest.fields import Written
from batchgen.manifest.problems import Origin, Place, Problems
from batchgen.manifest.schema import JOB_KEYS
from batchgen.manifest.words import did_you_mean, nearest, shortened
from batchgen.model import Json

Values: TypeAlias = dict[str, Json]

SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": "", ".ndjson": ""}
"""The job files by ending, with what separates their cells; the empty ones are lines of JSON."""

_MOST_DIGITS = 400
AFTER_IMAGE = "after.image"
"""The column beside `after` that says which of the parent's images is meant."""

_LISTS = frozenset({"references", "provider"})
_MAPPINGS = frozenset({"meta", "params", "matrix"})


@dataclass(frozen=True, slots=True)
class Columns:
    """The manifest's `columns`: job key -> their header, and where each stands in the manifest."""

    names: Mapping[str, str]
    places: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Header:
    """A CSV's or TSV's first line: the job keys in it, and those that a misspelt name may have meant."""

    line: int
    keys: frozenset[str]
    doubtful: frozenset[str]


class Cells(NamedTuple):
    """One row of a job file: its first line, its values by job key, and the header (JSONL has none)."""

    line: int
    values: Values
    header: Header | None


def is_column(key: str) -> bool:
    """Whether a job file may have a column of this name."""
    return key in JOB_KEYS or key == AFTER_IMAGE or (key.startswith("meta.") and len(key) > len("meta."))


def read_rows(path: Path, origin: Origin, columns: Columns | None, problems: Problems) -> Iterator[Cells]:
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

    def rows(self, columns: Columns | None) -> Iterator[Cells]:
        cells = self._cells()
        line, first = next(cells, (0, []))
        if not first:
            self._problems.add(self._origin.at(), "empty: the first line names the columns")
            return
        names = [name.strip() for name in first]
        keys = self._mapped(names, columns) if columns else self._known(names, self._origin.at(line))
        header = Header(line, frozenset(keys.values()), frozenset(self._doubtful))
        for line, row in cells:
            if any(row[len(names) :]):
                hint = ": quote a cell that has a comma in it" if self._separator == "," else ""
                text = f"{len(row)} cells where the header has {len(names)}{hint}"
                self._problems.add(self._origin.at(line), text)
                continue
            values = self._values(line, row, keys)
            if values is not None:
                yield Cells(line, values, header)

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
                self._problems.add(place, f"column {index + 1} has no name")
            elif name in names[:index]:
                self._problems.add(place, f"column '{name}' is there twice")
            elif is_column(name):
                keys[index] = name
            else:
                self._problems.add(place, f"unknown column '{name}'{did_you_mean(name, JOB_KEYS)}")
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

    def _values(self, line: int, row: list[str], keys: dict[int, str]) -> Values | None:
        values: Values = {}
        meta: dict[str, Json] = {}
        for index, key in keys.items():
            cell = row[index] if index < len(row) else ""
            if not cell:
                continue
            if key in _LISTS:
                values[key] = [part.strip() for part in cell.split("|") if part.strip()]
            elif key.startswith("meta."):
                meta[key[len("meta.") :]] = cell
            elif key in _MAPPINGS:
                try:
                    values[key] = _json_object(cell)
                except ValueError as error:
                    self._problems.add(self._origin.at(line), f"{key} is not a JSON object: {error}")
                    return None
            else:
                values[key] = cell
        return _with_parts(values, meta)


def _json_rows(
    lines: Iterator[str], origin: Origin, columns: Columns | None, problems: Problems
) -> Iterator[Cells]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _json_object(line)
        except ValueError as error:
            problems.add(origin.at(number), f"not a JSON object: {error}")
            continue
        if columns:
            found = {key: found[name] for key, name in columns.names.items() if name in found}
        meta = {key[len("meta.") :]: found.pop(key) for key in list(found) if key.startswith("meta.")}
        yield Cells(number, _with_parts(found, meta), None)


def _with_parts(values: Values, meta: dict[str, Json]) -> Values:
    """The row with what stood in columns of its own put where a manifest has it."""
    if AFTER_IMAGE in values:
        image = values.pop(AFTER_IMAGE)
        if not isinstance(values.get("after"), dict):
            values["after"] = {"id": values.get("after"), "image": image}
    if meta:
        given = values.get("meta")
        values["meta"] = {**given, **meta} if isinstance(given, dict) else meta
    return values


def _json_object(text: str) -> Values:
    """Parse one JSON object. Raises ValueError in words."""
    try:
        found = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} (character {error.pos + 1})") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it must be {…}")
    if "\\u" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half a surrogate pair") from None
    return found


def _unique(pairs: list[tuple[str, Json]]) -> Values:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key '{twice}' is there twice")
    return values


def _float(text: str) -> float:
    number = Written(text)
    if isinf(number):
        raise ValueError(f"{shortened(text)} is more than a number can be")
    return number


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits: write it as text, in quotes")
    return int(text)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")
