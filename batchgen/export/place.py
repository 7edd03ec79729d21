"""The place of an export: built aside, in a hidden folder next to it, and renamed when it is whole.

A killed export leaves that folder, and the next one to the same place clears it away. What stands at the
place already is never touched, unless the user says so and it is an export itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from batchgen.errors import UsageError

CROISSANT: Final = "croissant.json"
MAKER: Final = "batchgen"
"""The `creator` in the description of every export: by it we know our own."""

TABLE_ENDINGS: Final = (".csv", ".jsonl")
"""A file with another name was never an export."""

OWN: Final = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "run.log")
"""Files of a workspace that are not the user's."""

WHOLE: Final = "whole"
"""What the finished file or folder is called until it gets its name."""

_PART: Final = ".part"
_OLD: Final = ".old"


@contextmanager
def building(place: Path, *workspaces: Path, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder aside; what stands in it as `WHOLE` is at `place` afterwards.

    `workspaces` are what it is made from. Raises `UsageError` when the place is taken or can't be had, and `OSError`.
    """
    place = Path(os.path.abspath(place))
    for workspace in workspaces:
        _require_apart(place, workspace.resolve())
    aside = place.with_name(f".{place.name}{_PART}")
    try:
        _require_free(place, overwrite)
        aside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{place} can't be written ({error.strerror}): give another place") from error
    handle = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{place} is being made by another process: wait for it, or give another place") from None
        _clear(aside)
        try:
            yield aside
            _move(aside / WHOLE, place)
        finally:
            shutil.rmtree(aside)
    finally:
        os.close(handle)


def is_export(place: Path) -> bool:
    """Whether a folder was made by an export, by its description."""
    try:
        told = json.loads((place / CROISSANT).read_bytes())
    except (OSError, ValueError):
        return False
    creator = told.get("creator") if isinstance(told, dict) else None
    return isinstance(creator, dict) and creator.get("name") == MAKER


def _require_apart(place: Path, workspace: Path) -> None:
    real = place.resolve()
    if workspace == real or workspace.is_relative_to(real):
        raise UsageError(f"{place} holds the workspace itself: give another place")
    if real.is_relative_to(workspace / "images") or real in (workspace / name for name in OWN):
        raise UsageError(f"{place} belongs to the workspace: give another place")


def _require_free(place: Path, overwrite: bool) -> None:
    if place.is_symlink() or (place.exists() and not (place.is_dir() or place.is_file())):
        raise UsageError(f"{place} is neither a folder nor a file: give another place")
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"{place} is there already: give another place, or --overwrite to replace it")
    if not (is_export(place) if place.is_dir() else place.suffix in TABLE_ENDINGS):
        raise UsageError(f"{place} is not an export, so --overwrite leaves it alone: give another place")


def _move(whole: Path, place: Path) -> None:
    if place.exists():
        place.rename(whole.with_name(f"{place.name}{_OLD}"))
    whole.rename(place)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
