"""The ledger for those who only look: status, jobs, files, comparison with a manifest.

Its connection can't write, works while a run does, and holds no lock between two pages.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from batchgen.errors import WorkspaceError
from batchgen.ledger import overview, sync
from batchgen.ledger.connection import LEDGER, Connection, open_reader, translate
from batchgen.ledger.kept import SavedFile, SavedReply
from batchgen.ledger.migrate import require_current
from batchgen.ledger.records import (
    Change,
    Difference,
    Filter,
    JobRecord,
    Origin,
    RunRecord,
    Standing,
    Status,
    Unpriced,
)
from batchgen.ledger.rows import (
    Params,
    dump,
    filter_params,
    glob,
    job_record,
    origin_of,
    saved_reply,
    unpriced,
)
from batchgen.ledger.statements import SQL
from batchgen.model import Entry, LookedAt

PAGE = 500
"""Jobs that are held at a time."""

_SAMPLE, _ENOUGH = 200, 5
"""So many requests tell how long one takes; fewer than the second say nothing."""
T = TypeVar("T")


def require_ledger(workspace: Path) -> None:
    """Raise `WorkspaceError` when nothing was run in that folder."""
    if not (workspace / LEDGER).exists():
        raise WorkspaceError(f"{workspace} has no {LEDGER}: nothing was run there yet")


class Reader:
    """A ledger opened for reading. Made by `Reader.open`; times are epoch seconds."""

    def __init__(self, db: Connection, workspace: Path) -> None:
        self._db = db
        self._workspace = workspace

    @classmethod
    @asynccontextmanager
    async def open(cls, workspace: Path) -> AsyncIterator[Reader]:
        """Raises `WorkspaceError` when there is no ledger, or none that this version can read."""
        require_ledger(workspace)
        async with open_reader(workspace) as db:
            reader = cls(db, workspace)
            await reader.ask(require_current)
            yield reader

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function of the plain connection on one snapshot. Raises `WorkspaceError` for a bad file."""
        try:
            return await self._db.run(lambda db: _on_snapshot(db, question))
        except sqlite3.Error as error:
            raise translate(error, self._workspace) from error

    async def status(self, now: float) -> Status:
        """The whole batch in numbers, at a cost that does not grow with it."""
        return await self.ask(lambda db: overview.status(db, now))

    async def jobs(self, filter: Filter, *, all: bool = False) -> AsyncIterator[JobRecord]:
        """The jobs that fit, in manifest order. `all`: with those not listed and outputs of every round."""
        for listed in (True, False) if all else (True,):
            place: Params | None = None
            while True:
                place, records = await self.page(filter, place, listed=listed, all=all)
                for record in records:
                    yield record
                if place is None:
                    break

    async def page(
        self, filter: Filter, after: Params | None = None, *, listed: bool = True, all: bool = False, most: int = PAGE
    ) -> tuple[Params | None, list[JobRecord]]:
        """At most `most` of the jobs that fit, and what to give as `after` for the next ones; None: no more.

        `listed` False: those that the manifest no longer lists. `all`: with outputs of every round.
        The place holds good for another reader of the same ledger too.
        """
        place = after or {"position": -1, "key": -1}
        params: Params = {**filter_params(filter), **place, "listed": listed, "limit": most}
        return await self.ask(partial(_page_of_jobs, params, all))

    async def job(self, job_id: str, *, all: bool = False) -> JobRecord | None:
        """One job by its id, listed or not. `all`: with outputs of every round, and those that were replaced."""
        return await self.ask(lambda db: _one_job(db, job_id, all))

    async def children(self, job_id: str, most: int) -> list[JobRecord]:
        """At most so many of the jobs that edit the image of this one, in manifest order."""
        rows = partial(_rows, "children", {"id": job_id, "limit": most})
        return await self.ask(lambda db: _records(db, rows(db), False))

    async def replies_of(self, job_id: str) -> dict[int, tuple[float, str]]:
        """The kept replies of a job by the number of the attempt: when it came, and its text."""
        rows = await self.ask(partial(_rows, "replies_of", {"id": job_id}))
        return {row["number"]: (row["received_at"], row["text"]) for row in rows}

    async def standings(self, entries: Iterable[Entry]) -> AsyncIterator[Standing]:
        """How each entry of a manifest stands against the ledger; `entries` is read in batches."""
        for batch in sync.batches(entries):
            for standing in await self.ask(partial(sync.standings, batch)):
                yield standing

    async def compare(
        self, entries: Iterable[Entry], watch: Callable[[Standing], None] = lambda _: None
    ) -> Difference:
        """What `Ledger.sync` would answer, without doing it. `watch` is shown every entry on the way."""
        changes: Counter[Change] = Counter()
        returning = 0
        async for standing in self.standings(entries):
            changes[standing.change] += 1
            returning += standing.returning
            watch(standing)
        listed = await self.listed()
        known = changes[Change.CHANGED] + changes[Change.UNCHANGED]
        return sync.difference(changes, listed - (known - returning))

    async def listed(self) -> int:
        """How many jobs the manifest listed when it was last read."""
        return await self.ask(lambda db: int(db.execute(SQL["listed_total"]).fetchone()[0]))

    async def review(self, review: sync.Review) -> Difference:
        """Show `review` what there is to send when the manifest has not changed."""
        found = Difference(unchanged=await self.listed(), turns=await self.ask(sync.turns))
        await self.ask(lambda db: review(found, sync.outstanding(db)))
        return found

    async def renewed(self, still: sync.Still) -> list[LookedAt] | None:
        """The pictures of the last reading of which `still` knows newer facts; None: one is not what it was."""
        return await self.ask(lambda db: sync.renewed(db, still))

    async def choices(self) -> list[tuple[str, str, str | None]]:
        """Every combination of model, provider and ratio, up to 500."""
        rows = await self.ask(partial(_rows, "choices", {}))
        return [(row["model"], row["provider"], row["ratio"]) for row in rows]

    async def warned(self) -> int:
        """How many listed jobs have warnings."""
        return await self.ask(lambda db: int(db.execute(SQL["warned_total"]).fetchone()[0]))

    async def missing_files(self, id_glob: str | None = None) -> list[int]:
        """Ids of saved outputs, of jobs that fit as they stand, whose file should be in the workspace and is not."""

        def missing(db: sqlite3.Connection) -> list[int]:
            rows = db.execute(SQL["current_files"], {"id": glob(id_glob)})
            return [number for number, path in rows if not os.path.exists(f"{self._workspace}/{path}")]

        return await self.ask(missing)

    async def stores(self) -> list[str]:
        """The addresses of all object stores that hold, or held, an image of this batch."""
        return [row["address"] for row in await self.ask(partial(_rows, "stores", {}))]

    async def objects(self, address: str) -> list[tuple[int, str]]:
        """Id and path of the saved outputs of all jobs as they stand whose image is in that store."""
        rows = await self.ask(partial(_rows, "current_objects", {"address": address}))
        return [(row["id"], row["path"]) for row in rows]

    async def delivered(self, outputs: Iterable[int], attempts: Iterable[int]) -> tuple[set[int], set[int]]:
        """Which of these outputs, and of these attempts with all that they brought, are saved."""
        asked: Params = {"outputs": dump(list(outputs)), "attempts": dump(list(attempts))}
        found = [await self.ask(partial(_rows, f"delivered_{kind}", asked)) for kind in ("outputs", "attempts")]
        return {row["id"] for row in found[0]}, {row["id"] for row in found[1]}

    async def files(self) -> AsyncIterator[SavedFile]:
        """Every saved file of every round, of all jobs."""
        async for row in self._pages("page_of_files", {}, "id"):
            current = bool(row["current"])
            yield SavedFile(
                row["path"], row["sha256"], row["bytes"], row["job"], row["id"], current, row["address"]
            )

    async def replies(self, filter: Filter) -> AsyncIterator[SavedReply]:
        """The kept replies of the jobs that fit, in their current round, oldest attempt first."""
        async for row in self._pages("page_of_replies", filter_params(filter), "attempt_id"):
            yield saved_reply(row)

    async def unpriced(self) -> AsyncIterator[Unpriced]:
        """Attempts that were paid, or may have been, when no price was known."""
        async for row in self._pages("page_of_unpriced", {}, "attempt_id"):
            yield unpriced(row)

    async def typical_seconds(self, provider: str) -> float | None:
        """How long the latest requests to a provider took; None when too few brought images to tell."""
        params: Params = {"provider": provider, "limit": _SAMPLE}
        row = await self.ask(lambda db: db.execute(SQL["typical_seconds"], params).fetchone())
        return None if row["n"] < _ENOUGH else float(row["seconds"])

    async def to_send(self) -> list[tuple[str, str]]:
        """Every provider with each model that a job which is not at an end may ask it for."""
        rows = await self.ask(partial(_rows, "models_to_send", {}))
        return [(row["provider"], row["model"]) for row in rows]

    async def origin(self, job_id: str, position: int) -> Origin | None:
        """What a child edits: one saved image of a job as it stands, and the attempt that brought it."""
        params: Params = {"id": job_id, "position": position}
        row = await self.ask(lambda db: db.execute(SQL["origin"], params).fetchone())
        return None if row is None else origin_of(row)

    async def waiting_children(self) -> int:
        """How many pending jobs wait for a parent that is not done."""
        return await self.ask(lambda db: int(db.execute(SQL["count_waiting_children"]).fetchone()[0]))

    async def reply(self, attempt_id: int) -> SavedReply | None:
        """The kept reply of one attempt, whatever its round."""
        row = await self.ask(lambda db: db.execute(SQL["reply"], {"attempt": attempt_id}).fetchone())
        return None if row is None else saved_reply(row)

    async def note(self, key: str) -> str | None:
        """What the run noted under `key`, or None."""
        return await self.ask(lambda db: overview.note(db, key))

    async def last_run(self) -> RunRecord | None:
        """The latest run over this workspace."""
        return await self.ask(overview.last_run)

    async def _pages(self, name: str, params: Params, order: str) -> AsyncIterator[sqlite3.Row]:
        after = 0
        while True:
            bound: Params = {**params, "after": after, "limit": PAGE}
            rows = await self.ask(partial(_rows, name, bound))
            for row in rows:
                yield row
            if len(rows) < PAGE:
                break
            after = rows[-1][order]


def _on_snapshot(db: sqlite3.Connection, question: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN")
    try:
        return question(db)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _rows(name: str, params: Params, db: sqlite3.Connection) -> list[sqlite3.Row]:
    return db.execute(SQL[name], params).fetchall()


def _page_of_jobs(params: Params, all: bool, db: sqlite3.Connection) -> tuple[Params | None, list[JobRecord]]:
    rows = db.execute(SQL["page_of_jobs"], params).fetchall()
    if not rows:
        return None, []
    last: Params = {"position": rows[-1]["position"], "key": rows[-1]["key"]}
    return (last if len(rows) == params["limit"] else None), _records(db, rows, all)


def _one_job(db: sqlite3.Connection, job_id: str, all: bool) -> JobRecord | None:
    rows = db.execute(SQL["known_jobs"], {"ids": dump([job_id])}).fetchall()
    return _records(db, rows, all)[0] if rows else None


def _records(db: sqlite3.Connection, rows: list[sqlite3.Row], all: bool) -> list[JobRecord]:
    chosen: Params = {"keys": dump([row["key"] for row in rows]), "all": all}
    attempts = _by_job(db.execute(SQL["attempts_of"], chosen))
    outputs = _by_job(db.execute(SQL["outputs_of"], chosen))
    return [job_record(row, attempts.get(row["key"], ()), outputs.get(row["key"], ())) for row in rows]


def _by_job(rows: Iterable[sqlite3.Row]) -> dict[int, list[sqlite3.Row]]:
    return {key: list(group) for key, group in groupby(rows, key=lambda row: int(row["job"]))}
