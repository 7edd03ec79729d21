"""How a batch stands as a whole: counts, cost, links that die soon, what each provider waits for, the last run.

Each function is one look on a snapshot that the caller holds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping

from batchgen.ledger.records import ProviderStatus, RunRecord, Status
from batchgen.ledger.rows import STORE_DOWN
from batchgen.ledger.statements import SQL
from batchgen.model import JobState, OutputState

_DAY = 86400.0


def status(db: sqlite3.Connection, now: float) -> Status:
    """The whole batch in numbers, at a cost that does not grow with it."""
    tally = {(row["subject"], row["state"]): row["n"] for row in db.execute(SQL["tally"])}
    unsettled = db.execute(SQL["unsettled"]).fetchone()
    deadlines = db.execute(SQL["link_deadlines"], {"soon": now + _DAY, "now": now}).fetchone()
    return Status(
        jobs={state: tally["job", state.value] for state in JobState},
        outputs={state: tally["output", state.value] for state in OutputState},
        attempts=tally["attempt", ""],
        # Sums of binary fractions: what is past a millionth is noise.
        cost=round(sum(n for (subject, _), n in tally.items() if subject == "cost"), 6),
        next_expiry=deadlines["next_expiry"],
        expiring_within_24h=deadlines["soon"],
        past_their_date=deadlines["past"],
        unsettled=unsettled["n"],
        unsettled_cost=unsettled["most"],
        rehearsal=bool(note(db, "rehearsal")),
        shard=note(db, "shard") or None,
        store_down=note(db, STORE_DOWN) or None,
        providers=_providers(db, {state: n for (subject, state), n in tally.items() if subject == "cost"}),
    )


def note(db: sqlite3.Connection, key: str) -> str | None:
    """What the run noted under `key`, or None."""
    row = db.execute(SQL["get_note"], {"key": key}).fetchone()
    return None if row is None else str(row["value"])


def _providers(db: sqlite3.Connection, costs: Mapping[str, float]) -> dict[str, ProviderStatus]:
    run = last_run(db)
    alive = run is not None and run.alive
    # A run that came to its end has told why; one that was killed could not.
    told = run is not None and (run.alive or run.ended_at is not None)
    in_flight = {row["provider"]: row["n"] for row in db.execute(SQL["in_flight"])} if alive else {}
    noted = {row["provider"]: row for row in db.execute(SQL["traffic"])}
    return {
        name: ProviderStatus(
            in_flight=in_flight.get(name, 0),
            limit=noted[name]["concurrency"] if name in noted else None,
            waiting_until=noted[name]["waiting_until"] if alive and name in noted else None,
            reason=noted[name]["reason"] if told and name in noted else None,
            cost=costs.get(name, 0.0),
        )
        for name in sorted(noted.keys() | in_flight.keys() | costs.keys())
    }


def last_run(db: sqlite3.Connection) -> RunRecord | None:
    """The latest run over this workspace, and whether its process is still there."""
    row = db.execute(SQL["last_run"]).fetchone()
    if row is None:
        return None
    return RunRecord(
        run_id=row["id"],
        started_at=row["started_at"],
        pid=row["pid"],
        options=row["options"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        reason=row["reason"],
        alive=row["ended_at"] is None and _exists(row["pid"]),
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it is there
        return True
    return True
