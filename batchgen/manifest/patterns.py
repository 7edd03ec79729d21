"""Rows of a table that differ from an earlier one in id and prompt alone come to what that one came to. Pure.

A million rows are of a few such patterns. Whatever is not plain about an id or a prompt is not for this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from batchgen.model import Job, Json

MOST: Final = 1000
"""Patterns that are remembered at a time."""

_LONG: Final = 2000
_OWN: Final = frozenset({"id", "prompt"})
_NAME = re.compile(r"[\w.+-]{1,200}")
_T = TypeVar("_T")


class Patterns(Generic[_T]):
    """What is known of rows by everything they say but their id and prompt."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Job, _T]] = {}

    def find(self, values: Mapping[str, Json]) -> tuple[Job, _T] | None:
        """The job of a row of a known pattern, and what was found out of the first one."""
        key = _key(values)
        known = None if key is None else self._known.get(key)
        if known is None:
            return None
        like, found = known
        job = Job(
            id=str(values.get("id", like.id)),
            prompt=str(values["prompt"]),
            provider=like.provider,
            model=like.model,
            ratio=like.ratio,
            size=like.size,
            quality=like.quality,
            output_format=like.output_format,
            output_compression=like.output_compression,
            background=like.background,
            n=like.n,
            references=like.references,
            mask=like.mask,
            after=like.after,
            after_image=like.after_image,
            meta=like.meta,
            params=like.params,
            models=like.models,
        )
        return job, found

    def learn(self, values: Mapping[str, Json], job: Job, found: _T) -> None:
        """A row with these values came to this job, has nothing to fill in and no mistake."""
        key = _key(values)
        if key is None:
            return
        if len(self._known) == MOST:
            self._known.clear()
        self._known[key] = job, found


def _key(values: Mapping[str, Json]) -> str | None:
    """A row but for its id and prompt; None when these, or one of the mappings in it, need a closer look."""
    prompt, name = values.get("prompt"), values.get("id", "-")
    if type(prompt) is not str or type(name) is not str or "meta" in values or "params" in values:
        return None
    if "{" in prompt or not prompt.isprintable() or not prompt.strip() or not _NAME.fullmatch(name):
        return None
    if len(values) == 2 and "id" in values:
        return ""
    rest = {key: value for key, value in values.items() if key not in _OWN}
    key = f"{'id' in values} {rest!r}"
    return key if len(key) <= _LONG else None
