"""A workspace that a run had only just made is gone again when the user's mistake ends that run.

Nothing is taken away that was there before, nor anything once a run had begun in the workspace.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchgen.errors import UserError
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.statements import SQL

IMAGES = "images"


@contextmanager
def undone_by_a_mistake(workspace: Path) -> Iterator[None]:
    """Within, the workspace is made and its ledger is filled. What is raised goes on."""
    fresh = not (workspace / LEDGER).exists()
    places = (workspace / IMAGES, workspace, *workspace.parents)
    made = [folder for folder in places if not folder.exists()]
    try:
        yield
    except UserError:
        if fresh and not _begun(workspace):
            _undo(workspace, made)
        raise


def _begun(workspace: Path) -> bool:
    try:
        with closing(sqlite3.connect(workspace / LEDGER)) as db:
            return db.execute(SQL["last_run"]).fetchone() is not None
    except sqlite3.Error:
        return True  # whatever it is, it is not what was made here


def _undo(workspace: Path, made: list[Path]) -> None:
    for ending in ("", "-wal", "-shm"):
        (workspace / f"{LEDGER}{ending}").unlink(missing_ok=True)
    for folder in made:
        if folder.name == IMAGES and folder.parent == workspace:
            shutil.rmtree(folder, ignore_errors=True)  # pictures that came as data URLs
        else:
            with suppress(OSError):  # somebody put something in
                folder.rmdir()
