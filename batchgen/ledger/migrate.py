"""Brings a ledger file to today's schema, or says why it can't be used. Nothing else.

`PRAGMA user_version` is the number of migration scripts that the file has seen. The scripts and the
new version number are committed together, so a killed migration is simply run again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from batchgen.errors import WorkspaceError
from batchgen.ledger.connection import LEDGER, Connection, translate
from batchgen.ledger.statements import MIGRATIONS


def version(db: sqlite3.Connection) -> int:
    """The schema version of the file; 0 for a new one."""
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found


def require_known(db: sqlite3.Connection, known: int = len(MIGRATIONS)) -> int:
    """The file's version. Raises `WorkspaceError` for a newer ledger and for a foreign database."""
    found = version(db)
    if found > known:
        raise WorkspaceError(
            f"{LEDGER} was written by a newer batchgen (schema {found}, this one knows {known}): "
            "update batchgen"
        )
    if found == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise WorkspaceError(f"{LEDGER} is not a ledger: it is some other program's database")
    return found


def require_current(db: sqlite3.Connection) -> None:
    """For those who can't migrate: raises `WorkspaceError` unless the file has today's schema."""
    found = require_known(db)
    if found == 0:
        raise WorkspaceError(f"{LEDGER} is empty yet: a run begins there at this moment, or ended before it had begun")
    if found < len(MIGRATIONS):
        raise WorkspaceError(
            f"{LEDGER} was written by an older batchgen (schema {found}): `batchgen run` updates it"
        )


def migrate(db: sqlite3.Connection, scripts: Sequence[str] = MIGRATIONS) -> None:
    """Run the scripts that the file has not seen. Raises `WorkspaceError` as `require_known` does."""
    unseen = scripts[require_known(db, len(scripts)) :]
    if not unseen:
        return
    try:
        db.executescript("\n".join(("BEGIN IMMEDIATE;", *unseen, f"PRAGMA user_version = {len(scripts)};", "COMMIT;")))
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


async def bring_up_to_date(db: Connection, workspace: Path) -> None:
    """`migrate` over the connection that writes. Raises `WorkspaceError`."""
    try:
        await db.run(migrate)
    except sqlite3.Error as error:
        raise translate(error, workspace) from error
