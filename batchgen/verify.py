"""Compares what the ledger says is saved with what lies in the workspace or its stores: size, hash, strangers.

Only reads. A sidecar belongs to its image, a kept reference to itself. The files that a crash left
half-written are named apart: they are nobody's loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path, PurePosixPath
from typing import Final

import anyio
import anyio.to_thread

from batchgen.images.ahead import FAR
from batchgen.images.provenance import SIDECAR, described
from batchgen.images.stored import REFERENCES
from batchgen.ledger.kept import SavedFile
from batchgen.storage.base import Store
from batchgen.storage.stores import opened

IMAGES = "images"
"""The folder of a workspace or store that holds nothing but images the ledger knows."""

_AT_ONCE: Final = 8
_PORTION: Final = FAR * _AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found, as paths relative to the workspace or store, each list sorted.

    `changed`: size or hash differs, or a sidecar tells of other bytes. `unknown`: in `images/` and not in
    the ledger. `leftovers`: unfinished downloads and hidden files, safe to delete when no run is going on.
    """

    checked: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    leftovers: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether every saved image is there and whole, and no stranger is."""
        return not (self.missing or self.changed or self.unknown)


async def compare_files(workspace: Path, saved: AsyncIterable[SavedFile]) -> Comparison:
    """Read every saved file of `workspace` and its object stores once.

    Raises `OSError` when the folder can't be listed, and `StoreDown`.
    """
    known: dict[str | None, dict[str, str]] = {None: {}}
    missing: list[str] = []
    changed: list[str] = []

    async def look(some: list[SavedFile]) -> None:
        # A few of them by one thread: a hop for each would cost more than reading a small one.
        for file, digest in await anyio.to_thread.run_sync(_digests, workspace, some, limiter=limiter):
            if digest is None:
                if file.current:  # what an earlier wording brought may be thrown away
                    missing.append(file.path)
            elif digest != (file.bytes, file.sha256):
                changed.append(file.path)

    limiter = anyio.CapacityLimiter(FAR)
    async for some in _portions(saved):
        fresh = []
        for file in some:
            paths = known.setdefault(file.store, {})
            if file.path not in paths:
                paths[file.path] = file.sha256
                fresh.append(file)
        async with anyio.create_task_group() as group:
            for first in range(0, len(fresh), _AT_ONCE):
                group.start_soon(look, fresh[first : first + _AT_ONCE])
    strangers = []
    for address, paths in known.items():
        for path, whole in await anyio.to_thread.run_sync(_others, opened(workspace, address), paths):
            if whole is None:
                strangers.append(path)
            elif not whole:
                changed.append(path)
    return Comparison(
        checked=sum(map(len, known.values())),
        missing=tuple(sorted(missing)),
        changed=tuple(sorted(changed)),
        unknown=tuple(sorted(path for path in strangers if not _is_leftover(path))),
        leftovers=tuple(sorted(path for path in strangers if _is_leftover(path))),
    )


async def _portions(saved: AsyncIterable[SavedFile]) -> AsyncIterator[list[SavedFile]]:
    """A few files at a time: to be looked at side by side."""
    some: list[SavedFile] = []
    async for file in saved:
        some.append(file)
        if len(some) == _PORTION:
            yield some
            some = []
    yield some


def _digests(workspace: Path, files: list[SavedFile]) -> list[tuple[SavedFile, tuple[int, str] | None]]:
    return [(file, _size_and_hash(opened(workspace, file.store), file.path)) for file in files]


def _others(store: Store, known: Mapping[str, str]) -> list[tuple[str, bool | None]]:
    """What is in the image folder of a store beside the known: path, and whether it holds what it should."""
    return [(path, _fits(store, path, known)) for path, _ in store.below(IMAGES) if path not in known]


def _fits(store: Store, path: str, known: Mapping[str, str]) -> bool | None:
    """Whether a sidecar or a reference holds what it should; None for a file that is neither."""
    if path.startswith(f"{REFERENCES}/"):
        found = _size_and_hash(store, path)
        return found is not None and found[1] == PurePosixPath(path).stem
    sha256 = known.get(path.removesuffix(SIDECAR)) if path.endswith(SIDECAR) else None
    return None if sha256 is None else described(store, path) == sha256


def _size_and_hash(store: Store, path: str) -> tuple[int, str] | None:
    file = store.open(path)
    if file is None:
        return None
    with file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.seek(0, SEEK_END), digest


def _is_leftover(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
