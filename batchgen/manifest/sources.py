"""A manifest's job rows, from wherever they stand: a YAML list, a CSV, TSV or JSONL file.

Every source yields `Row`s one at a time; a row can say where each of its values was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from batchgen.manifest import yaml_nodes
from batchgen.manifest.problems import Origin, Place, Problems
from batchgen.manifest.schema import FREE_KEYS
from batchgen.manifest.tables import Columns, Header, read_rows
from batchgen.manifest.words import shortened
from batchgen.model import Json


@dataclass(frozen=True, slots=True)
class Row:
    """One job as written. `node` is None in a table, where every value stands on the row's line."""

    number: int
    values: Mapping[str, Json]
    start: Place
    origin: Origin
    node: yaml_nodes.Node | None = None
    header: Header | None = None

    def place(self, loc: tuple[str | int, ...], on_key: bool = False) -> Place:
        """Where the value at `loc` stands, or its key."""
        if self.node is None:
            return self.start
        return self.origin.at(*yaml_nodes.locate(self.node, loc, on_key))

    @property
    def name(self) -> str:
        """`job 'cat'`, or by its count where it has no id of its own."""
        given = self.values.get("id")
        return f"job '{shortened(given)}'" if isinstance(given, str | int) else f"job {self.number}"


Source: TypeAlias = Callable[[Problems], Iterator[Row]]
"""Reads the rows anew; structural mistakes go to the collector, unreadable text raises Fatal."""


def yaml_source(path: Path, origin: Origin) -> Source:
    """The `jobs` list of a YAML manifest."""

    def rows(problems: Problems) -> Iterator[Row]:
        # Duplicate keys and tags were told when the head was read from the same text.
        parts = yaml_nodes.read_parts(path, origin, "jobs", Problems())
        items = (part.value for part in parts if part.item)
        for number, node in enumerate(items, 1):
            start = origin.at(node.line, node.column)
            values = yaml_nodes.value_of(node, FREE_KEYS)
            if isinstance(values, dict):
                yield Row(number, values, start, origin, node)
            else:
                problems.add(start, f"job {number} must be a mapping with a prompt")

    return rows


def table_source(path: Path, origin: Origin, columns: Columns | None) -> Source:
    """A CSV, TSV or JSONL file."""

    def rows(problems: Problems) -> Iterator[Row]:
        for number, cells in enumerate(read_rows(path, origin, columns, problems), 1):
            yield Row(number, cells.values, origin.at(cells.line), origin, header=cells.header)

    return rows
