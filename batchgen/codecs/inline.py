"""Base64 pictures inside replies: how to recognise one, and how to keep a reply without them.

Pure text to text; nothing is decoded here. An elided picture is never taken for a picture again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from batchgen.codecs.lifted import Lifted
from batchgen.codecs.redact import redact
from batchgen.model import Json

KEPT_BYTES = 64 * 1024
"""How much of one reply the ledger keeps, in bytes of UTF-8."""

DATA_URL = re.compile(
    r"data:(?:image/[\w.+-]{1,40}|application/octet-stream)(?:;[\w=.-]{1,60}){0,4}?;base64,([A-Za-z0-9+/_-]+={0,2})",
    re.IGNORECASE,
)
ELIDED = re.compile(r"data:<base64, \d{1,12} characters>")
"""What `without_base64` leaves of a data URL: here stood a picture. No brackets, or it may become a link's label."""
_BASE64_HEAD = re.compile(r"[A-Za-z0-9+/_=-]{4,64}(?:\s|$|(?<=.{64}))")
# One plain set of characters: with an alternative for `\/` in it, a match of 4 MB took 600 MB of memory.
_LONG = 1024
_LONG_RUN = re.compile(rf"[A-Za-z0-9+_=/\\-]{{{_LONG},}}")
_NAMED_RUN = re.compile(r'("(?:b64_json|data|result|image)"\s*:\s*")[A-Za-z0-9+_=/\\-]{64,}("?)')
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_INLINE_KEYS = frozenset({"b64_json", "inlineData", "inline_data"})


def is_payload(text: str) -> bool:
    """Whether this is a data URL or a bare base64 text, as far as its beginning tells."""
    return _tail(text) is not None


def payload(text: str) -> str | None:
    """The base64 of a data URL or of a bare base64 text, as it was written; None if it is neither.

    Providers send `b64_json` with and without the `data:` prefix (seed 004), some in the URL alphabet, with line
    breaks, or without its padding: all that is left to whoever decodes it.
    """
    return text if isinstance(text, Lifted) else _tail(text)


def _tail(text: str) -> str | None:
    """What stands behind `data:…;base64,`, or all of it; None where that does not begin like base64."""
    if text[:80].lstrip()[:5].lower() == "data:":
        head, comma, tail = text.partition(",")
        if not (comma and head.lower().endswith(";base64")):
            return None
    else:
        tail = text
    return tail if _BASE64_HEAD.match(tail[:160].lstrip()[:80]) else None


def mended(text: str) -> str:
    """Text whose emoji were cut in half by a JSON escape on either side of a piece, made whole."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_base64(text: str) -> str:
    """Raw text with data URLs, named base64 fields and very long base64 runs replaced by their length."""
    if len(text) < _LONG and '"' not in text and "data:" not in text.lower():
        return text  # most values of a reply are links, names and numbers
    text = DATA_URL.sub(lambda found: f"data:<base64, {len(found.group(1))} characters>", text)
    text = _NAMED_RUN.sub(lambda found: f"{found.group(1)}[base64]{found.group(2)}", text)
    return _LONG_RUN.sub(lambda found: f"<base64, {len(found.group(0))} characters>", text)


def stripped(value: Json, key: str = "") -> Json:
    """A JSON value with every inline picture replaced by a short mark; the rest is as it was."""
    if isinstance(value, str):
        if key in _INLINE_KEYS:
            return f"<base64, {len(value)} characters>" if is_payload(value) else without_base64(value)
        return without_base64(value)
    if isinstance(value, Mapping):
        inside = key in _INLINE_KEYS
        return {name: stripped(item, key if inside and name == "data" else name) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [stripped(item, key) for item in value]
    return value


def kept_json(value: Json) -> str:
    """A JSON value as the ledger keeps it: no base64, no keys, at most 64 KiB."""
    return kept_text(_ENCODER.encode(stripped(value)))


def kept_text(text: str) -> str:
    """Any reply text as the ledger keeps it: no base64, no keys, valid Unicode, at most 64 KiB."""
    clean = redact(without_base64(mended(text))).encode("utf-8", "replace")
    return clean[:KEPT_BYTES].decode("utf-8", "ignore")
