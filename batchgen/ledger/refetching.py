"""Asks once more for what is paid for and not on disk, because the user wants it. Runs inside a transaction.

Opens downloads and tasks that were given up, and nothing else: no job becomes `pending` by it, so nothing is sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from batchgen.ledger.records import Filter
from batchgen.ledger.retrying import askable
from batchgen.ledger.rows import Params, filter_params
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import state_by_outputs
from batchgen.ledger.steps import count_outputs, lost, move
from batchgen.model import STEPS, JobState


@dataclass(frozen=True, slots=True)
class Refetched:
    """What is asked for once more."""

    downloads: int = 0
    """images that are fetched from their links, or read from what came, again"""
    reopened: tuple[int, ...] = ()
    """ids of the attempts whose tasks are asked for again"""
    gone: int = 0
    """lost files that came without a link: there is nothing to fetch them from"""


def fetch_again(db: sqlite3.Connection, chosen: Filter, missing: Collection[int], *, tasks: bool) -> Refetched:
    """Take up the images of the listed jobs that fit (by `id_glob` alone).

    `missing`: ids of their saved outputs whose file is not there. `tasks`: also open the attempts of which the
    provider can be asked for a task that perhaps went on.
    """
    params = filter_params(chosen)
    found = [output_id for output_id in missing if lost(db, output_id)]
    touched = {db.execute(SQL["output"], {"output": output_id}).fetchone()["job"]: None for output_id in found}
    gone = len(missing) - len(found)
    rows = db.execute(SQL["unfetched_outputs"], params).fetchall()
    for row in rows:
        db.execute(SQL["fetch_output_again"], {"output": row["id"]})
        touched[row["job"]] = None
    for key in touched:
        _settle(db, key)
    reopened = tuple(_reopened(db, params)) if tasks else ()
    return Refetched(downloads=len(found) + len(rows), reopened=reopened, gone=gone)


def _settle(db: sqlite3.Connection, key: int) -> None:
    """A job that has all of its images, on disk or to be fetched, waits for these and for nothing else."""
    job = db.execute(SQL["job"], {"key": key}).fetchone()
    new = state_by_outputs(count_outputs(db, {"key": key, "round": job["round"]}), job["wanted"])
    if new is JobState.GENERATED and new in STEPS[JobState(job["state"])]:
        move(db, job, new, clean=True)


def _reopened(db: sqlite3.Connection, params: Params) -> Iterator[int]:
    providers = askable(db)
    for job in db.execute(SQL["askable_jobs"], params).fetchall():
        which: Params = {"key": job["key"], "askable": providers, "only_ask": True}
        row = db.execute(SQL["reopen_attempt"], which).fetchone()
        if row is not None:
            reset: Params = {"key": job["key"], "old": job["state"], "new": JobState.RUNNING, "tries": row["counted"]}
            db.execute(SQL["reset_job"], reset)
            yield row["id"]
