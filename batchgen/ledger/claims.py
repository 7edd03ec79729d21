"""What may be done next: jobs to send, outputs to fetch, attempts left open. Only reads.

Claims are a few index steps however many rows there are: what is ready and what waits for a
time live in two partial indexes, and each answer is merged from both.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from batchgen.ledger.records import DueOutput, OpenAttempt, Paces, PendingJob
from batchgen.ledger.rows import Value, due_output, dump, fields, job_of, open_attempt, providers_of
from batchgen.ledger.statements import SQL
from batchgen.pacing import Learned, Pace

READY = ("ready_jobs", "retried_jobs")
"""The statements that together find every job that may be sent."""

RETRIED = ("retried_jobs",)
"""Those among them that failed before and are due again."""

TURNS = ("next_turns",)
"""Those among them that edit an image, and were never sent."""


def pending_jobs(
    db: sqlite3.Connection,
    params: Mapping[str, Value],
    limit: int,
    exclude: Collection[int],
    statements: Sequence[str] = READY,
) -> list[PendingJob]:
    """Jobs that may be sent `now` and have this `route`, in manifest order, at most `limit`.

    `without`, a JSON list among the `params`, names models that are left out.
    """
    bound = {"without": "[]", **params, "limit": limit + len(exclude)}
    found = [row for name in statements for row in _found(db, name, bound) if row["key"] not in exclude]
    chosen = sorted(found, key=lambda row: row["position"])[:limit]
    keys = dump([row["key"] for row in chosen])
    return [_pending_job(row) for row in db.execute(SQL["claimed_jobs"], {"keys": keys})]


def _pending_job(row: sqlite3.Row) -> PendingJob:
    """A row of `claimed_jobs`."""
    told = fields(row)
    return PendingJob(
        key=told["key"],
        job=job_of(told),
        have=told["have"],
        tries=told["tries"],
        round=told["round"],
        last_error=told["last_error"],
        repeats=told["repeats"],
        unanswered_key=told["unanswered_key"],
        unanswered_env=told["unanswered_env"],
        position=told["position"],
        route=providers_of(told["route"]),
    )


def _found(db: sqlite3.Connection, name: str, bound: Mapping[str, Value]) -> Iterator[sqlite3.Row]:
    """Key and position of the jobs that a statement finds."""
    if name != "ready_jobs":
        yield from db.execute(SQL[name], bound)
        return
    for (model,) in db.execute(SQL["ready_models"], bound).fetchall():
        yield from db.execute(SQL[name], {**bound, "model": model})


def begun_jobs(
    keys: Collection[int], route: str, now: float, exclude: Collection[int], db: sqlite3.Connection
) -> list[PendingJob]:
    """Those of the jobs `keys` that may be sent now and have this `route`: a run that may start no more goes on."""
    params: Mapping[str, Value] = {"keys": dump(sorted(keys)), "route": route, "now": now}
    return pending_jobs(db, params, len(keys), exclude, ("begun_jobs",))


def begun_due(keys: Collection[int], route: str, db: sqlite3.Connection) -> float | None:
    """When the first of the jobs `keys` may be sent, as `next_job_due` says it."""
    (due,) = db.execute(SQL["begun_due"], {"keys": dump(sorted(keys)), "route": route}).fetchone()
    return None if due is None else float(due)


def due_outputs(db: sqlite3.Connection, now: float, limit: int, exclude: Collection[int]) -> list[DueOutput]:
    """Outputs that may be fetched now; the link that dies first comes first."""
    bound = {"now": now, "limit": limit + len(exclude)}
    rows = [row for name in ("due_outputs", "retried_outputs") for row in db.execute(SQL[name], bound)]
    free = (due_output(row) for row in rows if row["output_id"] not in exclude)
    return sorted(free, key=lambda output: (output.expires_at is None, output.expires_at or 0.0))[:limit]


def next_job_due(db: sqlite3.Connection, params: Mapping[str, Value]) -> float | None:
    """When the first pending job of a `route` may be sent: 0.0 for at once, None when there is none."""
    if db.execute(SQL["any_ready_job"], params).fetchone():
        return 0.0
    row = db.execute(SQL["next_due_job"], params).fetchone()
    return None if row is None else row["not_before"]


def next_output_due(db: sqlite3.Connection, exclude: Collection[int]) -> float | None:
    """When the first remote output may be fetched: 0.0 for at once, None when there is none.

    `exclude` leaves out outputs that are due at once.
    """
    ready = db.execute(SQL["ready_output_ids"], {"limit": len(exclude) + 1})
    if any(row["id"] not in exclude for row in ready):
        return 0.0
    row = db.execute(SQL["next_due_output"]).fetchone()
    return None if row is None else row["not_before"]


def open_attempts(db: sqlite3.Connection) -> list[OpenAttempt]:
    """Every attempt without an outcome, oldest first."""
    return [open_attempt(row) for row in db.execute(SQL["open_attempts"])]


def paces(db: sqlite3.Connection) -> dict[str, Paces]:
    """What earlier runs noted of the traffic, by provider."""
    found: defaultdict[str, dict[tuple[str | None, str], Pace]] = defaultdict(dict)
    for row in db.execute(SQL["paces"]):
        learned = None if row["places"] is None else Learned(row["places"], bool(row["limited"]))
        found[row["provider"]][row["key_env"] or None, row["model"]] = Pace(learned, row["paused_until"])
    return dict(found)


def complaints(db: sqlite3.Connection) -> list[str]:
    """What is not as it must be when nothing is in flight; scans the whole ledger."""
    return [row[0] for name in sorted(SQL) if name.startswith("check_") for row in db.execute(SQL[name])]
