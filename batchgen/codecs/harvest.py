"""Collects what one reply holds, value by value: text, images, error, task id, usage.

The readers of each shape (chat.py, images.py) put things in; reply.py decides at the end. Holds no
bytes of the wire and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batchgen.codecs.base import Found
from batchgen.codecs.inline import payload
from batchgen.codecs.lifted import identity
from batchgen.codecs.links import is_video
from batchgen.errors import JobError
from batchgen.model import Json


@dataclass(slots=True)
class Harvest:
    """One reply so far. `known`: at least one value had a shape that we can read."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    images: dict[str, Found] = field(default_factory=dict)
    garbled: bool = False
    """an image came whose base64 is none"""
    refusals: list[str] = field(default_factory=list)
    error: Json = None
    item_error: Json = None
    fault: JobError | None = None
    finish: str | None = None
    task_id: str | None = None
    percent: int | None = None
    usage: Json = None
    ended: bool = False
    known: bool = False

    def text(self) -> str:
        """All text of all choices, in the order of the choices."""
        return "\n\n".join("".join(self.texts[index]) for index in sorted(self.texts))

    def say(self, text: str, choice: int = 0) -> str:
        """Add a piece of text; returns it, so that a watcher can read along."""
        if text:
            self.texts.setdefault(choice, []).append(text)
        return text

    def show(self, source: Json, inline: Json = None, item: int | None = None) -> None:
        """Add an image by link, else by base64 (bare or as a data URL).

        A second mention adds nothing, but each `item` of a list of results is an image of its own, also
        when a provider drew the same twice: it was billed twice.
        """
        if isinstance(source, str) and source.strip()[:8].lower().startswith(("http://", "https://")):
            url = source.strip()
            if not is_video(url):
                self.images.setdefault(url if item is None else f"item {item}", Found(url))
            return
        for text in (inline, source):
            if isinstance(text, str) and (base64 := payload(text)) is not None:
                key = identity(base64) if item is None else f"item {item}"
                self.images.setdefault(key, Found(None, inline=base64))
                return
        self.garbled = self.garbled or (isinstance(inline, str) and bool(inline.strip()))

    def show_any(self, value: Json) -> None:
        """Add images from a string, an object with a `url` in one of its usual places, or a list of these."""
        if isinstance(value, str):
            self.show(value)
        elif isinstance(value, Mapping):
            inner = value.get("image_url")
            if isinstance(inner, Mapping):
                self.show(inner.get("url"))
            else:
                self.show(value.get("url") or inner, value.get("b64_json") or value.get("data"))
        elif isinstance(value, Sequence):
            for item in value:
                self.show_any(item)
