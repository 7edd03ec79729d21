"""One run a workspace: a lock on the folder itself, which the kernel drops when the process dies.

No lock file is left behind, so a killed run is no obstacle. Who holds the lock is read from the
`runs` table, for the message only.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from batchgen.errors import WorkspaceError
from batchgen.ledger.connection import LEDGER, Connection, open_writer
from batchgen.ledger.statements import SQL


class InUse(WorkspaceError):
    """Another process holds the workspace."""


@contextmanager
def hold(workspace: Path) -> Iterator[None]:
    """Hold the workspace (an existing folder) alone. Raises `InUse` if another process does."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"workspace {workspace} is in use by another run{_holder(workspace)}: wait for its end, or stop it"
            ) from None
        yield
    finally:
        os.close(folder)


@asynccontextmanager
async def held_writer(workspace: Path) -> AsyncIterator[Connection]:
    """The connection that writes, in a workspace that is held as long as it is open."""
    with hold(workspace):
        async with open_writer(workspace) as db:
            yield db


def _holder(workspace: Path) -> str:
    """`` (pid 123, since 02:14)``, in local time, or nothing when the ledger does not tell."""
    try:
        uri = f"{(workspace / LEDGER).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            row = db.execute(SQL["last_run"]).fetchone()
    except sqlite3.Error:
        return ""
    if row is None or row[4] is not None:
        return ""
    return f" (pid {row[2]}, since {time.strftime('%H:%M', time.localtime(row[1]))})"
