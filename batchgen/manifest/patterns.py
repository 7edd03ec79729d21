"""Rows that differ from an earlier one in id and prompt alone come to what that one came to.

A million rows are of a few such patterns. Whatever is not plain about an id or a prompt is not for this.
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

from batchgen.manifest.row import Words

MOST: Final = 1000
"""Patterns that are remembered at a time."""

_LONG: Final = 2000
_NAME = re.compile(r"[\w.+-]{1,200}")
_T = TypeVar("_T")


class Patterns(Generic[_T]):
    """What is known of the rows of a manifest by everything they say but their id and prompt."""

    def __init__(self) -> None:
        self._known: dict[tuple[bool, object], _T] = {}

    def find(self, words: Words) -> _T | None:
        """What an earlier row came to that says the same."""
        name, prompt, rest = words
        found = self._known.get((not name, rest))
        return found if found is not None and _plain(name, prompt) else None

    def learn(self, words: Words, found: _T) -> None:
        """A row that says this came to that, has nothing to fill in and no mistake."""
        if len(repr(words.rest)) > _LONG:
            return
        if len(self._known) == MOST:
            self._known.clear()
        self._known[not words.id, words.rest] = found


def _plain(name: str, prompt: str) -> bool:
    """Whether they are taken as they stand: no blank to fill in, no character to look at closely."""
    if "{" in prompt or not prompt.isprintable() or not prompt or prompt.isspace():
        return False
    return not name or _NAME.fullmatch(name) is not None
