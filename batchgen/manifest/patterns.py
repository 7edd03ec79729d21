"""Rows of a table that differ from an earlier one in id and prompt alone come to what that one came to.

A million rows are of a few such patterns. Whatever is not plain about an id or a prompt is not for this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from batchgen.manifest.row import Header

MOST: Final = 1000
"""Patterns that are remembered at a time."""

_LONG: Final = 2000
_NAME = re.compile(r"[\w.+-]{1,200}")
_T = TypeVar("_T")


class Match(NamedTuple, Generic[_T]):
    """A row of a known pattern: its own id ("" where it has none) and prompt, and what the first one came to."""

    id: str
    prompt: str
    found: _T


class Patterns(Generic[_T]):
    """What is known of the rows of one table by everything they say but their id and prompt."""

    def __init__(self) -> None:
        self._known: dict[tuple[bool, object], _T] = {}

    def find(self, header: Header, cells: Sequence[str]) -> Match[_T] | None:
        """A row that is like one which was learnt."""
        name = cells[header.id] if header.id is not None else ""
        found = self._known.get((not name, header.rest(cells)))
        if found is None or header.prompt is None:
            return None
        prompt = cells[header.prompt]
        return Match(name, prompt, found) if _plain(name, prompt) else None

    def learn(self, header: Header, cells: Sequence[str], found: _T) -> None:
        """A row with these cells came to this, has nothing to fill in and no mistake."""
        if sum(map(len, cells)) > _LONG:
            return
        if len(self._known) == MOST:
            self._known.clear()
        named = header.id is not None and cells[header.id]
        self._known[not named, header.rest(cells)] = found


def _plain(name: str, prompt: str) -> bool:
    """Whether they are taken as they stand: no blank to fill in, no character to look at closely."""
    if "{" in prompt or not prompt.isprintable() or not prompt or prompt.isspace():
        return False
    return not name or _NAME.fullmatch(name) is not None
