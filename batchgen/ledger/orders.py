"""Orders to a run from whoever looks at it: another process writes them, the run takes and obeys them.

The only writing that happens without holding the workspace; one small insert, which SQLite keeps apart.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from batchgen.ledger.connection import open_writer, translate
from batchgen.ledger.records import ErrorRecord, Filter
from batchgen.ledger.rows import Params, filter_params
from batchgen.ledger.statements import SQL
from batchgen.ledger.steps import end_pending
from batchgen.model import JobState

BY_THE_USER = ErrorRecord(kind="cancelled", code=None, message="cancelled by the user")


class Wish(StrEnum):
    """What can be ordered."""

    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    FETCH = "fetch"
    """once more what is free: downloads and questions about tasks, and nothing that is sent"""
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `chosen` says which jobs, by states and id, where it is about jobs."""

    what: Wish
    chosen: Filter = field(default_factory=Filter)


async def give(workspace: Path, order: Order, at: float) -> None:
    """Leave an order for the run that holds the workspace. Raises `WorkspaceError`."""
    params: Params = {**filter_params(order.chosen), "at": at, "what": order.what}
    async with open_writer(workspace) as db:
        try:
            await db.run(lambda raw: raw.execute(SQL["give_order"], params).rowcount)
        except sqlite3.Error as error:
            raise translate(error, workspace) from error


def take(db: sqlite3.Connection, at: float) -> list[Order]:
    """Every order that nobody took yet, the first one first."""
    rows = sorted(db.execute(SQL["take_orders"], {"at": at}).fetchall(), key=lambda row: int(row["id"]))
    run = db.execute(SQL["last_run"]).fetchone()
    began = run["started_at"] if run is not None else 0.0
    return [
        Order(Wish(row["what"]), _filter(row))
        for row in rows
        # A pause that a run did not live to see is not meant for tomorrow's.
        if row["at"] >= began or row["what"] not in (Wish.PAUSE, Wish.RESUME)
    ]


def cancel(db: sqlite3.Connection, chosen: Filter) -> list[str]:
    """End the pending jobs that fit; returns their ids. What is running is paid for and goes on."""
    rows = db.execute(SQL["pending_jobs"], filter_params(chosen)).fetchall()
    for row in rows:
        end_pending(db, row["key"], JobState.CANCELLED, BY_THE_USER)
    return [row["id"] for row in rows]


def _filter(row: sqlite3.Row) -> Filter:
    states = frozenset(JobState(state) for state in json.loads(row["states"] or "[]"))
    return Filter(states=states, id_glob=row["id_glob"])
