"""Durable files: written aside, synced, renamed, and the folder synced too.

After `publish` returns, the file survives a power cut; before, nothing of it is visible. Everything
here blocks, so it belongs into a worker thread. A full or unwritable disk is a `WorkspaceError`.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Final, Self, TypeVar

from batchgen.errors import WorkspaceError

INCOMING: Final = "images/.incoming"
"""Below the workspace: unfinished downloads and decoded inline images that have no place yet."""

TOLD: Final = ".told"
"""Ending of what is not whole yet, in that folder."""

_Path = TypeVar("_Path", bound=PurePath)


class _Disk:
    # No generator: there are ten of these around each file.
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise WorkspaceError(f"the workspace can't be used: {error.strerror or error}") from error


_DISK: Final = _Disk()


def disk() -> _Disk:
    """Within: what the disk refuses (full, read-only, broken, gone) becomes a `WorkspaceError`."""
    return _DISK


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole and synced file that has no name yet, and the SHA-256 of what was written to it.

    `data` holds its bytes where they are in memory, until the end of the `with` that it came by: who looks at it
    need not ask the disk again.
    """

    path: Path
    sha256: str
    size: int
    data: memoryview | None = None


class Aside:
    """An unfinished file: appended to, hashed on the way, and only then published.

    Opens `path`, cut to its first `keep` bytes; more is written after those. To be closed by whoever made it.
    `hashed` False: nobody asks for its `sha256`.
    """

    def __init__(self, path: Path, keep: int = 0, *, hashed: bool = True) -> None:
        with disk():
            self._file: int | None = opened(path, 0 if keep else os.O_TRUNC)
            if keep:
                os.ftruncate(self._file, keep)
            self._digest = digest_of(path) if keep else hashlib.sha256()
        self._hashed = hashed
        self.size = keep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far."""
        return self._digest.hexdigest()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append the pieces."""
        with disk():
            for piece in pieces:
                if self._hashed:
                    self._digest.update(piece)
                self.size += len(piece)
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._open(), rest) :]

    def restart(self) -> None:
        """Forget everything written so far."""
        with disk():
            os.ftruncate(self._open(), 0)
        self._digest, self.size = hashlib.sha256(), 0

    def sync(self) -> None:
        """Make everything written so far survive a power cut."""
        with disk():
            os.fsync(self._open())

    def close(self) -> None:
        """Close the file; harmless when it is closed already."""
        file, self._file = self._file, None
        if file is not None:
            with disk():
                os.close(file)

    def _open(self) -> int:
        assert self._file is not None, "closed"
        return self._file


def opened(path: Path, how: int) -> int:
    """A descriptor by which to append to the file, made with its folder if need be; `how`: more flags of `os.open`."""
    # No file object: each call of the system lets another thread take over, which costs more than the call,
    # and Python's own open makes three more of them.
    how |= os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, how, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, how, 0o666)


def digest_of(path: Path) -> hashlib._Hash:
    """SHA-256 of a whole file, open for more. Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256")


def publish(aside: Path, target: Path) -> None:
    """Give a synced file its name, for good. An older file of that name is replaced."""
    with disk():
        try:
            os.replace(aside, target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, target)
        sync_folder(target.parent)


def publish_new(aside: Path, target: Path, sha256: str) -> Path:
    """Like `publish`, but never over other bytes: the next free `name~x2`, `name~x3`, … is taken then.

    A file of the same bytes is the work of an earlier run that died before it could say so, and is
    kept. Returns the path that holds the bytes.
    """
    for place in places(target):
        with disk():
            if not os.path.lexists(place):
                publish(aside, place)
                return place
            if place.is_file() and not place.is_symlink() and digest_of(place).hexdigest() == sha256:
                aside.unlink()
                sync_folder(place.parent)
                return place
    raise AssertionError("unreachable: the places never end")


def places(target: _Path) -> Iterator[_Path]:
    """The names that `publish_new` tries, in this order, without end."""
    yield target
    number = 2
    while True:
        yield target.with_name(f"{target.stem}~x{number}{target.suffix}")
        number += 1


class _FolderSync:
    """One folder's syncs, shared: who comes while one runs is served by the next, together with all others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._came = itertools.count(1)
        self._latest = 0
        self._synced = 0

    def sync(self) -> None:
        """Return once a sync that began after this call has ended. Raises `OSError`."""
        mine = self._latest = next(self._came)
        with self._turn:
            if self._synced >= mine:
                return  # it began after our rename
            # Everyone counted by now has renamed already, and waits for this turn.
            covered = self._latest
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = covered


@lru_cache(maxsize=256)
def _folder_sync(folder: Path) -> _FolderSync:
    return _FolderSync(folder)


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in a folder survive a power cut."""
    if os.name != "nt":  # Windows can't open a folder; its renames are journalled.
        _folder_sync(folder).sync()


def remove(path: Path) -> None:
    """Delete a file that may already be gone."""
    with disk(), suppress(FileNotFoundError):
        path.unlink()


def inside(workspace: Path, relative: str) -> Path | None:
    """The path below the workspace, or None if it would lie outside it, also by way of a link."""
    folder, name = os.path.split(relative)
    path = _folder(workspace, folder) / name
    if name in ("", ".", "..") or os.path.islink(path):
        root, path = _real(workspace), path.resolve()
        return path if path != root and path.is_relative_to(root) else None
    return path if _is_inside(workspace, folder) else None


def below(workspace: Path, path: Path) -> str:
    """How the ledger calls a file that lies `inside` the workspace."""
    root = _real(workspace).as_posix().rstrip("/")
    return path.as_posix().removeprefix(f"{root}/")


def folder_inside(workspace: Path, relative: str) -> bool:
    """Whether the folder of that path lies in the workspace; looks at the disk once for each folder."""
    return _is_inside(workspace, os.path.dirname(relative))


@lru_cache(maxsize=1024)
def _is_inside(workspace: Path, folder: str) -> bool:
    return _folder(workspace, folder).is_relative_to(_real(workspace))


@lru_cache(maxsize=1024)
def _folder(workspace: Path, folder: str) -> Path:
    # Remembered: a look at each part of a long path costs as much as writing the file does.
    return (_real(workspace) / folder).resolve()


@lru_cache(maxsize=16)
def _real(workspace: Path) -> Path:
    return workspace.resolve()
