"""One job as written, and what the first line of its table says of the cells. Touches no file.

A manifest may have millions of rows: a row of a table is its cells, and becomes values only when somebody asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

from batchgen.manifest import yaml_nodes
from batchgen.manifest.problems import Origin, Place
from batchgen.manifest.words import Written, shortened
from batchgen.model import Json

Values: TypeAlias = dict[str, Json]

AFTER_IMAGE: Final = "after.image"
"""The column beside `after` that says which of the parent's images is meant."""

_MOST_DIGITS = 400
_LISTS = frozenset({"references", "provider"})
_MAPPINGS = frozenset({"meta", "params", "matrix"})


class Header:
    """A CSV's or TSV's first line: the job keys in it, and those that a misspelt name may have meant.

    `id` and `prompt` say where these stand; `rest` takes all other cells of a row that mean anything.
    """

    def __init__(self, line: int, columns: Mapping[int, str], doubtful: frozenset[str]) -> None:
        """`columns`: the job keys by their place in a row."""
        self.line = line
        self.keys = frozenset(columns.values())
        self.doubtful = doubtful
        self.has_json = not self.keys.isdisjoint(_MAPPINGS)
        places = {key: index for index, key in columns.items()}
        self.id, self.prompt = places.pop("id", None), places.pop("prompt", None)
        self.rest: Callable[[Sequence[str]], object] = itemgetter(*places.values()) if places else _nothing
        self._columns = columns

    def values(self, cells: Sequence[str]) -> Values:
        """A row by job key, without its empty cells. Raises ValueError in words where one should hold JSON."""
        values: Values = {}
        meta: dict[str, Json] = {}
        for index, key in self._columns.items():
            cell = cells[index]
            if not cell:
                continue
            if key in _LISTS:
                values[key] = [part.strip() for part in cell.split("|") if part.strip()]
            elif key.startswith("meta."):
                meta[key[len("meta.") :]] = cell
            elif key in _MAPPINGS:
                try:
                    values[key] = json_object(cell)
                except ValueError as error:
                    raise ValueError(f"{key} is not a JSON object: {error}") from None
            else:
                values[key] = cell
        return with_parts(values, meta)


class Words(NamedTuple):
    """A job's id ("" where it has none), its prompt, and all else that it says, so that it can be compared."""

    id: str
    prompt: str
    rest: object


@dataclass(slots=True)
class Row:
    """One job as written: in YAML a `node`, in a CSV or TSV `cells` (as many as there are columns) below a `header`."""

    number: int
    origin: Origin
    line: int
    column: int = 0
    read: Values | None = None
    """its values, where they had to be found out; ask for `values`"""
    cells: Sequence[str] = ()
    header: Header | None = None
    node: yaml_nodes.Node | None = None

    @property
    def values(self) -> Mapping[str, Json]:
        """By job key, as written."""
        if self.read is None:
            self.read = self.header.values(self.cells) if self.header else {}
        return self.read

    def words(self) -> Words | None:
        """What it says, parted; None where its id or its prompt is no text, or something else needs a closer look."""
        header, cells = self.header, self.cells
        if header is None:
            return _parted(self.values)
        if header.prompt is None:
            return None
        return Words("" if header.id is None else cells[header.id], cells[header.prompt], header.rest(cells))

    @property
    def start(self) -> Place:
        """Where it begins."""
        return self.origin.at(self.line, self.column)

    def place(self, loc: tuple[str | int, ...], on_key: bool = False) -> Place:
        """Where the value at `loc` stands, or its key; in a table every value stands on the row's line."""
        if self.node is None:
            return self.start
        return self.origin.at(*yaml_nodes.locate(self.node, loc, on_key))

    @property
    def name(self) -> str:
        """`job 'cat'`, or by its count where it has no id of its own."""
        given = self.values.get("id")
        return f"job '{shortened(given)}'" if isinstance(given, str | int) else f"job {self.number}"


def with_parts(values: Values, meta: dict[str, Json]) -> Values:
    """The row with what stood in columns of its own put where a manifest has it."""
    if AFTER_IMAGE in values:
        image = values.pop(AFTER_IMAGE)
        if not isinstance(values.get("after"), dict):
            values["after"] = {"id": values.get("after"), "image": image}
    if meta:
        given = values.get("meta")
        values["meta"] = {**given, **meta} if isinstance(given, dict) else meta
    return values


def json_object(text: str) -> Values:
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


def _parted(values: Mapping[str, Json]) -> Words | None:
    name, prompt = values.get("id", ""), values.get("prompt")
    if type(name) is not str or type(prompt) is not str:
        return None
    rest: list[tuple[str, type, object]] = []
    for key, value in values.items():
        if key == "id" or key == "prompt":
            continue
        kind = type(value)
        if kind is str:
            rest.append((key, kind, value))
        elif kind is int or kind is bool or key in ("meta", "params"):
            rest.append((key, kind, repr(value)))  # the spelling, because to Python 1 is True
        else:
            return None
    return Words(name, prompt, tuple(rest))


def _nothing(_: Sequence[str]) -> object:
    return ()


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
