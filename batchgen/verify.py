"""Compares what the ledger says is saved with what lies in the workspace: size, hash, strangers.

Only reads. A sidecar belongs to its image, a kept reference to itself. The files that a crash left
half-written are named apart: they are nobody's loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from batchgen.images.provenance import SIDECAR, described
from batchgen.images.stored import REFERENCES
from batchgen.ledger.records import SavedFile

IMAGES = "images"
"""The folder of a workspace that holds nothing but images the ledger knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found, as paths relative to the workspace, each list sorted.

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
    """Read every saved file of `workspace` once. Raises `OSError` when the folder can't be listed."""
    known: dict[str, str] = {}
    missing: list[str] = []
    changed: list[str] = []
    async for file in saved:
        if file.path in known:
            continue
        known[file.path] = file.sha256
        digest = await anyio.to_thread.run_sync(_size_and_hash, workspace / file.path)
        if digest is None:
            if file.current:  # what an earlier wording brought may be thrown away
                missing.append(file.path)
        elif digest != (file.bytes, file.sha256):
            changed.append(file.path)
    strangers = []
    for path in _files_below(workspace):
        if path in known:
            continue
        whole = await anyio.to_thread.run_sync(_fits, workspace, path, known)
        if whole is None:
            strangers.append(path)
        elif not whole:
            changed.append(path)
    return Comparison(
        checked=len(known),
        missing=tuple(sorted(missing)),
        changed=tuple(sorted(changed)),
        unknown=tuple(sorted(path for path in strangers if not _is_leftover(path))),
        leftovers=tuple(sorted(path for path in strangers if _is_leftover(path))),
    )


def _fits(workspace: Path, path: str, known: Mapping[str, str]) -> bool | None:
    """Whether a sidecar or a reference holds what it should; None for a file that is neither."""
    if path.startswith(f"{REFERENCES}/"):
        found = _size_and_hash(workspace / path)
        return found is not None and found[1] == Path(path).stem
    sha256 = known.get(path.removesuffix(SIDECAR)) if path.endswith(SIDECAR) else None
    return None if sha256 is None else described(workspace / path) == sha256


def _size_and_hash(path: Path) -> tuple[int, str] | None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _files_below(workspace: Path) -> Iterator[str]:
    """Everything in the image folder that is no folder itself, so that a dead link counts too."""
    for path in (workspace / IMAGES).rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(workspace).as_posix()


def _is_leftover(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
