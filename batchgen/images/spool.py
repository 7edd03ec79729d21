"""Inline images: base64 out of a reply, decoded to a durable file before anybody says it exists.

Strict about the alphabet, tolerant about what senders really vary: line breaks, missing padding, the
URL-safe letters. The file appears whole or not at all.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
import pybase64

from batchgen.errors import BadImage
from batchgen.images.inspect import decoders
from batchgen.images.naming import safe_name
from batchgen.storage.local import INCOMING, Aside, publish, remove

SLICE: Final = 4 << 18
"""Characters decoded at a time, a multiple of four: 0.1 ms, and the event loop gets its turn between."""

ASIDE: Final = ".tmp"


async def spool_inline(base64_text: str, workspace: Path, name: str, max_bytes: int) -> str:
    """Decode to `images/.incoming/<name>` and return that path, relative to `workspace`.

    The file is on disk for good when this returns. Raises `BadImage` when the text is no base64, is
    empty, or would exceed `max_bytes`; `WorkspaceError` when the disk refuses.
    """
    work = partial(_spool, base64_text, workspace, safe_name(name), max_bytes)
    return await anyio.to_thread.run_sync(work, limiter=decoders())


def _spool(text: str, workspace: Path, name: str, max_bytes: int) -> str:
    aside = workspace / INCOMING / f"{name}{ASIDE}"
    try:
        with Aside(aside) as file:
            file.write(decoded(text, max_bytes))
            file.sync()
        publish(aside, workspace / INCOMING / name)
    except BaseException:  # whatever it was: half a file must not stay
        remove(aside)
        raise
    return f"{INCOMING}/{name}"


def decoded(text: str, max_bytes: int) -> Iterator[bytes]:
    """The bytes that base64 `text` stands for, in pieces. Raises `BadImage`."""
    if not text.isascii():
        raise BadImage("the inline image is not valid base64")
    if any(space in text for space in " \t\r\n"):
        text = "".join(text.split())
    length = len(text.rstrip("="))
    if length == 0:
        raise BadImage("the inline image is empty")
    if length * 3 // 4 > max_bytes:
        raise BadImage(f"the inline image is larger than the {max_bytes} bytes allowed")
    for start in range(0, length, SLICE):
        piece = text[start : min(start + SLICE, length)].replace("-", "+").replace("_", "/")
        try:
            if "=" in piece:
                raise binascii.Error("padding before the end")
            yield pybase64.b64decode(piece + "=" * (-len(piece) % 4), validate=True)
        except binascii.Error as error:
            raise BadImage("the inline image is not valid base64") from error
