"""The copies of the ledger beside the images: when they are made, how many stay, and what a restored one is worth."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from batchgen.backup import KEPT, Backups
from batchgen.ledger.copy import copy_ledger
from batchgen.ledger.store import Ledger
from batchgen.storage.stores import bucket, read
from tests.integration.ledger_builders import clock, entries, start


def store() -> str:
    return f"memory://{uuid4().hex}/night"


def copies(address: str) -> list[str]:
    return sorted(path for path, _ in bucket(address).below("ledger"))


async def test_a_copy_is_made_when_something_has_changed_and_the_last_three_stay(tmp_path: Path) -> None:
    address, now = store(), [1_800_000_000.0]
    async with Ledger.open(tmp_path, now=clock) as ledger:
        backups = Backups(ledger, tmp_path, address, lambda: now[0])
        for count in range(1, KEPT + 3):
            await ledger.sync(entries(*map(str, range(count))))
            assert [await backups.look(), await backups.look()] == [True, False]
            now[0] += 60.0
    times = [name.rpartition("-")[2] for name in copies(address)]
    assert times == [f"20270115T080{minute}00Z.sqlite" for minute in (2, 3, 4)]
    assert list((tmp_path / "images").rglob("*.told")) == []


async def test_what_changed_before_a_crash_is_copied_by_the_next_run(tmp_path: Path) -> None:
    address = store()
    for expected in (True, False):
        async with Ledger.open(tmp_path, now=clock) as ledger:
            await ledger.sync(entries("a", "b"))
            assert await Backups(ledger, tmp_path, address, clock).look() is expected


async def test_batches_of_the_same_name_and_prefix_leave_each_others_copies_alone(tmp_path: Path) -> None:
    address = store()
    for folder in ("one/night", "two/night"):
        async with Ledger.open(tmp_path / folder, now=clock) as ledger:
            await ledger.sync(entries("a"))
            assert await Backups(ledger, tmp_path / folder, address, clock).look()
    assert len(copies(address)) == 2


async def test_a_copy_is_whole_while_the_run_goes_on_writing(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b", "c"))
        await start(ledger, "a")
        copy_ledger(tmp_path, tmp_path / "copy.sqlite")
        await ledger.sync(entries("a", "b"))
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (3,)
        assert db.execute("SELECT count(*) FROM attempts WHERE outcome = 'open'").fetchone() == (1,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_copy_that_fails_is_told_and_made_up_for_later(tmp_path: Path, nowhere: str) -> None:
    address = store()
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a"))
        failing = Backups(ledger, tmp_path, nowhere, clock)
        assert await failing.look()
        assert failing.complaint == f"the ledger could not be copied: {nowhere}: 127.0.0.1:1 can't be reached"
        assert await Backups(ledger, tmp_path, address, clock).look()
    (name,) = copies(address)
    assert (read(f"{address}/{name}") or b"").startswith(b"SQLite format 3")
