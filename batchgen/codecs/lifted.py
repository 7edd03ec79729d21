"""JSON with images of megabytes in it, read while their base64 stays in the body it came in.

As texts they would be copied several times, all by the one thread that does everything else. Pure; what can't be
read this way is read as all other JSON is.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import Final

from batchgen.codecs.sse import loads
from batchgen.model import Json

_LONG: Final = 1 << 18
"""Bytes of base64 that are worth it."""

_GAPS: Final = 4096
"""Quotation marks looked at, one after the other: a body with more of them is no picture with a few words."""

_HEAD: Final = re.compile(rb"[A-Za-z0-9+/_-]{64}")
_TAIL: Final = re.compile(rb"[A-Za-z0-9+/_=-]{64}")
_NEVER: Final = (b"\\", b":", b" ")
"""In escapes, links and data URLs, and sentences: a text that only begins like base64, whose words are wanted."""

_SPELLINGS: Final = ((b"-", b"+"), (b"_", b"/"), (b" ", b""), (b"\r", b""), (b"\n", b""), (b"\t", b""))
"""What senders write in more than one way, and how most of them write it."""


class Lifted(str):
    """What stands for such base64 in the value, as the ledger keeps it; `base64` is the text itself, in ASCII."""

    base64: memoryview

    @classmethod
    def of(cls, base64: memoryview) -> Lifted:
        """With the number of its bytes."""
        lifted = cls(f"<base64, {len(base64)} characters>")
        lifted.base64 = base64
        return lifted

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # Into another process goes what the ledger keeps: no view of memory can.
        return str, (str(self),)


def read_lifted(body: bytearray) -> tuple[bool, Json]:
    """As `loads` reads the body, with `Lifted` for its longest base64. The body must stay as it is from then on."""
    rest, taken = _without(body)
    if taken:
        readable, value = loads(rest)
        waiting = deque(taken)
        with suppress(_Astray, RecursionError):
            value = _put_back(value, waiting, frozenset(taken))
            if readable and not waiting:
                return True, value
    return loads(body)


def identity(base64: str) -> str:
    """By which two mentions of one image are known."""
    data = bytes(base64.base64) if isinstance(base64, Lifted) else base64.encode("utf-8", "surrogatepass")
    for odd, usual in _SPELLINGS:  # each costs next to nothing where there is none of it
        data = data.replace(odd, usual)
    data = data.rstrip(b"=")
    return f"{len(data)}:{hash(data)}"


class _Astray(Exception):
    """A mark stands where none was put."""


def _without(body: bytearray) -> tuple[bytearray, list[Lifted]]:
    """The body with a mark for each long string of base64, and these marks."""
    pieces: list[bytes | bytearray] = []
    taken: list[Lifted] = []
    done, opening = 0, body.find(b'"')
    for _ in range(_GAPS):
        closing = body.find(b'"', opening + 1)
        if opening < 0 or closing < 0:
            break
        if _is_base64(body, opening, closing):
            mark = Lifted.of(memoryview(body)[opening + 1 : closing].toreadonly())
            pieces += (body[done : opening + 1], mark.encode())
            taken.append(mark)
            done = closing
        opening = closing
    return bytearray().join((*pieces, body[done:])) if taken else body, taken


def _is_base64(body: bytearray, opening: int, closing: int) -> bool:
    """Whether a string without escapes stands between these quotation marks that is base64 as far as can be seen."""
    return (
        closing - opening > _LONG
        and _HEAD.match(body, opening + 1) is not None
        and _TAIL.match(body, closing - 64) is not None
        and not any(body.find(mark, opening, closing) >= 0 for mark in _NEVER)
    )


def _put_back(value: Json, waiting: deque[Lifted], marks: frozenset[str]) -> Json:
    """The value with what was lifted, which comes in the order of the body. Raises `_Astray`."""
    if isinstance(value, str):
        if value not in marks:
            return value
        if not waiting or value != waiting[0]:
            raise _Astray
        return waiting.popleft()
    if isinstance(value, dict):
        return {name: _put_back(item, waiting, marks) for name, item in value.items()}
    if isinstance(value, list):
        return [_put_back(item, waiting, marks) for item in value]
    return value
