"""Server-sent events out of bytes that come in pieces of any size.

More tolerant than the standard: an event is complete with its first line that is whole JSON, blank
lines may be missing, and a bare JSON line between events counts as data. Never raises on bad input.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from pydantic_core import from_json

from batchgen.model import Json

_MAX_LINES = 64
_LARGE = 64 * 1024
"""Characters of JSON, an image in base64 for one, from which on the standard parser takes ten times as long."""

DONE = "[DONE]"

_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name (often empty), its text, and the JSON value of it (`readable` if it is JSON)."""

    name: str
    text: str
    value: Json = None
    readable: bool = False


def loads(text: str | bytearray) -> tuple[bool, Json]:
    """(True, value) for JSON, also with something after it; (False, None) for anything else."""
    if isinstance(text, bytearray):
        if len(text) > _LARGE:
            with suppress(ValueError):  # as below, and megabytes of base64 are not copied into a text first
                return True, from_json(text)
        text = text.decode("utf-8", "replace")
    text = text.strip().lstrip("\ufeff")
    if len(text) > _LARGE:
        with suppress(ValueError):  # it is stricter; what it refuses is read below
            return True, from_json(text)
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # A gateway may append `data: [DONE]` or a second object to a complete one-shot answer.
        if error.msg != "Extra data" or text[:1] not in ("{", "["):
            return False, None
        value = _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return False, None
    return True, value


class Events:
    """Feed bytes, take events; `close` gives what was left without a line end."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._name = ""
        self._data: list[str] = []
        self._loose: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        self._buffer += data
        events: list[Event] = []
        start = 0
        # Only new bytes are searched: one line may hold megabytes of base64.
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            events += self._line(self._buffer[start:end].decode("utf-8", "replace").rstrip("\r"))
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        return events

    def close(self) -> list[Event]:
        """The body is over: the last line, unfinished data and loose text, as far as they are events."""
        events = self._line(self._buffer.decode("utf-8", "replace").rstrip("\r")) if self._buffer else []
        self._buffer.clear()
        self._searched = 0
        events += self._flush()
        if self._loose:
            readable, value = loads("\n".join(self._loose))
            if readable:
                events.append(Event("", "", value, True))
            self._loose.clear()
        return events

    def _line(self, line: str) -> list[Event]:
        line = line.lstrip("\ufeff")
        field, colon, rest = line.partition(":")
        if not line.strip():
            return self._flush()
        if field == "data" and colon:
            return self._take(rest.removeprefix(" "))
        if field == "event" and colon:
            self._name = rest.strip()
        elif line.startswith("{") or self._loose:
            readable, value = loads(line) if not self._loose else (False, None)
            if readable:
                return [Event(self._name, line, value, True)]
            self._loose.append(line)
        return []

    def _take(self, data: str) -> list[Event]:
        """A data line: an event at once when it is whole, else kept for the lines that follow."""
        if data.strip() == DONE:
            return [*self._flush(), Event("", DONE)]
        readable, value = loads(data)
        if readable and not self._data:
            return [Event(self._name, data, value, True)]
        if readable and isinstance(value, dict):
            joined, whole = loads("\n".join([*self._data, data]))
            if not joined:
                return [*self._flush(), Event(self._name, data, value, True)]
            self._data.clear()
            return [Event(self._name, "", whole, True)]
        self._data.append(data)
        readable, value = loads("\n".join(self._data)) if len(self._data) > 1 else (False, None)
        if readable:
            self._data.clear()
            return [Event(self._name, "", value, True)]
        return self._flush() if len(self._data) >= _MAX_LINES else []

    def _flush(self) -> list[Event]:
        text, name = "\n".join(self._data), self._name
        self._data.clear()
        self._name = ""
        return [Event(name, text)] if text.strip() else []
