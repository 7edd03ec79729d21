"""Takes up jobs at an end state again because the user asks for it. Runs inside a transaction.

What may still be had without paying comes first: a task that its provider can be asked for once
more, a picture whose link still lives. Only a second retry of the same job generates anew.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from batchgen.ledger.chains import LOST, revive_children
from batchgen.ledger.records import Filter
from batchgen.ledger.rows import Params, dump, filter_params
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import require_step, state_by_outputs
from batchgen.ledger.steps import add_round, count_outputs
from batchgen.model import END_STATES, JobState
from batchgen.providers.stored import load_profiles

DEFAULT_STATES = frozenset({JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.EXPIRED})
"""What `retry` takes when no state is named."""


@dataclass(frozen=True, slots=True)
class Retried:
    """Jobs that a retry moved, by what the next run does with them. Only `sent` is paid for."""

    asked: int = 0
    """the provider is asked for the task of an earlier attempt"""
    downloaded: int = 0
    """every image is there or has a link that is tried again"""
    sent: int = 0
    """images are missing: a new request asks for them"""
    following: int = 0
    """cancelled because of one of these: sent when that one is done"""
    left: int = 0
    """cancelled jobs that fit but stay so: the parent is at an end without an image, and was not chosen"""
    reopened: tuple[int, ...] = field(default=(), compare=False)
    """ids of the attempts of those that are `asked`: whoever goes on with the batch follows them"""

    @property
    def total(self) -> int:
        """All that were moved."""
        return self.asked + self.downloaded + self.sent + self.following


def retry(db: sqlite3.Connection, chosen: Filter, at: float) -> Retried:
    """Take up the listed jobs that fit, and those cancelled because of one of them.

    Images that are there are kept and only the missing ones asked for anew; a `done` job starts a
    new round. States that are no end are left out.
    """
    states = (chosen.states or DEFAULT_STATES) & END_STATES
    params = filter_params(chosen) | {"states": dump(sorted(states))}
    rows = db.execute(SQL["retryable_keys"], params).fetchall()
    again = _Again(db, at)
    # A cancelled job comes back with its parent: those that are left then have none that comes.
    for row in sorted(rows, key=lambda row: row["state"] == JobState.CANCELLED):
        again.take_up(row["key"], JobState(row["state"]))
    return again.retried()


def askable(db: sqlite3.Connection) -> str:
    """The providers that can be asked for a task, as a JSON list."""
    note = db.execute(SQL["get_note"], {"key": "profiles"}).fetchone()
    profiles = load_profiles(note["value"] if note else None)
    return dump(sorted(name for name, profile in profiles.items() if profile.task_url))


class _Again:
    """One retry: which providers can be asked for a task, and how many jobs went where."""

    def __init__(self, db: sqlite3.Connection, at: float) -> None:
        self._db = db
        self._at = at
        self._askable = askable(db)
        self._went: Counter[JobState] = Counter()
        self._following = 0
        self._left: list[int] = []
        self._reopened: list[int] = []

    def retried(self) -> Retried:
        """How many jobs were taken up so far."""
        sent, asked = self._went[JobState.PENDING], self._went[JobState.RUNNING]
        left = sum(self._job(key)["state"] == JobState.CANCELLED for key in self._left)
        downloaded = self._went.total() - sent - asked
        return Retried(
            asked=asked,
            downloaded=downloaded,
            sent=sent,
            following=self._following,
            left=left,
            reopened=tuple(self._reopened),
        )

    def take_up(self, key: int, old: JobState) -> None:
        """Move a job from its end state, and its cancelled children with it."""
        job = self._job(key)
        if job["state"] != old:  # came along with its parent already
            return
        if old is JobState.CANCELLED and self._in_vain(job["parent"]):
            self._left.append(key)
            return
        new = self._open_round(job) if old is JobState.DONE else self._resume(job, old)
        self._went[new] += 1
        self._following += revive_children(self._db, key)

    def _job(self, key: int) -> sqlite3.Row:
        row: sqlite3.Row = self._db.execute(SQL["job"], {"key": key}).fetchone()
        return row

    def _in_vain(self, parent: str | None) -> bool:
        """Whether a child of that job would only be cancelled again."""
        row: sqlite3.Row | None = self._db.execute(SQL["job_by_id"], {"id": parent}).fetchone()
        return row is not None and JobState(row["state"]) in LOST

    def _resume(self, job: sqlite3.Row, old: JobState) -> JobState:
        key: int = job["key"]
        self._db.execute(SQL["second_chance"], {"key": key, "at": self._at})
        reopened = self._reopen(key) if old in (JobState.HELD, JobState.FAILED) else None
        if reopened is not None:
            # What was lost stays with the job: to ask for it anew, together with the task, would be paid.
            new, tries = JobState.RUNNING, reopened["counted"]
            self._reopened.append(reopened["id"])
        else:
            self._db.execute(SQL["supersede_lost"], {"key": key})
            # A provider may deliver more than was asked: without the lost ones it can be complete.
            outputs = count_outputs(self._db, {"key": key, "round": job["round"]})
            new, tries = state_by_outputs(outputs, job["wanted"]), 0
        require_step(job["id"], old, new)
        self._db.execute(SQL["reset_job"], {"key": key, "old": old, "new": new, "tries": tries})
        return new

    def _reopen(self, key: int) -> sqlite3.Row | None:
        params: Params = {"key": key, "askable": self._askable, "only_ask": False}
        row: sqlite3.Row | None = self._db.execute(SQL["reopen_attempt"], params).fetchone()
        return row

    def _open_round(self, job: sqlite3.Row) -> JobState:
        identity: Params = {"key": job["key"], "fingerprint": job["fingerprint"]}
        number = add_round(self._db, identity)
        blank: Params = {"error_kind": None, "error_code": None, "error_message": None}
        new = JobState.PENDING
        self._db.execute(SQL["enter_round"], {**identity, **blank, "round": number, "state": new})
        return new
