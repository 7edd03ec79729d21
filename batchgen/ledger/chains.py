"""Jobs that edit another job's image: cancelled when it comes to nothing, taken up again with it.

Each function that writes runs inside a transaction of the writer and goes down the whole chain. Claims
leave a job alone until its parent is done; a trigger of the schema keeps that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping

from batchgen.ledger.claims import next_job_due, next_output_due
from batchgen.ledger.records import ErrorRecord
from batchgen.ledger.rows import Params, error_params
from batchgen.ledger.statements import SQL
from batchgen.model import END_STATES, JobState

LOST = END_STATES - {JobState.DONE}
"""Ends without all of the images: no child can start."""

PARENT = "parent"
"""The `kind` of the error of a job that was cancelled because of its parent; `code` is the job it began with."""

_ENDED: Mapping[JobState, str] = {
    JobState.FAILED: "failed",
    JobState.REFUSED: "was refused",
    JobState.HELD: "is held",
    JobState.EXPIRED: "lost its image",
    JobState.CANCELLED: "was cancelled",
}
_LONGEST_CAUSE = 300


def cancel_children(db: sqlite3.Connection, key: int) -> list[str]:
    """Cancel the pending jobs that descend from a job at one of the `LOST` ends; returns their ids."""
    first = db.execute(SQL["job"], {"key": key}).fetchone()
    if JobState(first["state"]) not in LOST:
        return []
    root, fate = _cause(db, first)
    cancelled: list[str] = []
    parents = [str(first["id"])]
    while parents:
        parent = parents.pop()
        why = fate if parent == root else f"was cancelled, because '{root}' {fate}"
        error = ErrorRecord(PARENT, root, f"its parent '{parent}' {why}")
        for child in db.execute(SQL["pending_children"], {"parent": parent}).fetchall():
            params: Params = {**error_params(error), "key": child["key"], "state": JobState.CANCELLED}
            db.execute(SQL["end_pending"], params)
            cancelled.append(child["id"])
            parents.append(child["id"])
    return cancelled


def _cause(db: sqlite3.Connection, job: sqlite3.Row) -> tuple[str, str]:
    """The job that all began with, and what became of it: a child's words would name only its own parent."""
    root: sqlite3.Row = job
    if job["error_kind"] == PARENT:
        root = db.execute(SQL["job_by_id"], {"id": job["error_code"]}).fetchone() or job
    message = " ".join((root["error_message"] or "").split())[:_LONGEST_CAUSE]
    fate = _ENDED.get(JobState(root["state"]), "ended without its images")
    return str(root["id"]), f"{fate}: {message}" if message else fate


def revive_children(db: sqlite3.Connection, key: int) -> int:
    """Put the jobs that were cancelled because of this one back to `pending`; returns how many."""
    revived = 0
    keys = [key]
    while keys:
        for child in db.execute(SQL["cancelled_children"], {"key": keys.pop()}).fetchall():
            params: Params = {"key": child["key"], "old": JobState.CANCELLED, "new": JobState.PENDING, "tries": 0}
            db.execute(SQL["reset_job"], params)
            keys.append(child["key"])
            revived += 1
    return revived


def settle_children(db: sqlite3.Connection) -> list[str]:
    """Bring every child to what its parent's state means for it; returns the ids of those cancelled.

    For the start and the end of a run: a kill may have come between a parent's end and its children's.
    """
    for row in db.execute(SQL["hopeful_parents"]).fetchall():
        revive_children(db, row["key"])
    return [name for row in db.execute(SQL["lost_parents"]).fetchall() for name in cancel_children(db, row["key"])]


def may_come(
    db: sqlite3.Connection,
    routes: Collection[str],
    id_glob: str | None,
    served: Collection[str],
    put_off: Collection[int] | None,
) -> bool:
    """Whether a job of these `routes` is or may become ready: one look, so that none is lost.

    Something is afoot when an attempt is open, a job of a route that is still `served` can be sent, or
    an output can be fetched that is not in `put_off` (None: nothing is fetched at all).
    """
    places: list[Params] = [{"route": route, "id": id_glob} for route in routes]
    if any(next_job_due(db, place) is not None for place in places):
        return True
    if all(db.execute(SQL["any_waiting_child"], place).fetchone() is None for place in places):
        return False
    return any(_afoot(db, id_glob, served, put_off))


def _afoot(
    db: sqlite3.Connection, id_glob: str | None, served: Collection[str], put_off: Collection[int] | None
) -> Iterator[bool]:
    yield db.execute(SQL["any_open_attempt"]).fetchone() is not None
    yield put_off is not None and next_output_due(db, put_off) is not None
    for route in served:
        yield next_job_due(db, {"route": route, "id": id_glob}) is not None
