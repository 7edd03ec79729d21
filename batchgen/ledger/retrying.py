"""Puts jobs at an end state back to `pending` because the user asks for it. Runs inside a transaction."""

from __future__ import annotations

import sqlite3

from batchgen.ledger.records import Filter
from batchgen.ledger.rows import Params, dump, filter_params
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import state_by_outputs
from batchgen.ledger.steps import count_outputs
from batchgen.model import END_STATES, JobState

DEFAULT_STATES = frozenset({JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.EXPIRED})
"""What `retry` takes when no state is named."""


def retry(db: sqlite3.Connection, chosen: Filter, at: float) -> int:
    """Put back the listed jobs that fit, and those cancelled because of one of them; return how many.

    Images that are there are kept and only the missing ones asked for anew; a `done` job starts a
    new round. States that are no end are left out.
    """
    states = (chosen.states or DEFAULT_STATES) & END_STATES
    params = filter_params(chosen) | {"states": dump(sorted(states))}
    rows = db.execute(SQL["retryable_keys"], params).fetchall()
    return sum(_put_back(db, row["key"], JobState(row["state"]), at) for row in rows)


def _put_back(db: sqlite3.Connection, key: int, old: JobState, at: float) -> int:
    job = db.execute(SQL["job"], {"key": key}).fetchone()
    if job["state"] != old:  # came along with its parent already
        return 0
    if old is JobState.DONE:
        _open_round(db, job, at)
    else:
        db.execute(SQL["supersede_lost"], {"key": key})
        # A provider may deliver more than was asked: without the lost ones it can be complete.
        outputs = count_outputs(db, {"key": key, "round": job["round"]})
        new = state_by_outputs(outputs, job["wanted"])
        db.execute(SQL["reset_job"], {"key": key, "old": old, "new": new})
    children = db.execute(SQL["cancelled_children"], {"key": key}).fetchall()
    return 1 + sum(_put_back(db, child["key"], JobState.CANCELLED, at) for child in children)


def _open_round(db: sqlite3.Connection, job: sqlite3.Row, at: float) -> None:
    identity: Params = {"key": job["key"], "fingerprint": job["fingerprint"]}
    (number,) = db.execute(SQL["add_round"], {**identity, "at": at}).fetchone()
    blank: Params = {"error_kind": None, "error_code": None, "error_message": None}
    db.execute(SQL["enter_round"], {**identity, **blank, "round": number, "state": JobState.PENDING})
