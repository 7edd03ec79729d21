"""The one task that writes: it drains a queue of commands into one transaction after another.

A command is a function of the connection. Its caller is woken after COMMIT, so what it was told
is on the disk. A command that raises is undone alone; a transaction that can't be committed
fails for all of its commands. A cancelled caller never leaves half a command behind, and no cancel ends
this task before its last commit: an event loop that closes cancels every task at once.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import anyio

from batchgen.ledger.connection import Connection, translate

WINDOW = 0.001
"""Seconds to wait after the first command for others to share its commit."""

MOST = 1000
"""Commands in one transaction."""

LOCKED_SECONDS = 60
"""How long a command waits for another program that writes to the file in the middle of a run."""

T = TypeVar("T")
Command: TypeAlias = Callable[[sqlite3.Connection], object]


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


@dataclass(slots=True)
class _Asked:
    """A command, what came of it, and what its caller waits for: None is set there when `over`."""

    command: Command
    waiting: asyncio.Future[None]
    over: bool = False
    result: object = None


class Writer:
    """Group commit over one connection. Made by `open_queue`."""

    def __init__(self, db: Connection, workspace: Path) -> None:
        self._db = db
        self._workspace = workspace
        self._queue: asyncio.Queue[_Asked | None] = asyncio.Queue()
        self._closed = False

    async def write(self, command: Callable[[sqlite3.Connection], T]) -> T:
        """Run `command` in the next transaction; return its result once that is committed.

        Raises what the command raises, and `WorkspaceError` when the file can't be written. Waits to
        the end even when cancelled by a scope: a fact that was told is known to be told.
        """
        if self._closed:
            raise RuntimeError("the ledger is closed")
        loop = asyncio.get_running_loop()
        asked = _Asked(command, loop.create_future())
        self._queue.put_nowait(asked)
        try:
            await asked.waiting
        except asyncio.CancelledError:
            if anyio.current_effective_deadline() > -math.inf:
                raise  # the task itself is cancelled, and is told so only once
            if not asked.over:
                asked.waiting = loop.create_future()
                # A scope around each wait would cost more than the wait.
                with anyio.CancelScope(shield=True):
                    await asked.waiting
        if isinstance(asked.result, _Raised):
            raise translate(asked.result.error, self._workspace)
        return cast(T, asked.result)

    def close(self) -> None:
        """Take no more commands; `drain` ends when those already taken are done."""
        self._closed = True
        self._queue.put_nowait(None)

    async def drain(self) -> None:
        """Commit group after group until closed; no cancel ends it sooner."""
        closing = False
        while not closing:
            group: list[_Asked | None] = []
            # Those who wait for their commit, in their own last steps, would wait for ever.
            with suppress(asyncio.CancelledError):
                group.append(await self._queue.get())
                if group[0] is not None:
                    await asyncio.sleep(WINDOW)
            while len(group) < MOST and not self._queue.empty():
                group.append(self._queue.get_nowait())
            closing = None in group
            await self._commit([asked for asked in group if asked is not None])

    async def _ran(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Wait until the connection's thread is done with `work`, through every cancel."""
        try:
            await self._db.run(work)
        except asyncio.CancelledError:
            # The thread takes one after the other: when it has done nothing, it has done the work before.
            await self._ran(lambda _: None)

    async def _commit(self, group: Sequence[_Asked]) -> None:
        if not group:
            return
        results: Sequence[object] = ()

        def run(db: sqlite3.Connection) -> None:
            nonlocal results
            try:
                results = _run_group([asked.command for asked in group], db)
            except Exception as error:  # whatever broke the transaction must reach everyone who waits for it
                results = [_Raised(error)] * len(group)

        await self._ran(run)
        for asked, result in zip(group, results, strict=True):
            asked.over, asked.result = True, result
            if not asked.waiting.done():  # else its caller was cancelled; the command counts all the same
                asked.waiting.set_result(None)


@asynccontextmanager
async def open_queue(db: Connection, workspace: Path) -> AsyncIterator[Writer]:
    """A writer with its task running; on leaving, everything that was taken is committed.

    Raises `WorkspaceError` when another program is writing to the file at the start, and goes on doing so.
    """
    try:
        await db.run(_become_patient)
    except sqlite3.Error as error:
        raise translate(error, workspace) from error
    writer = Writer(db, workspace)
    # A plain task, out of reach of the caller's cancel scopes.
    task = asyncio.create_task(writer.drain(), name="ledger writer")
    try:
        yield writer
    finally:
        writer.close()
        with anyio.CancelScope(shield=True):
            await task


def _become_patient(db: sqlite3.Connection) -> None:
    """Nobody holds the file now. Whoever does so later may have a while: a run that has begun is not to be lost."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    db.execute(f"PRAGMA busy_timeout = {LOCKED_SECONDS * 1000}")


def _run_group(commands: Sequence[Command], db: sqlite3.Connection) -> list[object]:
    db.execute("BEGIN IMMEDIATE")
    try:
        results = [_run_one(command, db) for command in commands]
        db.execute("COMMIT")
    except BaseException:  # also an interrupt: the connection must not stay inside the transaction
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return results


def _run_one(command: Command, db: sqlite3.Connection) -> object:
    db.execute("SAVEPOINT command")
    try:
        result = command(db)
    except Exception as error:  # any mistake of one command is its caller's alone
        if not db.in_transaction:  # SQLite gave up the whole transaction (disk full, I/O error)
            raise
        db.execute("ROLLBACK TO command")
        result = _Raised(error)
    db.execute("RELEASE command")
    return result
