"""Prompts with blanks and alternatives: `a {red|blue {big|small}} {animal}`, counted without being spelt out. Pure.

`{name}` is a blank, `{a|b}` alternatives, which may nest. Any other brace is sent as written, so that a prompt
may hold JSON. In a text with `{{` that begins no alternatives, `{{` and `}}` stand for one brace each.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from batchgen.manifest.words import shortened
from batchgen.model import Json

DEEPEST = 20
"""How deep alternatives may nest."""

_SIGN = re.compile(r"[{}|]")
_PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[^\W\d]\w*)\}|\{")
# What begins like a JSON object is one, whatever bars its texts have.
_JSON = re.compile(r'\s*["}]')


class PromptMistake(ValueError):
    """Alternatives that can't be meant so; the text is the tail of a problem line."""


@dataclass(frozen=True, slots=True)
class Blank:
    """`{name}`, to be filled."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`{a|b}`: one branch of these is taken."""

    branches: tuple[Prompt, ...]
    count: int


_Flat: TypeAlias = str | Blank


class Picked(NamedTuple):
    """One way to say a prompt: its pieces, and what was chosen of each of its outermost alternatives."""

    pieces: Sequence[_Flat]
    chosen: tuple[str, ...]

    def filled(self, values: Mapping[str, Json]) -> tuple[str, tuple[str, ...]]:
        """The text with its blanks filled, and the names that `values` lacks, which stay as written.

        A filled-in value is never read as a blank or as alternatives itself.
        """
        absent: dict[str, None] = {}
        texts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                texts.append(piece)
                continue
            value = values.get(piece.name)
            if value is None:
                absent[piece.name] = None
            texts.append(_source(piece) if value is None else text_of(value))
        return "".join(texts), tuple(absent)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as read. `count` is the number of ways to say it; `unclosed` where a brace with a bar never ends."""

    parts: tuple[_Flat | Choice, ...]
    count: int = 1
    unclosed: str | None = None

    def pick(self, index: int) -> Picked:
        """The way with that number, from 0 to `count` - 1; the last alternatives change fastest."""
        pieces: list[_Flat] = []
        chosen: list[str] = []
        for part in reversed(self.parts):
            if not isinstance(part, Choice):
                pieces.append(part)
                continue
            index, within = divmod(index, part.count)
            for branch in part.branches:
                if within < branch.count:
                    break
                within -= branch.count
            taken = branch.pick(within).pieces
            pieces += reversed(taken)
            chosen.append("".join(map(_source, taken)))
        return Picked(pieces[::-1], tuple(chosen[::-1]))

    def names(self) -> set[str]:
        """The names of all its blanks, whichever branch they stand in."""
        found: set[str] = set()
        for part in self.parts:
            if isinstance(part, Blank):
                found.add(part.name)
            elif isinstance(part, Choice):
                found.update(*(branch.names() for branch in part.branches))
        return found


def parse(text: str, *, alternatives: bool = True) -> Prompt:
    """Read a prompt; without `alternatives` only its blanks, as in a path. Raises PromptMistake."""
    if "{" not in text:
        return Prompt((text,))
    groups, unclosed = _groups(text) if alternatives else ({}, None)
    doubled = any(found.start() not in groups for found in re.finditer(r"\{\{", text))
    parts, count = _Reader(text, groups, doubled).parts(0, len(text), 0)
    return Prompt(parts, count, unclosed)


def text_of(value: Json) -> str:
    """A value as it stands in a prompt: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _source(piece: _Flat) -> str:
    return piece if isinstance(piece, str) else f"{{{piece.name}}}"


_Groups: TypeAlias = Mapping[int, tuple[int, Sequence[int]]]
"""The alternatives of a text: where their brace opens -> where it closes, and the bars between."""


def _groups(text: str) -> tuple[_Groups, str | None]:
    """Match the braces in one pass. The second value begins with the first brace that has a bar and no end."""
    found = {}
    opened: list[tuple[int, list[int]]] = []
    for sign in _SIGN.finditer(text):
        at = sign.start()
        if sign[0] == "{":
            opened.append((at, []))
        elif opened and sign[0] == "|":
            opened[-1][1].append(at)
        elif opened:
            start, bars = opened.pop()
            if bars and not _JSON.match(text, start + 1) and text[start + 1 : at].strip("| \t\n"):
                found[start] = (at, bars)
    never = next((at for at, bars in opened if bars and not _JSON.match(text, at + 1)), None)
    return found, None if never is None else text[never:]


class _Reader:
    """Cuts a text into parts, the branches of its alternatives too."""

    def __init__(self, text: str, groups: _Groups, doubled: bool) -> None:
        self._text = text
        self._groups = groups
        self._doubled = doubled

    def parts(self, start: int, end: int, depth: int) -> tuple[tuple[_Flat | Choice, ...], int]:
        """The parts between two places, and the number of ways to take them."""
        if depth > DEEPEST:
            raise PromptMistake(f"has alternatives nested more than {DEEPEST} deep")
        parts = tuple(self._pieces(start, end, depth))
        return parts, prod(part.count for part in parts if isinstance(part, Choice))

    def _pieces(self, start: int, end: int, depth: int) -> Iterator[_Flat | Choice]:
        plain = ""
        while (found := _PIECE.search(self._text, start, end)) is not None:
            plain += self._text[start : found.start()]
            group = self._groups.get(found.start()) if found[0][0] == "{" else None
            start = found.end()
            if group is None and found["name"] is None:
                plain += self._brace(found[0])
                continue
            if plain:
                yield plain
                plain = ""
            if group is None:
                yield Blank(found["name"])
            else:
                close, bars = group
                yield self._choice([found.start(), *bars, close], depth + 1)
                start = close + 1
        plain += self._text[start:end]
        if plain:
            yield plain

    def _brace(self, written: str) -> str:
        if written == "{{" or (written == "}}" and self._doubled):
            return written[0]
        return written

    def _choice(self, marks: Sequence[int], depth: int) -> Choice:
        spans = itertools.pairwise(marks)
        branches = tuple(Prompt(*self.parts(left + 1, right, depth)) for left, right in spans)
        if len(set(branches)) < len(branches):
            twice = next(branch for branch in branches if branches.count(branch) > 1)
            said = "".join(map(_source, twice.pick(0).pieces))
            raise PromptMistake(f"has the alternative '{shortened(said)}' twice")
        return Choice(branches, sum(branch.count for branch in branches))
