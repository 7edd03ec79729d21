"""The manifest into the ledger, and the manifest against the ledger, without holding either.

Both go through the entries in batches and judge a job in the same way. A job whose request goes
back to an earlier wording takes up that earlier round: what was paid for is not asked for again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TypeAlias

from batchgen.errors import ManifestError
from batchgen.ledger import rows
from batchgen.ledger.records import Change, Difference, Outstanding, Standing
from batchgen.ledger.rows import Params, Value, alike_values, dump
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import state_by_outputs
from batchgen.ledger.steps import add_round, count_outputs
from batchgen.model import Entry, JobState, LookedAt, Outcome, Reading

BATCH = 1_000
"""Entries that are held at a time."""

_SORTED = 20_000
_STAGE = ("open_staged", "open_kinds", "open_listed")

Depends: TypeAlias = Callable[[], Reading | None]
"""Asked when all entries were read: what they depend on, or None when that can't be told."""

Review: TypeAlias = Callable[[Difference, Iterator[Outstanding]], None]
"""Told what the manifest changed and what there is to send, before it counts; may raise."""

Still: TypeAlias = Callable[[LookedAt], LookedAt | None]
"""The picture as it is now, if it is what it was; the same value when nothing is new about it."""

_NO_ERROR: Params = {"error_kind": None, "error_code": None, "error_message": None}


@dataclass(frozen=True, slots=True)
class _Round:
    """An earlier round with the same request, and where the job stands when it is taken up again."""

    number: int
    state: JobState
    have: int
    error: Params


def synchronise(db: sqlite3.Connection, entries: Iterable[Entry], depends: Depends = lambda: None) -> Difference:
    """Bring `jobs` to what the manifest lists. Call inside a transaction; raises what `entries` raises.

    What `depends` answers at the end is noted, so that the next reading can be compared with this one.
    """
    for name in ("forget_reading", "forget_pictures", "open_seen", "forget_seen", *_STAGE):
        db.execute(SQL[name])
    changes: Counter[Change] = Counter()
    position = 0
    before = _last_key(db)
    for batch in batches(entries):
        _stage(db, batch, position)
        try:
            changes.update(_merge(db, before))
        except sqlite3.IntegrityError as error:
            places = f"between {batch[0].place} and {batch[-1].place}"
            raise ManifestError((f"{places}: the id of a job is used twice",)) from error
        position += len(batch)
    db.execute(SQL["count_added"], {"added": changes[Change.NEW]})
    removed = db.execute(SQL["unlist_unseen"], {"before": before}).rowcount
    db.execute(SQL["block_children"])
    for name in ("forget_seen", "forget_staged", "forget_kinds"):
        db.execute(SQL[name])
    if (reading := depends()) is not None:
        db.execute(SQL["note_reading"], {"text": reading.text})
        note_pictures(db, reading.pictures)
    return difference(changes, removed, turns(db))


def turns(db: sqlite3.Connection) -> int:
    """How many jobs to be sent stand one behind the other, at the most."""
    return int(db.execute(SQL["longest_chain"]).fetchone()[0] or 1)


def outstanding(db: sqlite3.Connection) -> Iterator[Outstanding]:
    """All that there is to send, by what is alike among some ten thousand jobs: to sort all would take them all."""
    for after in range(0, _last_key(db), _SORTED):
        yield from map(rows.outstanding, db.execute(SQL["outstanding"], {"after": after, "keys": _SORTED}))


def note_pictures(db: sqlite3.Connection, pictures: Iterable[LookedAt]) -> None:
    """Keep what these pictures were like when they were looked at."""
    db.executemany(SQL["note_picture"], map(asdict, pictures))


def renewed(db: sqlite3.Connection, still: Still) -> list[LookedAt] | None:
    """The noted pictures of which `still` knows newer facts; None when one is no longer what it was."""
    newer = []
    for row in db.execute(SQL["pictures"]):
        noted = LookedAt(**row)
        found = still(noted)
        if found is None:
            return None
        if found is not noted:
            newer.append(found)
    return newer


def standings(batch: Sequence[Entry], db: sqlite3.Connection) -> list[Standing]:
    """How a batch of entries stands against the ledger; changes nothing."""
    known = _known(db, [entry.id for entry in batch])
    return [_standing(db, entry, known.get(entry.id)) for entry in batch]


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries, `BATCH` at a time."""
    source = iter(entries)
    while batch := list(islice(source, BATCH)):
        yield batch


def difference(changes: Mapping[Change, int], removed: int, turns: int = 1) -> Difference:
    """The counts as one value."""
    return Difference(
        turns=turns,
        new=changes.get(Change.NEW, 0),
        changed=changes.get(Change.CHANGED, 0),
        unchanged=changes.get(Change.UNCHANGED, 0),
        removed=removed,
    )


def _known(db: sqlite3.Connection, ids: Sequence[Value]) -> dict[Value, sqlite3.Row]:
    return {row["id"]: row for row in db.execute(SQL["known_jobs"], {"ids": dump(ids)})}


def _last_key(db: sqlite3.Connection) -> int:
    return int(db.execute(SQL["last_key"]).fetchone()[0])


def _stage(db: sqlite3.Connection, batch: Sequence[Entry], position: int) -> None:
    """Put a batch, whose first has that position, where SQL finds it: what its jobs share once for all of them."""
    numbers: dict[object, int] = {}
    kinds: list[tuple[Value, ...]] = []
    staged: list[tuple[Value, ...]] = []
    for number, entry in enumerate(batch, position):
        # Within a batch, which keeps them, each `like` has an address of its own.
        alike = (id(entry.like), entry.warnings, entry.apart)
        kind = numbers.get(alike)
        if kind is None:
            kind = numbers[alike] = len(kinds)
            kinds.append((kind, *alike_values(entry)))
        place = number if entry.position is None else entry.position
        staged.append((entry.id, place, entry.prompt, entry.fingerprint, kind))
    for name in ("forget_staged", "forget_kinds"):
        db.execute(SQL[name])
    db.executemany(SQL["stage_kind"], kinds)
    db.executemany(SQL["stage"], staged)


def _merge(db: sqlite3.Connection, before: int) -> Mapping[Change, int]:
    """Take the staged jobs in. Those with a key up to `before` were there when the manifest was opened.

    Raises IntegrityError for an id that comes twice.
    """
    known: Params = {"before": before}
    changed = seen = 0
    db.execute(SQL["keep_routes"])
    if before:
        seen = db.execute(SQL["see_known"], known).rowcount
        for row in db.execute(SQL["staged_otherwise"], known).fetchall():
            columns: Params = dict(row)
            if columns.pop("redefined"):
                changed += _redefine(db, row["key"], columns) is Change.CHANGED
            db.execute(SQL["refresh_job"], columns)
        db.execute(SQL["forget_known"], known)
    new = db.execute(SQL["add_jobs"]).rowcount
    return {Change.NEW: new, Change.CHANGED: changed, Change.UNCHANGED: seen - changed}


def _redefine(db: sqlite3.Connection, key: int, columns: Params) -> Change:
    identity: Params = {"key": key, "fingerprint": columns["fingerprint"]}
    earlier = _earlier(db, identity, columns["wanted"])
    if earlier is None:
        earlier = _Round(add_round(db, identity), JobState.PENDING, 0, _NO_ERROR)
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
        return Standing(entry=entry, change=Change.NEW, state=None, missing=entry.like.n)
    change, state, have = Change.UNCHANGED, JobState(row["state"]), 0
    if row["fingerprint"] != entry.fingerprint:
        earlier = _earlier(db, {"key": row["key"], "fingerprint": entry.fingerprint}, entry.like.n)
        if earlier is None:
            change, state = Change.CHANGED, JobState.PENDING
        else:
            state, have = earlier.state, earlier.have
    elif state is JobState.PENDING and entry.like.n > 1:
        have = count_outputs(db, {"key": row["key"], "round": row["round"]}).total
    return Standing(
        entry=entry,
        change=change,
        state=state,
        missing=entry.like.n - have if state is JobState.PENDING else 0,
        returning=not row["listed"],
        waits=bool(row["blocked"]),
    )
