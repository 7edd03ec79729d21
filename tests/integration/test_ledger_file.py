"""The ledger as a file: its schema, who may open it, what is durable, and what a bad one says."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from batchgen.errors import WorkspaceError
from batchgen.ledger.connection import explain
from batchgen.ledger.migrate import migrate, version
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter, ProviderStatus
from batchgen.ledger.statements import MIGRATIONS, SQL
from batchgen.ledger.states import IllegalStep
from batchgen.ledger.store import Ledger
from batchgen.ledger.writer import Writer
from batchgen.model import JobState
from tests.integration.ledger_builders import (
    NOW,
    PROVIDER,
    claim,
    clock,
    delivered,
    due,
    entries,
    entry,
    file,
    start,
    states,
)

SCRIPT = """
import asyncio, sys
from pathlib import Path
from batchgen.ledger.store import Ledger
from tests.integration.ledger_builders import *

async def main():
    async with Ledger.open(Path(sys.argv[1]), now=clock) as ledger:
        {body}

asyncio.run(main())
"""


def process(workspace: Path, body: str) -> subprocess.Popen[str]:
    """A Python process that has the ledger open and runs `body` in it."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    code = SCRIPT.replace("{body}", body)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(workspace)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,  # open, so that a body that reads it waits
        stdout=subprocess.PIPE,
        text=True,
    )


def run(statement: str, db: sqlite3.Connection) -> None:
    db.execute(statement)


def schema_of(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as db:
        yield db


def test_an_older_ledger_is_migrated_with_its_rows_to_what_a_fresh_one_is(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    later = (*MIGRATIONS, "ALTER TABLE runs ADD COLUMN host TEXT; CREATE INDEX runs_host ON runs (host);")
    migrate(database)
    database.execute("INSERT INTO runs (started_at, pid, options) VALUES (1, 2, '{}')")
    migrate(database, later)
    migrate(database, later)
    with closing(sqlite3.connect(tmp_path / "fresh.db", isolation_level=None)) as fresh:
        migrate(fresh, later)
        assert schema_of(database) == schema_of(fresh)
        assert version(database) == version(fresh) == len(later)
    assert database.execute("SELECT pid, host FROM runs").fetchall() == [(2, None)]


def test_a_migration_that_breaks_leaves_the_older_ledger_whole(database: sqlite3.Connection) -> None:
    migrate(database)
    before = schema_of(database)
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, (*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE jobs (y);"))
    assert (schema_of(database), version(database)) == (before, len(MIGRATIONS))


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (
            "PRAGMA user_version = 999",
            f"written by a newer batchgen (schema 999, this one knows {len(MIGRATIONS)}): update batchgen",
        ),
        ("CREATE TABLE theirs (x)", "is not a ledger: it is some other program's database"),
    ],
)
async def test_a_newer_or_foreign_database_is_refused(tmp_path: Path, prepare: str, complaint: str) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute(prepare)
    with pytest.raises(WorkspaceError) as raised:
        async with Ledger.open(tmp_path, now=clock):
            pass
    assert complaint in str(raised.value)
    with pytest.raises(WorkspaceError) as raised:
        async with Reader.open(tmp_path):
            pass
    assert complaint in str(raised.value)


async def test_a_ledger_that_a_run_is_only_making_is_no_older_one(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    with pytest.raises(WorkspaceError, match=r"ledger\.db is empty yet: a run begins there"):
        async with Reader.open(tmp_path):
            pass
    async with Ledger.open(tmp_path, now=clock), Reader.open(tmp_path):
        pass


async def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"hello" * 500)
    for opened in (Ledger.open(tmp_path, now=clock), Reader.open(tmp_path)):
        with pytest.raises(WorkspaceError, match=r"ledger\.db is not a ledger, nor an SQLite database"):
            async with opened:
                pass


async def test_a_damaged_ledger_is_told_when_the_damage_is_met(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entry(f"job-{i}") for i in range(2000))
    path = tmp_path / "ledger.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xee" * (len(whole) - 4096))
    with pytest.raises(WorkspaceError, match=r"ledger\.db is damaged"):
        async with Ledger.open(tmp_path, now=clock) as ledger:
            await ledger.sync(entries("a"))


async def test_a_folder_that_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"workspace .*file/demo can't be made: Not a directory"):
        async with Ledger.open(tmp_path / "file" / "demo", now=clock):
            pass


async def test_a_workspace_without_a_ledger_has_nothing_to_read_or_fetch(tmp_path: Path) -> None:
    for opened in (Ledger.open(tmp_path / "x", now=clock, create=False), Reader.open(tmp_path / "x")):
        with pytest.raises(WorkspaceError, match=r"x has no ledger\.db: nothing was run there yet"):
            async with opened:
                pass
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_one_line(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as raised:
        migrate(database)
    assert (
        str(explain(raised.value, Path("out/demo")))
        == "out/demo/ledger.db can't be written, as the disk is full: make room, then run again; nothing is lost"
    )


async def test_the_settings_of_the_file_are_those_promised(tmp_path: Path) -> None:
    seen: dict[str, object] = {}
    async with Ledger.open(tmp_path, now=clock) as ledger:

        def look(db: sqlite3.Connection) -> None:
            for name in ("journal_mode", "synchronous", "user_version", "busy_timeout", "wal_autocheckpoint"):
                seen[name] = db.execute(f"PRAGMA {name}").fetchone()[0]

        await ledger._write(look)
    assert seen == {
        "journal_mode": "wal",
        "synchronous": 2,
        "user_version": len(MIGRATIONS),
        "busy_timeout": 60_000,
        "wal_autocheckpoint": 4000,
    }
    assert (tmp_path / "images").is_dir()


PLANS = {
    "ready_jobs": "jobs_ready",
    "ready_models": "jobs_ready",
    "retried_jobs": "jobs_waiting",
    "next_due_job": "jobs_waiting",
    "any_ready_job": "jobs_ready",
    "next_turns": "jobs_turns",
    "any_waiting_child": "jobs_blocked",
    "count_waiting_children": "jobs_blocked",
    "lost_parents": "jobs_blocked",
    "pending_children": "jobs_parent",
    "cancelled_children": "jobs_parent",
    "any_child": "jobs_parent",
    "any_open_attempt": "attempts_open",
    "open_attempts": "attempts_open",
    "in_flight": "attempts_open",
    "due_outputs": "outputs_due",
    "retried_outputs": "outputs_waiting",
    "ready_output_ids": "outputs_due",
    "next_due_output": "outputs_waiting",
    "link_deadlines": "outputs_links",
    "page_of_jobs": "jobs_order",
    "same_bytes": "outputs_came",
    "like_looks": "outputs_look_4",
}


@pytest.mark.parametrize(("name", "index"), PLANS.items(), ids=PLANS)
def test_what_is_asked_often_goes_by_its_index_and_sorts_nothing(
    database: sqlite3.Connection, name: str, index: str
) -> None:
    migrate(database)
    params = dict.fromkeys(
        ("provider", "route", "now", "id", "limit", "soon", "position", "key", "listed", "states", "error", "model"), 1
    ) | dict.fromkeys(("warned", "came", "output", "look", "parent", "without", "ratio", "words"), 1)
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", params)]
    assert any(index in step for step in plan), plan
    assert not [
        step
        for step in plan
        # `found` is what a recursive query has found so far.
        if step.startswith("SCAN") and "INDEX" not in step and "CONSTANT" not in step and step != "SCAN found"
    ]
    assert not [step for step in plan if "ORDER BY" in step and name != "open_attempts"], plan


async def test_commands_told_together_share_one_commit(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entry(f"job-{i:03}") for i in range(200))
        jobs = await claim(ledger, 200)
        changes = []

        def count(db: sqlite3.Connection) -> None:
            changes.append(db.execute("SELECT count(*) FROM attempts WHERE outcome = 'open'").fetchone()[0])

        async with Reader.open(tmp_path) as reader, anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(ledger.begin_attempt, job.key, PROVIDER, NOW, "k")
            group.start_soon(ledger._write, count)
            while not changes:
                seen = (await reader.status(NOW)).jobs[JobState.RUNNING]
                assert seen in (0, 200)
        assert changes == [200]


async def test_a_command_that_raises_spoils_no_other_in_its_group(tmp_path: Path) -> None:
    def broken(db: sqlite3.Connection) -> None:
        db.execute("UPDATE jobs SET state = 'done'")
        raise ZeroDivisionError

    def violating(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO notes (key) VALUES (NULL)")

    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a"))
        results = await asyncio.gather(
            ledger.note("x", "1"),
            ledger._write(broken),
            ledger._write(violating),
            ledger.note("y", "2"),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [
            type(None),
            ZeroDivisionError,
            sqlite3.IntegrityError,
            type(None),
        ]
        assert (await ledger.get_note("x"), await ledger.get_note("y")) == ("1", "2")
        assert await states(ledger) == {JobState.PENDING: 1}


async def test_a_commit_that_fails_fails_every_command_of_its_group_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    def fill(db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")

    def free(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1000000")

    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger._write(fill)
        with pytest.raises(WorkspaceError, match=r"the disk is full"):
            await ledger.note("big", "x" * 100_000)
        await ledger._write(free)
        await ledger.note("big", "x" * 100_000)
        assert len(await ledger.get_note("big") or "") == 100_000


async def test_a_cancelled_caller_leaves_a_whole_command_and_a_working_writer(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        first, second = await claim(ledger)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.begin_attempt(first.key, PROVIDER, NOW, "k")
        task = asyncio.create_task(ledger.begin_attempt(second.key, PROVIDER, NOW, "k"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ledger.note("after", "1")
        assert await states(ledger) == {JobState.RUNNING: 2}
        assert await ledger.check() == []


async def test_whoever_tells_a_fact_under_a_cancelled_scope_learns_what_became_of_it(tmp_path: Path) -> None:
    told: list[object] = []
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a"))
        (pending,) = await claim(ledger)
        with anyio.CancelScope() as scope:
            scope.cancel()
            told.append(await ledger.begin_attempt(pending.key, PROVIDER, NOW, "k"))
            with pytest.raises(IllegalStep):
                await ledger.begin_attempt(pending.key, PROVIDER, NOW, "k")
            told.append("why not")
            await anyio.lowlevel.checkpoint()
            told.append("it went on")
        begun, go_on = threading.Event(), threading.Event()

        def slow(db: sqlite3.Connection) -> str:
            begun.set()
            go_on.wait(30)
            return "amid a commit"

        async def tell() -> None:
            told.append(await ledger._write(slow))

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            await asyncio.to_thread(begun.wait, 30)
            group.cancel_scope.cancel()
            asyncio.get_running_loop().call_later(0.01, go_on.set)
    assert told == [1, "why not", "amid a commit"]


async def test_an_opening_that_is_cancelled_leaves_no_thread_that_outlives_the_loop(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock):
        pass
    before = set(threading.enumerate())

    async def look() -> None:
        async with Reader.open(tmp_path):
            pass

    opening = asyncio.ensure_future(look())
    await asyncio.sleep(0)
    assert set(threading.enumerate()) - before  # of which one may be at its end just now
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert set(threading.enumerate()) <= before


async def test_a_loop_that_cancels_every_task_leaves_the_writer_at_work_for_their_last_words(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        (writer,) = [task for task in asyncio.all_tasks() if task.get_name() == "ledger writer"]
        begun, go_on = threading.Event(), threading.Event()

        def slow(db: sqlite3.Connection) -> None:
            begun.set()
            go_on.wait(30)

        note = asyncio.create_task(ledger._write(slow))
        await asyncio.to_thread(begun.wait, 30)
        writer.cancel()  # amid a commit
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(30):
            await note
            writer.cancel()  # while it waits for work
            await ledger.note("last", "word")
            assert await ledger.get_note("last") == "word"
    assert writer.done()


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await ledger.note("x", "1")


async def test_a_second_run_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    other = process(
        tmp_path, "await ledger.begin_run(NOW, 4711, '{}'); print('in', flush=True); sys.stdin.read()"
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    try:
        with pytest.raises(
            WorkspaceError, match=r"workspace .* is in use by another run \(pid 4711, since \d\d:\d\d\)"
        ):
            async with Ledger.open(tmp_path, now=clock):
                pass
        async with Reader.open(tmp_path) as reader:
            assert (await reader.status(NOW)).jobs[JobState.PENDING] == 0
    finally:
        other.kill()
        other.communicate()
    async with Ledger.open(tmp_path, now=clock) as ledger:
        run = await ledger.reader.last_run()
        assert run is not None
        assert run.ended_at is None


async def test_what_was_acknowledged_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    body = """
        await ledger.sync(entry(f'job-{i}') for i in range(5000))
        for job in await claim(ledger, 5000):
            attempt = await ledger.begin_attempt(job.key, PROVIDER, NOW, 'k')
            await ledger.task_seen(attempt, f'task_{attempt}')
            print(attempt, flush=True)
    """.strip()
    other = process(tmp_path, body)
    assert other.stdout is not None
    told = [int(other.stdout.readline()) for _ in range(40)]
    os.kill(other.pid, signal.SIGKILL)
    rest, _ = other.communicate()
    told += [int(line) for line in rest.split("\n")[:-1]]
    async with Ledger.open(tmp_path, now=clock) as ledger:
        found = {attempt.attempt_id: attempt for attempt in await ledger.open_attempts()}
        assert [found[number].task_id for number in told] == [f"task_{number}" for number in told]
        assert await ledger.check() == []
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_process_that_dies_of_an_error_inside_the_ledger_ends(tmp_path: Path) -> None:
    other = process(tmp_path, "await ledger.note('x', 'y'); sys.exit(7)")
    other.communicate(timeout=300)
    assert other.returncode == 7


async def test_anyone_reads_while_a_run_writes(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        async with Reader.open(tmp_path) as reader:
            records = reader.jobs(Filter())
            assert (await anext(records)).state is JobState.PENDING
            await ledger.generated(await start(ledger, "a"), delivered(), NOW, None)
            assert (await reader.status(NOW)).jobs[JobState.GENERATED] == 1
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as plain:
                assert plain.execute("SELECT id FROM jobs WHERE state = 'generated'").fetchall() == [("a",)]
            (output,) = await due(ledger, "a")
            await ledger.saved(output.output_id, file("a"), NOW)
            assert [found.job_id async for found in reader.files()] == ["a"]
            with pytest.raises(WorkspaceError):
                await reader.ask(lambda db: db.execute("DELETE FROM jobs"))


async def test_the_ledger_is_read_after_the_run_has_left(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a"))
    async with Reader.open(tmp_path) as reader:
        assert [record.job.id async for record in reader.jobs(Filter())] == ["a"]


async def test_traffic_is_that_of_a_run_that_lives_and_why_it_stopped_stays_told(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a"))
        run = await ledger.begin_run(NOW, os.getpid(), "{}")
        await ledger.traffic(PROVIDER, ProviderStatus(limit=4, waiting_until=float("inf"), reason="bad key"))
        await start(ledger, "a")
        assert (await ledger.status()).providers == {
            PROVIDER: ProviderStatus(in_flight=1, limit=4, waiting_until=None, reason="bad key")
        }
        await ledger.end_run(run, NOW + 1, 130, "interrupted")
        assert (await ledger.status()).providers == {PROVIDER: ProviderStatus(limit=4, reason="bad key")}
        last = await ledger.reader.last_run()
        assert last is not None
        assert (last.exit_code, last.reason, last.alive) == (130, "interrupted", False)


async def test_check_tells_what_contradicts_itself(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b", "c", "d"))
        await start(ledger, "d")
        for damage in (
            "UPDATE jobs SET state = 'running' WHERE id = 'a'",
            "UPDATE jobs SET state = 'done' WHERE id IN ('b', 'd')",
            "UPDATE tally SET n = n + 1",
        ):
            await ledger._write(partial(run, damage))
        found = await ledger.check()
    assert "job a is running without an open attempt" in found
    assert "job b is done with 0 of 1 images saved and 0 remote" in found
    assert "job d is done with an open attempt" in found
    assert "the tally says 3 jobs are done, the rows say 2" in found
    assert "the tally says 1 outputs are saved, the rows say 0" in found
    assert "the tally says 2 attempts, the rows say 1" in found


def test_the_writer_has_no_way_around_its_queue() -> None:
    assert {name for name in vars(Writer) if not name.startswith("_")} == {"write", "close", "drain"}


def test_a_ledger_that_may_not_be_written_is_said_in_words_of_the_file_and_not_of_sqlite(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("CREATE TABLE t (x)")
    with (
        closing(sqlite3.connect(f"file:{tmp_path}/ledger.db?mode=ro", uri=True)) as db,
        pytest.raises(sqlite3.OperationalError) as raised,
    ):
        db.execute("INSERT INTO t VALUES (1)")
    assert str(explain(raised.value, tmp_path)) == (
        f"{tmp_path}/ledger.db can't be written, as the file, its folder or the disk is read-only: "
        "set that right, then run again; nothing is lost"
    )


async def test_a_ledger_that_another_program_is_writing_to_is_told_at_the_start(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock):
        pass
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkspaceError, match=r"ledger\.db is locked by another program: close it there"):
            async with Ledger.open(tmp_path, now=clock):
                pass
