"""Connections to `ledger.db` and what SQLite's complaints mean to the user.

A connection runs whole functions in its own thread: one hop for a group of statements instead of
one hop a statement. Always use it with `async with`: an open one keeps the process alive.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite
import anyio

from batchgen.errors import WorkspaceError

LEDGER = "ledger.db"
T = TypeVar("T")

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
)
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 4000",
)


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that can run a function of the plain connection in its thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give `work` the plain connection, in the thread that owns it; return what it returns."""
        # aiosqlite has no public call for this; `_execute` and `_conn` are what its own methods are made of.
        return cast(T, await self._execute(work, self._conn))  # type: ignore[no-untyped-call]  # bare in aiosqlite

    def join(self) -> None:
        """Wait for the thread of a connection that could not be opened: it must end before the loop does."""
        self._thread.join()


_COPY = "put a copy back, or use another workspace"
_AGAIN = "run again; nothing is lost"
_RIGHTS = f"set that right, then {_AGAIN}"


def explain(error: sqlite3.Error, workspace: Path) -> WorkspaceError:
    """One line for the user about a file that SQLite can't work with."""
    name = getattr(error, "sqlite_errorname", "")
    where = workspace / LEDGER
    if name.startswith("SQLITE_NOTADB"):
        return WorkspaceError(f"{where} is not a ledger, nor an SQLite database: {_COPY}")
    if name.startswith("SQLITE_CORRUPT"):
        return WorkspaceError(f"{where} is damaged ({error}): {_COPY}")
    if name.startswith("SQLITE_FULL"):
        return WorkspaceError(f"{where} can't be written, as the disk is full: make room, then {_AGAIN}")
    if name.startswith("SQLITE_READONLY"):
        return WorkspaceError(f"{where} can't be written, as the file, its folder or the disk is read-only: {_RIGHTS}")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return WorkspaceError(f"{where} can't be read or written ({error}): {_RIGHTS}")
    if name.startswith("SQLITE_BUSY"):
        return WorkspaceError(f"{where} is locked by another program: close it there, then {_AGAIN}")
    return WorkspaceError(f"{where} can't be used: {error}")


def translate(error: Exception, workspace: Path) -> Exception:
    """The user's line for what the file or the disk did; a mistake in a statement stays what it is."""
    if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
        line = explain(error, workspace)
        line.__cause__ = error
        return line
    return error


@asynccontextmanager
async def open_writer(workspace: Path) -> AsyncIterator[Connection]:
    """The one connection that writes: WAL, every commit on the disk before it counts."""
    async with _open(workspace, "rwc", _PRAGMAS + _WRITER_PRAGMAS) as db:
        yield db


@asynccontextmanager
async def open_reader(workspace: Path) -> AsyncIterator[Connection]:
    """A connection that can only read, while somebody else may be writing."""
    async with _open(workspace, "ro", _PRAGMAS) as db:
        yield db


@asynccontextmanager
async def _open(workspace: Path, mode: str, pragmas: tuple[str, ...]) -> AsyncIterator[Connection]:
    uri = f"{(workspace / LEDGER).absolute().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        raw = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            raw.row_factory = sqlite3.Row
            for pragma in pragmas:
                raw.execute(pragma)
        except BaseException:  # also an interrupt: the file must not stay open behind the error
            raw.close()
            raise
        return raw

    db = Connection(connect, 64)
    try:
        await db
    except BaseException as error:  # also an interrupt
        db.join()
        if isinstance(error, sqlite3.Error):
            raise translate(error, workspace) from error
        raise
    try:
        yield db
    finally:
        # A cancelled close would leave the thread, and with it the process, alive.
        with anyio.CancelScope(shield=True):
            await db.close()
