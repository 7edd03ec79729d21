"""The manifest into the ledger, and the manifest against the ledger, without holding either.

Both go through the entries in batches and judge a job in the same way. A job whose request goes
back to an earlier wording takes up that earlier round: what was paid for is not asked for again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from batchgen.errors import ManifestError
from batchgen.ledger.records import Change, Difference, Standing
from batchgen.ledger.rows import Params, Value, dump, entry_columns
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import state_by_outputs
from batchgen.ledger.steps import count_outputs
from batchgen.model import Entry, JobState, Outcome

BATCH = 10_000
"""Entries that are held at a time."""

_NO_ERROR: Params = {"error_kind": None, "error_code": None, "error_message": None}


@dataclass(frozen=True, slots=True)
class _Round:
    """An earlier round with the same request, and where the job stands when it is taken up again."""

    number: int
    state: JobState
    have: int
    error: Params


def synchronise(db: sqlite3.Connection, entries: Iterable[Entry], now: float) -> Difference:
    """Bring `jobs` to what the manifest lists. Call inside a transaction; raises what `entries` raises."""
    db.execute(SQL["open_seen"])
    db.execute(SQL["forget_seen"])
    changes: Counter[Change] = Counter()
    position = 0
    for batch in batches(entries):
        columns = [entry_columns(entry, position + offset) for offset, entry in enumerate(batch)]
        try:
            changes.update(_merge(db, columns, now))
        except sqlite3.IntegrityError as error:
            places = f"between {batch[0].place} and {batch[-1].place}"
            raise ManifestError((f"{places}: the id of a job is used twice",)) from error
        position += len(batch)
    removed = db.execute(SQL["unlist_unseen"]).rowcount
    db.execute(SQL["block_children"])
    db.execute(SQL["forget_seen"])
    return difference(changes, removed)


def standings(batch: Sequence[Entry], db: sqlite3.Connection) -> list[Standing]:
    """How a batch of entries stands against the ledger; changes nothing."""
    known = _known(db, [entry.job.id for entry in batch])
    return [_standing(db, entry, known.get(entry.job.id)) for entry in batch]


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries, `BATCH` at a time."""
    source = iter(entries)
    while batch := list(islice(source, BATCH)):
        yield batch


def difference(changes: Mapping[Change, int], removed: int) -> Difference:
    """The counts as one value."""
    return Difference(
        new=changes.get(Change.NEW, 0),
        changed=changes.get(Change.CHANGED, 0),
        unchanged=changes.get(Change.UNCHANGED, 0),
        removed=removed,
    )


def _known(db: sqlite3.Connection, ids: Sequence[Value]) -> dict[Value, sqlite3.Row]:
    return {row["id"]: row for row in db.execute(SQL["known_jobs"], {"ids": dump(ids)})}


def _merge(db: sqlite3.Connection, batch: Sequence[Params], now: float) -> Iterator[Change]:
    ids = [columns["id"] for columns in batch]
    known = _known(db, ids)
    new = [columns for columns in batch if columns["id"] not in known]
    db.executemany(SQL["add_job"], new)
    db.execute(SQL["add_first_rounds"], {"ids": dump([columns["id"] for columns in new]), "at": now})
    if db.execute(SQL["see_ids"], {"ids": dump(ids)}).rowcount != len(ids):
        raise sqlite3.IntegrityError("an id came twice")
    for columns in batch:
        row = known.get(columns["id"])
        if row is None:
            yield Change.NEW
            continue
        change = Change.UNCHANGED
        if row["fingerprint"] != columns["fingerprint"]:
            change = _redefine(db, row["key"], columns, now)
        if not row["listed"] or any(row[name] != value for name, value in columns.items()):
            db.execute(SQL["refresh_job"], {**columns, "key": row["key"]})
        yield change


def _redefine(db: sqlite3.Connection, key: int, columns: Params, now: float) -> Change:
    identity: Params = {"key": key, "fingerprint": columns["fingerprint"]}
    earlier = _earlier(db, identity, columns["wanted"])
    if earlier is None:
        (number,) = db.execute(SQL["add_round"], {**identity, "at": now}).fetchone()
        earlier = _Round(number, JobState.PENDING, 0, _NO_ERROR)
        change = Change.CHANGED
    else:
        change = Change.UNCHANGED
    place: Params = {"round": earlier.number, "state": earlier.state}
    db.execute(SQL["enter_round"], {**identity, **earlier.error, **place})
    return change


def _earlier(db: sqlite3.Connection, identity: Params, wanted: Value) -> _Round | None:
    """The latest round with that fingerprint that has images, or an attempt that may have been billed."""
    for (number,) in db.execute(SQL["rounds_of"], identity).fetchall():
        place: Params = {"key": identity["key"], "round": number}
        outputs = count_outputs(db, place)
        last = db.execute(SQL["last_attempt"], place).fetchone()
        outcome = None if last is None else Outcome(last["outcome"])
        if not outputs.total and outcome not in (Outcome.OPEN, Outcome.UNKNOWN):
            continue
        state, error = state_by_outputs(outputs, int(wanted or 1)), None
        if outcome is Outcome.OPEN:
            state = JobState.RUNNING
        elif state is JobState.PENDING and outcome is Outcome.UNKNOWN:
            state, error = JobState.HELD, last
        elif state in (JobState.EXPIRED, JobState.FAILED):
            error = db.execute(SQL["lost_output"], place).fetchone()
        columns = _NO_ERROR if error is None else {name: error[name] for name in _NO_ERROR}
        return _Round(number, state, outputs.total, columns)
    return None


def _standing(db: sqlite3.Connection, entry: Entry, row: sqlite3.Row | None) -> Standing:
    if row is None:
        return Standing(entry=entry, change=Change.NEW, state=None, missing=entry.job.n)
    change, state, have = Change.UNCHANGED, JobState(row["state"]), 0
    if row["fingerprint"] != entry.fingerprint:
        earlier = _earlier(db, {"key": row["key"], "fingerprint": entry.fingerprint}, entry.job.n)
        if earlier is None:
            change, state = Change.CHANGED, JobState.PENDING
        else:
            state, have = earlier.state, earlier.have
    elif state is JobState.PENDING and entry.job.n > 1:
        have = count_outputs(db, {"key": row["key"], "round": row["round"]}).total
    return Standing(
        entry=entry,
        change=change,
        state=state,
        missing=entry.job.n - have if state is JobState.PENDING else 0,
        returning=not row["listed"],
    )
