"""Inline images: base64 out of a reply, decoded to a durable file before anybody says it exists.

Strict about the alphabet, tolerant about what senders really vary: line breaks, missing padding, the
URL-safe letters. A file appears whole or not at all, and a line of a log says when all of one answer are
there. Everything here blocks: call it in a thread, behind `decoders()`.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
import os
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import pybase64

from batchgen.codecs.lifted import Lifted
from batchgen.errors import BadImage
from batchgen.events import Generated, RemoteImage, Replied
from batchgen.images.naming import safe_name
from batchgen.storage.buffer import ROOM, buffer
from batchgen.storage.local import INCOMING, Aside, disk, inside, remove, sync_folder

SLICE: Final = 1 << 19
"""Characters decoded at a time, a multiple of four. Each piece lets another thread take over; the memory of larger
ones is fetched anew for each file, and costs more than that."""

ASIDE: Final = ".tmp"
ANSWERS: Final = ".answers"
"""Ending of the logs that name all images of each answer."""


def spool(base64_text: str, workspace: Path, name: str, max_bytes: int) -> str:
    """Decode to `images/.incoming/<name>` and return that path, relative to `workspace`.

    The bytes are on disk for good when this returns, and the name of the file once the answer is in an
    `AnswerLog`. Raises `BadImage` when the text is no base64, is empty, or would exceed `max_bytes`;
    `WorkspaceError` when the disk refuses.
    """
    name = safe_name(name)
    aside = workspace / INCOMING / f"{name}{ASIDE}"
    try:
        _write(aside, base64_text, max_bytes)
        with disk():
            aside.replace(aside.with_name(name))
    except BaseException:  # whatever it was: half a file must not stay
        remove(aside)
        raise
    return f"{INCOMING}/{name}"


def _write(path: Path, text: str, max_bytes: int) -> None:
    # Not hashed: that is done where the file is decoded, from what the disk then holds.
    pieces = decoded(text, max_bytes)
    if len(text.base64 if isinstance(text, Lifted) else text) * 3 // 4 <= ROOM:
        with disk(), buffer() as memory:
            memory.fill(pieces)
            memory.write(path)
        return
    with Aside(path, hashed=False) as file:
        file.write(pieces)
        file.sync()


def decoded(text: str, max_bytes: int) -> Iterator[bytes]:
    """The bytes that base64 `text`, or a `Lifted`, stands for, in pieces. Raises `BadImage`."""
    if not isinstance(text, Lifted):
        yield from _tolerantly(text, max_bytes)
        return
    whole, done = text.base64, 0
    while done < len(whole) <= max_bytes // 3 * 4:
        data = _strictly(whole[done : done + SLICE], last=done + SLICE >= len(whole))
        if data is None:
            break
        yield data
        done += SLICE
    rest = str(whole[done:], "ascii", "replace")
    if not done or rest.strip("= \t\r\n"):
        yield from _tolerantly(rest, max_bytes)


def _strictly(base64: memoryview, *, last: bool) -> bytes | None:
    """The bytes it stands for, None where it is not written by the book; padding may only be in the `last` piece."""
    if not last and base64[-1] == ord("="):
        return None
    try:
        return pybase64.b64decode(base64, validate=True)
    except binascii.Error:
        return None


def _tolerantly(text: str, max_bytes: int) -> Iterator[bytes]:
    """The bytes of a text in which line breaks, the URL alphabet and any padding are allowed. Raises `BadImage`."""
    if not text.isascii():
        raise BadImage("the inline image is not valid base64")
    if any(space in text for space in " \t\r\n"):
        text = "".join(text.split())
    end = text[-SLICE:]  # of the whole text, megabytes would be copied for the sake of one letter
    length = len(text) - len(end) + len(end.rstrip("="))
    if length == 0:
        raise BadImage("the inline image is empty")
    if length * 3 // 4 > max_bytes:
        raise BadImage(f"the inline image is larger than max_image_bytes, {max_bytes} bytes")
    for start in range(0, length, SLICE):
        piece = text[start : min(start + SLICE, length)].replace("-", "+").replace("_", "/")
        try:
            if "=" in piece:
                raise binascii.Error("padding before the end")
            yield pybase64.b64decode(piece + "=" * (-len(piece) % 4), validate=True)
        except binascii.Error as error:
            raise BadImage("the inline image is not valid base64") from error


class AnswerLog:
    """Whole answers whose inline images are spooled, a line each, for a run that dies before its ledger has them.

    One writer has one log. The lines are not synced: the ledger's own commit, which is, follows at once.
    """

    def __init__(self, workspace: Path) -> None:
        self._path = workspace / INCOMING / f"{uuid.uuid4().hex}{ANSWERS}"

    def add(self, attempt_id: int, generated: Generated) -> None:
        """Write an answer down, and make the names of its files durable. Raises `WorkspaceError`."""
        # A line of its own also after one that a full disk tore.
        line = b"\n" + json.dumps({"attempt": attempt_id, **dataclasses.asdict(generated)}).encode() + b"\n"
        with disk():
            log = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(log, line)
            finally:
                os.close(log)
            sync_folder(self._path.parent)


def noted_answers(workspace: Path, attempts: Collection[int]) -> dict[int, Generated]:
    """The answers to these attempts that were logged, and of which every image is there."""
    noted = {}
    with disk():
        for log in (workspace / INCOMING).glob(f"*{ANSWERS}"):
            with log.open("rb") as lines:
                for line in lines:
                    try:
                        told = json.loads(line)
                    except ValueError:
                        continue  # empty or torn
                    if told["attempt"] in attempts and (generated := _spooled(workspace, told)) is not None:
                        noted[told["attempt"]] = generated
    return noted


def _spooled(workspace: Path, told: dict[str, Any]) -> Generated | None:
    images = tuple(
        RemoteImage(**{**image, "alternatives": tuple(image["alternatives"])}) for image in told["images"]
    )
    spools = [inside(workspace, image.spool) for image in images if image.spool is not None]
    if not all(spool is not None and spool.is_file() for spool in spools):
        return None
    reply = told.get("reply")  # versions that kept it apart wrote none
    return Generated(
        images=images, gen_id=told["gen_id"], usage=told["usage"], reply=None if reply is None else Replied(**reply)
    )


def forget_answers(workspace: Path) -> None:
    """Remove every log: no attempt is open any more that could want one."""
    with disk():
        for log in list((workspace / INCOMING).glob(f"*{ANSWERS}")):
            remove(log)
