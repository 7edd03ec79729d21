"""A copy of the ledger as it stands at one moment, taken while a run goes on writing to it. Blocks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from batchgen.ledger.connection import LEDGER, translate


def copy_ledger(workspace: Path, place: Path) -> None:
    """Write a whole, consistent ledger to `place`, which is not there yet. Raises `WorkspaceError`.

    In one step: a copy in several begins anew whenever the run commits. Writers don't wait for it.
    """
    uri = f"{(workspace / LEDGER).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(place)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise translate(error, workspace) from error
