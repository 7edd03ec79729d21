"""Files of a few megabytes, written and read past the system's page cache, in memory that is used again.

Into that cache and out of it a picture costs more processor time than its base64, its SHA-256 and its pixels
together, and after a night it would hold nothing else. Where a file system can't do without, the cache is used.
Everything here blocks.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from batchgen.storage.local import opened

ROOM: Final = 4 << 20
"""Bytes of the largest file for which there is a buffer."""

_DIRECT: Final[int] = getattr(os, "O_DIRECT", 0)
_DIRECT_FROM: Final = 1 << 18
"""Bytes; below, the cache is cheaper."""

_BLOCK: Final = 4096
"""What is read and written without the cache has this alignment: in memory, on the disk, and in length."""

_KEPT: Final = 8
"""Buffers that wait for the next file; more of them are made while more threads want one."""

_free: Final[list[Buffer]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free.clear)  # their memory stays the parent's, too


@contextmanager
def buffer() -> Iterator[Buffer]:
    """Within: an empty buffer that nobody else has. What it held is gone afterwards."""
    try:
        taken = _free.pop()
    except IndexError:
        taken = Buffer()
    taken.size = 0
    try:
        yield taken
    finally:
        if len(_free) < _KEPT:
            _free.append(taken)


class Buffer:
    """The bytes of one file of at most `ROOM`. Its methods raise `OSError`."""

    def __init__(self) -> None:
        self._view = memoryview(mmap.mmap(-1, ROOM))  # it begins where a page does
        self.size = 0

    @property
    def data(self) -> memoryview:
        """What it holds, until the end of its `with`."""
        return self._view[: self.size].toreadonly()

    def fill(self, pieces: Iterable[bytes]) -> None:
        """Append the pieces. Raises `ValueError` when they are too large."""
        for piece in pieces:
            end = self.size + len(piece)
            self._view[self.size : end] = piece
            self.size = end

    def write(self, path: Path) -> None:
        """Make a file of it, in place of one that is there, which survives a power cut."""
        try:
            self._write(path, self.size - self.size % _BLOCK if _DIRECT and self.size >= _DIRECT_FROM else 0)
        except OSError:  # whatever else it may be, it comes again
            self._write(path, 0)

    def read(self, path: Path) -> bool:
        """Take a whole file in, in place of what is here; False where it is too large."""
        size = path.stat().st_size
        if size > ROOM:
            return False
        try:
            self._read(path, size, _DIRECT if size >= _DIRECT_FROM else 0)
        except OSError:
            self._read(path, size, 0)
        return True

    def _write(self, path: Path, blocks: int) -> None:
        """The first `blocks` bytes past the cache, the rest through it."""
        file = opened(path, os.O_TRUNC | (_DIRECT if blocks else 0))
        try:
            self._append(file, 0, blocks)
            if blocks:
                import fcntl  # late: Windows has none, and no `O_DIRECT`

                fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # and no longer `O_DIRECT`
            self._append(file, blocks, self.size)
            os.fsync(file)
        finally:
            os.close(file)

    def _append(self, file: int, start: int, end: int) -> None:
        while start < end:
            start += os.write(file, self._view[start:end])

    def _read(self, path: Path, size: int, how: int) -> None:
        self.size = 0
        # No further than to the end of its last block: the system would fill all the rest with zeros.
        end = size + -size % _BLOCK
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | how)) as file:
            while self.size < size and (came := file.readinto(self._view[self.size : end])):
                self.size += came
