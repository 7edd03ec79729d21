"""A manifest's job rows, from wherever they stand: a YAML list, a CSV, TSV or JSONL file.

Every source yields `Row`s one at a time; a row can say where each of its values was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from batchgen.manifest import yaml_nodes
from batchgen.manifest.problems import Origin, Problems
from batchgen.manifest.row import Row
from batchgen.manifest.schema import FREE_KEYS
from batchgen.manifest.tables import Columns, read_rows

Source: TypeAlias = Callable[[Problems], Iterator[Row]]
"""Reads the rows anew; structural mistakes go to the collector, unreadable text raises Fatal."""


def yaml_source(path: Path, origin: Origin) -> Source:
    """The `jobs` list of a YAML manifest."""

    def rows(problems: Problems) -> Iterator[Row]:
        # Duplicate keys and tags were told when the head was read from the same text.
        parts = yaml_nodes.read_parts(path, origin, "jobs", Problems())
        items = (part.value for part in parts if part.item)
        for number, node in enumerate(items, 1):
            values = yaml_nodes.value_of(node, FREE_KEYS)
            if isinstance(values, dict):
                yield Row(number, origin, node.line, node.column, values, node=node)
            else:
                problems.add(origin.at(node.line, node.column), f"job {number} must be a mapping with a prompt")

    return rows


def table_source(path: Path, origin: Origin, columns: Columns | None) -> Source:
    """A CSV, TSV or JSONL file."""
    return partial(read_rows, path, origin, columns)
