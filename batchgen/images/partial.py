"""A download on disk before it is whole, so that a broken one goes on where it stopped.

Two files in `images/.incoming`: `o<output>.part` and, once those bytes are durable, `o<output>.note`, which
says how many, of which link and under which validator. Without a note a part counts for nothing: after a
power cut its end may be zeros. One that is written at once has a name of its own. Everything here blocks.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from batchgen.errors import DownloadFailed, WorkspaceError
from batchgen.storage.buffer import ROOM, Buffer, buffer
from batchgen.storage.local import INCOMING, Aside, Whole, disk, remove

PART: Final = ".part"
NOTE: Final = ".note"
SEGMENT: Final = 1 << 20
"""Bytes gathered in memory before they are worth a hop into a thread."""

_BLOCK: Final = 1 << 17
"""Bytes written at a time, at least: each write lets another thread take over. A megabyte's own memory costs more."""


@dataclass(frozen=True, slots=True)
class _Note:
    link: str
    validator: str
    size: int


class PartialFile:
    """The unfinished file of one output, wanted from `url`; parts of other links are dropped.

    Nothing is on disk before the first `flush`: a small file is written in one go at its end. Call `resume`
    first where something is `noted`.
    """

    def __init__(self, workspace: Path, output_id: int, url: str) -> None:
        self._stem = f"{workspace}/{INCOMING}/o{output_id}"
        self.path, self._note = Path(self._stem + PART), Path(self._stem + NOTE)
        # The query is left out: a link signed anew leads to the same file, and signatures stay secret.
        self._link = hashlib.sha256(url.partition("?")[0].encode("utf-8", "surrogatepass")).hexdigest()
        self._aside: Aside | None = None
        self._gathered: list[bytes] = []
        self._written = 0
        self._enough = SEGMENT
        self._resumed = self._ended = False
        self._lock = Lock()
        self.validator: str | None = None
        self.size = 0

    def noted(self) -> bool:
        """Whether an earlier try may have left bytes to `resume` from."""
        return self._note.exists()

    def resume(self) -> None:
        """Go on after the bytes of an earlier try, if they can be trusted and are of this link."""
        self._resumed = True
        if (note := self._read_note()) is not None:
            self._aside = Aside(self.path, keep=note.size)
            self._written = self.size = note.size
            self.validator = note.validator

    def range_headers(self) -> dict[str, str]:
        """What asks for the missing rest; empty for the whole file."""
        if self.size == 0 or self.validator is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.validator}

    def restart(self) -> None:
        """Begin anew: what is there belongs to another version of the file."""
        self._forget_note()
        if self._aside is not None:
            self._aside.restart()
        self._gathered.clear()
        self._written = self.size = 0
        self.validator = None

    def expect(self, size: int | None) -> None:
        """How long the whole file is, if that is known: a small one is gathered until it is whole."""
        self._enough = ROOM if size is not None and size <= ROOM else SEGMENT

    def gather(self, piece: bytes) -> bool:
        """Take bytes into memory; True when it is time to `flush` them. Never blocks."""
        self._gathered.append(piece)
        self.size += len(piece)
        return self.size - self._written >= self._enough

    def flush(self) -> None:
        """Write and hash what was gathered."""
        self._flushed()

    @contextmanager
    def finish(self) -> Iterator[Whole]:
        """Within: the whole file, durable and closed."""
        with disk(), buffer() as memory:
            with self._lock:
                if self._ended:
                    raise DownloadFailed("the download was given up")
                self._ended = True
                whole = self._at_once(memory) if self._aside is None else self._synced()
            self._forget_note()
            yield whole

    def _at_once(self, memory: Buffer) -> Whole:
        # A name of its own: another worker may be doing the same, because the runner believes this one lost.
        self.path = Path(f"{self._stem}-{random.getrandbits(64):x}{PART}")
        memory.fill(self._gathered)
        self._gathered.clear()
        memory.write(self.path)
        return Whole(self.path, hashlib.sha256(memory.data).hexdigest(), memory.size, memory.data)

    def _synced(self) -> Whole:
        with self._flushed() as aside:
            aside.sync()
        return Whole(self.path, aside.sha256, aside.size)

    def suspend(self) -> None:
        """Keep what came for a later resume, or nothing where no resume can be trusted.

        Does nothing where another thread is at its `finish`: an event loop that closes waits for no thread.
        """
        with self._lock:
            if not self._ended:
                self._ended = True
                self._suspend()

    def _suspend(self) -> None:
        if self.validator is None or self.size == 0:
            self.discard()
            return
        with self._flushed() as aside:
            aside.sync()
        note = {"link": self._link, "validator": self.validator, "size": self.size}
        with disk():
            self._note.write_text(json.dumps(note), encoding="utf-8")

    def discard(self) -> None:
        """Remove every trace."""
        if self._aside is not None:
            with suppress(WorkspaceError):  # of a full disk: what can't be written goes anyway
                self._aside.close()
        remove(self.path)
        self._forget_note()

    def _forget_note(self) -> None:
        if self._resumed:
            remove(self._note)

    def _flushed(self) -> Aside:
        if self._aside is None:
            self._aside = Aside(self.path)
        self._aside.write(_blocks(self._gathered))
        self._gathered.clear()
        self._written = self.size
        return self._aside

    def _read_note(self) -> _Note | None:
        try:
            note = _Note(**json.loads(self._note.read_text(encoding="utf-8")))
            whole = isinstance(note.size, int) and isinstance(note.validator, str)
            if whole and note.link == self._link and 0 < note.size <= self.path.stat().st_size:
                return note
        except (OSError, ValueError, TypeError):  # no note, a torn one, or somebody else's file
            pass
        remove(self._note)
        return None


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, with small pieces put together."""
    block: list[bytes] = []
    size = 0
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size >= _BLOCK:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)
