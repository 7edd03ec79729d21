"""A new ledger made of several: each is attached in turn and taken over by SQL, with its keys shifted.

The new file is written without a journal, because nobody knows of it yet: what goes wrong throws it
away. Only `close` makes it durable. Decides nothing about which ledgers belong together.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from batchgen.errors import WorkspaceError
from batchgen.ledger.claims import complaints
from batchgen.ledger.connection import LEDGER, translate
from batchgen.ledger.migrate import migrate, require_current
from batchgen.ledger.rows import Params
from batchgen.ledger.statements import SQL
from batchgen.model import JobState, OutputState

_PRAGMAS = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -65536",
)
_SAVED = ("output", OutputState.SAVED.value)
_IN_ORDER = (
    "merge_jobs",
    "merge_counts",
    "merge_rounds",
    "merge_attempts",
    "merge_stores",
    "merge_outputs",
    "merge_replies",
    "merge_costs",
    "merge_routes",
    "merge_paces",
    "merge_traffic",
    "note_runs",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that a shard's ledger names; `current`: the job as it stands needs it."""

    path: str
    sha256: str
    current: bool


@dataclass(frozen=True, slots=True)
class Shifts:
    """How far the keys of jobs and the ids of attempts and outputs are moved."""

    jobs: int
    attempts: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a ledger says of itself: its notes, when its last run began, how many images are saved."""

    notes: Mapping[str, str]
    last_run: float | None
    saved: int


def facts_of(workspace: Path) -> Facts:
    """Read them. Raises `WorkspaceError` for a ledger that can't be read, or is not of today's schema."""
    uri = f"{(workspace / LEDGER).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            db.row_factory = sqlite3.Row
            try:
                require_current(db)
            except WorkspaceError as error:
                raise WorkspaceError(f"{workspace}: {error}") from None
            notes = {row["key"]: row["value"] for row in db.execute(SQL["notes"])}
            run = db.execute(SQL["last_run"]).fetchone()
            saved = sum(row["n"] for row in db.execute(SQL["tally"]) if tuple(row)[:2] == _SAVED)
    except sqlite3.Error as error:
        raise translate(error, workspace) from error
    return Facts(notes, None if run is None else run["started_at"], int(saved))


class Whole:
    """The ledger that is being made. Use it with `with`; `close` it when all are in."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._db = sqlite3.connect((workspace / LEDGER).absolute().as_uri(), uri=True, isolation_level=None)
        self._db.row_factory = sqlite3.Row

    def __enter__(self) -> Self:
        for pragma in _PRAGMAS:
            self._db.execute(pragma)
        migrate(self._db)
        for name in ("open_merging", "open_moved", "open_came"):
            self._db.execute(SQL[name])
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._workspace) from error

    @contextmanager
    def attached(self, shard: Path) -> Iterator[Attached]:
        """Within, one shard's ledger is open beside. Raises `WorkspaceError` when it can't be read."""
        self._db.execute(SQL["attach_shard"], {"ledger": f"{(shard / LEDGER).absolute().as_uri()}?mode=ro"})
        try:
            yield Attached(self._db)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
                raise translate(error, shard) from error
            raise
        self._db.execute(SQL["detach_shard"])

    def close(self, notes: Mapping[str, str]) -> dict[JobState, int]:
        """Finish, check and sync the ledger; returns its jobs by state. Raises `WorkspaceError`."""
        self._db.execute(SQL["merge_runs"])
        for key, value in notes.items():
            self._db.execute(SQL["put_note"], {"key": key, "value": value})
        if contradictions := complaints(self._db):
            raise WorkspaceError("the merged ledger would contradict itself: " + "; ".join(contradictions))
        tally = {(row["subject"], row["state"]): row["n"] for row in self._db.execute(SQL["tally"])}
        self._db.execute("PRAGMA journal_mode = WAL")  # as every ledger is: it may be read while a run writes
        self._db.close()
        with (self._workspace / LEDGER).open("rb") as file:
            os.fsync(file.fileno())
        return {state: tally["job", state.value] for state in JobState}


class Attached:
    """A shard's ledger beside the whole one. Made by `Whole.attached`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def sent_twice(self) -> list[str]:
        """The ids of jobs that were sent here and in an earlier shard; those that were not sent give way."""
        self._db.execute(SQL["forget_skipped"])
        if self._db.execute(SQL["any_job_twice"]).fetchone() is None:
            return []
        for name in ("skip_unsent_twice", "unlist_unsent_twice", "drop_unsent_rounds", "drop_unsent_twice"):
            self._db.execute(SQL[name])
        return [row["id"] for row in self._db.execute(SQL["sent_twice"])]

    def files(self) -> Iterator[Kept]:
        """Every file that an output has, those of earlier wordings too; one may come twice."""
        for path, sha256, current in self._db.execute(SQL["shard_files"]):
            yield Kept(path, sha256, bool(current))

    def spools(self) -> list[str]:
        """The paths of inline images that have no place yet."""
        return [row["spool"] for row in self._db.execute(SQL["shard_spools"])]

    def open_attempts(self) -> list[int]:
        """The shard's ids of the attempts without an outcome."""
        return [row["id"] for row in self._db.execute(SQL["shard_open_attempts"])]

    def shifts(self) -> Shifts:
        """What is added to the shard's numbers; they hold until `take`."""
        return Shifts(**self._db.execute(SQL["merge_offsets"]).fetchone())

    def take(self, moved: Iterable[tuple[str, str]]) -> None:
        """Take all of it over. `moved`: paths that are other ones in the whole workspace."""
        self._db.execute(SQL["forget_moved"])
        offsets: Params = asdict(self.shifts())
        self._db.execute("BEGIN")
        for old, new in moved:
            self._db.execute(SQL["note_moved"], {"old": old, "new": new})
        for name in _IN_ORDER:
            self._db.execute(SQL[name], offsets)
        self._db.execute("COMMIT")
