"""Inline images: base64 out of a reply, decoded to a durable file before anybody says it exists.

Strict about the alphabet, tolerant about what senders really vary: line breaks, missing padding, the
URL-safe letters. A file appears whole or not at all, and a note says when all of one answer are there.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
import pybase64

from batchgen.errors import BadImage
from batchgen.events import Generated, RemoteImage
from batchgen.images.inspect import decoders
from batchgen.images.naming import safe_name
from batchgen.storage.local import INCOMING, Aside, disk, inside, publish, remove

SLICE: Final = 4 << 18
"""Characters decoded at a time, a multiple of four: 0.1 ms, and the event loop gets its turn between."""

ASIDE: Final = ".tmp"
ANSWER: Final = ".answer"
"""Ending of the note that names all images of an answer."""


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


def note_answer(workspace: Path, attempt_id: int, generated: Generated) -> None:
    """Write down, for good, a whole answer whose inline images are spooled. Raises `WorkspaceError`."""
    note = _note(workspace, attempt_id)
    aside = note.with_name(note.name + ASIDE)
    with Aside(aside) as file:
        file.write([json.dumps(dataclasses.asdict(generated)).encode()])
        file.sync()
    publish(aside, note)


def noted_answer(workspace: Path, attempt_id: int) -> Generated | None:
    """The answer that was noted, when every image of it is there."""
    with disk():
        try:
            note = json.loads(_note(workspace, attempt_id).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        images = tuple(
            RemoteImage(**{**image, "alternatives": tuple(image["alternatives"])}) for image in note["images"]
        )
        spools = [inside(workspace, image.spool) for image in images if image.spool is not None]
        if not all(spool is not None and spool.is_file() for spool in spools):
            return None
    return Generated(images=images, gen_id=note["gen_id"], usage=note["usage"])


def forget_answer(workspace: Path, attempt_id: int) -> None:
    """Remove the note: the ledger has it."""
    remove(_note(workspace, attempt_id))


def forget_answers(workspace: Path) -> None:
    """Remove every note: no attempt is open any more that could want one."""
    with disk():
        for note in list((workspace / INCOMING).glob(f"*{ANSWER}")):
            remove(note)


def _note(workspace: Path, attempt_id: int) -> Path:
    return workspace / INCOMING / f"a{attempt_id}{ANSWER}"
