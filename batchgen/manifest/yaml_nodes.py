"""YAML as nodes that know their line and column, read from the parser's events one job at a time.

Only events are used, never the C composer, which dies on deep nesting. Scalars stay as written;
what they mean is decided by who asks. Refuses tags, duplicate keys, deep nesting and alias bombs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import yaml

from batchgen.manifest.problems import Fatal, Origin, Place, Problems
from batchgen.model import Json

MAX_DEPTH = 50

_WANTED = "a manifest is a mapping with 'jobs' (batchgen init writes one)"
MAX_ALIASED = 5_000_000
"""How many values all aliases together may stand for: a bomb passes it in its seventh line."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NodeEvents = yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})


class Pair(NamedTuple):
    """One entry of a mapping, with its key's place."""

    key: Node
    value: Node


@dataclass(slots=True)
class Node:
    """A scalar, list or map at a line and column (from 1). `weight` counts its values, aliases spelt out."""

    kind: Literal["scalar", "list", "map"]
    line: int
    column: int
    text: str = ""
    plain: bool = False
    items: list[Node] | None = None
    pairs: dict[str, Pair] | None = None
    weight: int = 1


class Part(NamedTuple):
    """One entry of the root mapping, or (`item`) one entry of its streamed list."""

    key: Node
    value: Node
    item: bool


Value: TypeAlias = Json


def read_parts(path: Path, origin: Origin, streamed: str, problems: Problems) -> Iterator[Part]:
    """Yield the root mapping's entries in the order of the file; the list under `streamed` item by item.

    The list itself comes first, as an empty node. Raises Fatal where the text stops being YAML.
    """
    with path.open("rb") as stream:
        events = yaml.parse(stream, Loader=yaml.CSafeLoader)
        try:
            yield from _Builder(events, origin, problems).parts(streamed)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = origin.at(mark.line + 1, mark.column + 1) if mark else origin.at()
            raise Fatal(place, _syntax(error)) from None
        except yaml.reader.ReaderError as error:
            raise Fatal(origin.at(_line_at(path, error.position)), f"unreadable as YAML: {error.reason}") from None


def _spot(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _line_at(path: Path, position: int) -> int:
    """The line of a byte of the file."""
    with path.open("rb") as stream:
        return stream.read(position).count(b"\n") + 1


_ADVICE = {
    "mapping values are not allowed in this context": "text with ': ' in it goes in quotes",
    "found character that cannot start any token": "text that begins with %, @ or ` goes in quotes, and lines "
    "are indented with spaces, not tabs",
}


def _syntax(error: yaml.MarkedYAMLError) -> str:
    advice = _ADVICE.get(error.problem or "")
    if advice:
        return f"not YAML: {error.problem}: {advice}"
    begun = f" {error.context} from line {error.context_mark.line + 1} on" if error.context_mark else ""
    return f"not YAML: {error.problem}{begun}"


class _Builder:
    """Turns events into nodes; recursion is bounded by MAX_DEPTH."""

    def __init__(self, events: Iterator[yaml.Event], origin: Origin, problems: Problems) -> None:
        self._events = events
        self._origin = origin
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._aliased = 0

    def parts(self, streamed: str) -> Iterator[Part]:
        next(self._events)  # the stream's start
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise Fatal(self._origin.at(), f"empty: {_WANTED}")
        root = next(self._events)
        if not isinstance(root, yaml.MappingStartEvent):
            raise Fatal(self._place(root), _WANTED)
        self._refuse_tag(root)
        seen: dict[str, Node] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event)
            self._refuse_duplicate(key, seen)
            value = next(self._events)
            if key.text == streamed and isinstance(value, yaml.SequenceStartEvent):
                self._refuse_tag(value)
                yield Part(key, self._node("list", value), False)
                for item in self._events:
                    if isinstance(item, yaml.SequenceEndEvent):
                        break
                    yield Part(key, self._build(item, 2), True)
            else:
                yield Part(key, self._build(value, 1), False)
        next(self._events)  # the document's end
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise Fatal(self._place(after), "a second document ('---'): give it a file of its own")

    def _place(self, event: yaml.Event) -> Place:
        return self._origin.at(*_spot(event))

    def _node(self, kind: Literal["scalar", "list", "map"], event: yaml.Event) -> Node:
        line, column = _spot(event)
        return Node(kind, line, column)

    def _refuse_tag(self, event: _NodeEvents) -> None:
        if event.tag not in _TEXT_TAGS:
            shown = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._problems.add(self._place(event), f"tag '{shown}' is not taken: leave it out")

    def _key(self, event: yaml.Event) -> Node:
        if isinstance(event, yaml.AliasEvent):
            key = self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            key = self._build(event, 0)
        else:
            raise Fatal(self._place(event), "a key must be one text, such as prompt")
        if key.kind != "scalar":
            raise Fatal(self._place(event), "a key must be one text, such as prompt")
        return key

    def _refuse_duplicate(self, key: Node, seen: dict[str, Node]) -> None:
        first = seen.setdefault(key.text, key)
        if first is not key:
            place = self._origin.at(key.line, key.column)
            self._problems.add(place, f"duplicate key '{key.text}', first on line {first.line}: keep one")

    def _alias(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            name = event.anchor
            text = f"alias '*{name}' has no finished anchor before it: mark the value with '&{name}' first"
            raise Fatal(self._place(event), text)
        self._aliased += node.weight
        if self._aliased > MAX_ALIASED:
            text = "aliases stand for too many values: write them out, or take a matrix or a job file"
            raise Fatal(self._place(event), text)
        return node

    def _build(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if not isinstance(event, _NodeEvents):
            raise Fatal(self._place(event), "a value is missing")
        if depth > MAX_DEPTH:
            raise Fatal(self._place(event), f"nested more than {MAX_DEPTH} deep")
        self._refuse_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._node("scalar", event)
            node.text = event.value
            node.plain = event.implicit[0]
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, depth)
        else:
            node = self._map(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _list(self, start: yaml.Event, depth: int) -> Node:
        node = self._node("list", start)
        node.items = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._build(event, depth + 1)
            node.items.append(item)
            node.weight += item.weight
        return node

    def _map(self, start: yaml.Event, depth: int) -> Node:
        node = self._node("map", start)
        pairs: dict[str, Pair] = {}
        merged: list[Node] = []
        seen: dict[str, Node] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event)
            value = self._build(next(self._events), depth + 1)
            node.weight += value.weight + 1
            if key.text == "<<" and key.plain:
                merged.append(value)
                continue
            self._refuse_duplicate(key, seen)
            pairs[key.text] = Pair(key, value)
        for value in merged:
            self._merge(pairs, value)
        node.pairs = pairs
        return node

    def _merge(self, pairs: dict[str, Pair], value: Node) -> None:
        """`<<: *base`: keys that the mapping does not set itself; of several bases the first wins."""
        for base in value.items if value.items is not None else [value]:
            if base.pairs is None:
                self._problems.add(self._origin.at(base.line, base.column), "'<<' takes mappings only")
                continue
            for name, pair in base.pairs.items():
                pairs.setdefault(name, pair)


def value_of(node: Node, free_keys: frozenset[str], free: bool = False) -> Value:
    """The node as plain values: scalars as text, but by the rules of JSON below a key of `free_keys`.

    So `ratio: 16:9` is text, `meta: {take: 3}` a number, and `meta: {sku: 012}` the text that JSON
    could not write as a number.
    """
    if node.pairs is not None:
        pairs = node.pairs.items()
        return {name: value_of(pair.value, free_keys, free or name in free_keys) for name, pair in pairs}
    if node.items is not None:
        return [value_of(item, free_keys, free) for item in node.items]
    if not node.plain:
        return node.text
    if node.text in _NULLS:
        return None
    return _json_scalar(node.text) if free else node.text


def _json_scalar(text: str) -> Value:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) < 40 and _JSON_NUMBER.fullmatch(text):
        number: int | float = json.loads(text)
        # 1e999 is no number that JSON could carry on.
        return text if number in (float("inf"), float("-inf")) else number
    return text


def locate(node: Node, loc: tuple[str | int, ...], on_key: bool) -> tuple[int, int]:
    """Line and column of the value (or its key) at `loc` below the node, or of the last part that exists."""
    spot = node
    for step in loc:
        if spot.pairs is not None and isinstance(step, str) and step in spot.pairs:
            pair = spot.pairs[step]
            spot = pair.value
            last = pair.key
        elif spot.items is not None and isinstance(step, int) and step < len(spot.items):
            spot = last = spot.items[step]
        else:
            break
        if on_key and step is loc[-1]:
            return last.line, last.column
    return spot.line, spot.column
