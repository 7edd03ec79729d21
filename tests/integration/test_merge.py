"""Workspaces of shards made one: nothing the ledgers know is lost, nothing that does not belong together is merged."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batchgen.errors import Refused, UsageError, WorkspaceError
from batchgen.events import Generated, RemoteImage
from batchgen.images.spool import AnswerLog, noted_answers
from batchgen.ledger.lock import hold
from batchgen.ledger.reader import Reader
from batchgen.ledger.statements import SQL
from batchgen.ledger.store import Ledger
from batchgen.model import JobState
from batchgen.shards.merge import Merged, merge
from batchgen.verify import compare_files
from tests.integration.finished import Made, finished
from tests.integration.ledger_builders import clock, entries, start

MEMORY = Path("/dev/shm")
COPIED = {"jobs", "rounds", "attempts", "outputs", "replies", "runs", "paces", "traffic", "routes"}
MADE_ANEW = {"tally", "notes", "stores"}
LEFT = {"pictures", "orders"}
"""Of the reading that the next run makes anew, and of runs that are over."""


def quiet(_: int) -> Callable[[int], None]:
    return lambda number: None


def merged(place: Path, *shards: Path) -> Merged:
    return merge(place, shards, quiet)


def execute(workspace: Path, statement: str, values: Sequence[object] = ()) -> None:
    with closing(sqlite3.connect(workspace / "ledger.db")) as db, db:
        db.execute(statement, values)


def rows(workspace: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(workspace / "ledger.db")) as db:
        return db.execute(query).fetchall()


def shard(folder: Path, held: str, *jobs: Made, manifest: str = "big.yaml", **notes: str) -> Path:
    """A workspace as `run --shard` leaves it."""
    workspace = finished(folder / f"shard-{held.replace('/', '-of-')}", *jobs)
    for key, value in {"shard": held, "manifest": manifest, "profiles": "{}", **notes}.items():
        execute(workspace, SQL["put_note"], {"key": key, "value": value})  # type: ignore[arg-type]
    execute(workspace, "INSERT INTO runs (started_at, pid, options, ended_at) VALUES (1, 1, '{}', 2)")
    return workspace


def problem(place: Path, *shards: Path) -> str:
    """The one line that a refused merge says; nothing is at its place then."""
    with pytest.raises(UsageError) as told:
        merged(place, *shards)
    assert not place.exists()
    assert "\n" not in str(told.value)
    return str(told.value)


def fill(workspace: Path, number: int) -> None:
    """A row in every table that is copied, with another value in each of its columns."""
    words: dict[str, dict[str, object]] = {
        "state": {"jobs": "failed", "outputs": "bad"},
        "outcome": {"attempts": "failed"},
        "key": {"jobs": 1},
        "id": {"attempts": 3, "outputs": 5, "runs": 1, "jobs": f"job {number}"},
        "job": dict.fromkeys(COPIED, 1),
        "attempt": dict.fromkeys(COPIED, 3),
        "round": dict.fromkeys(COPIED, 7),
        "listed": {"jobs": 1},
        "counted": {"outputs": 1, "attempts": 1},
        "superseded": {"outputs": 0},
        "spool": {"outputs": "images/.incoming/a3-0"},
        "path": {"outputs": "images/here.png"},
        "store": {"outputs": 1},
        "cost": {"attempts": None},
    }
    with closing(sqlite3.connect(workspace / "ledger.db")) as db, db:
        for table in ("jobs", *sorted(COPIED - {"jobs"})):
            columns = [(name, kind) for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})")]
            values = [
                words.get(name, {}).get(table, f"{table}.{name} {number}" if kind == "TEXT" else 10 * place + number)
                for place, (name, kind) in enumerate(columns, 1)
            ]
            marks = ",".join("?" * len(columns))
            db.execute(f"INSERT INTO {table} ({','.join(name for name, _ in columns)}) VALUES ({marks})", values)
        db.execute("UPDATE attempts SET cost = 0.5")
        db.execute("INSERT INTO stores (id, address) VALUES (1, ?)", (f"s3://bucket/{number}",))


def test_every_column_of_every_table_is_carried_over_with_its_keys_shifted(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2"), shard(tmp_path, "2/2")
    for number, workspace in enumerate((one, two), 1):
        execute(workspace, "DELETE FROM runs")
        fill(workspace, number)
    merged(tmp_path / "all", one, two)
    tables = {name for (name,) in rows(one, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == COPIED | MADE_ANEW | LEFT, "say in queries/merging.sql and here what becomes of a new table"
    shifted = {"attempts": {"id": 3, "job": 1}, "outputs": {"id": 5, "job": 1, "attempt": 3, "store": 1}}
    shifted |= {"jobs": {"key": 1}, "rounds": {"job": 1}, "replies": {"attempt": 3}, "runs": {"id": 1}}
    for table in COPIED:
        names = [name for _, name, *_ in rows(one, f"PRAGMA table_info({table})")]
        assert all(None not in row for row in rows(one, f"SELECT * FROM {table}"))
        expected = []
        for number, workspace in enumerate((one, two)):
            for row in rows(workspace, f"SELECT * FROM {table}"):
                told = dict(zip(names, row, strict=True))
                for name, step in shifted.get(table, {}).items():
                    told[name] += number * step  # type: ignore[operator]
                if table == "outputs":
                    told["spool"] = f"images/.incoming/m{number + 1}-a3-0"
                expected.append(tuple(told.values()))
        assert sorted(rows(tmp_path / "all", f"SELECT * FROM {table}"), key=repr) == sorted(expected, key=repr), table


def test_the_whole_stands_as_one_run_would_have_left_it_and_the_shards_as_they_were(tmp_path: Path) -> None:
    jobs = [Made(id=f"j{n}", colours=("red", "blue"), cost=0.5) for n in range(4)]
    refused = Made(id="no", error=Refused("no"), state=JobState.REFUSED)
    one = shard(tmp_path, "1/2", *jobs[:2], refused)
    two = shard(tmp_path, "2/2", *jobs[2:], Made(id="later", state=JobState.PENDING))
    before = [rows(each, "SELECT * FROM jobs") for each in (one, two)]
    done = merged(tmp_path / "all", two, one)
    assert {state: n for state, n in done.jobs.items() if n} == {"done": 4, "refused": 1, "pending": 1}
    assert (done.images, done.copied, done.lost, done.remarks) == (8, 0, (), ())
    image = tmp_path / "all/images/j0.png"
    assert os.path.samefile(image, one / "images/j0.png")
    assert [rows(each, "SELECT * FROM jobs") for each in (one, two)] == before
    assert rows(tmp_path / "all", "SELECT n FROM tally WHERE subject = 'cost'") == [(2.0,)]
    assert rows(tmp_path / "all", "SELECT value FROM notes WHERE key = 'shard'") == [("",)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "shard-1-of-2", "shard-2-of-2"]


def test_a_merged_workspace_is_verified_clean_and_can_be_run(tmp_path: Path) -> None:
    one = shard(tmp_path, "1/2", Made(id="a"))
    two = shard(tmp_path, "2/2", Made(id="b"), Made(id="c", state=JobState.PENDING))
    (one / "images/a.png.json").write_text(json.dumps({"sha256": "x"}))
    merged(tmp_path / "all", one, two)
    assert (tmp_path / "all/images/a.png.json").is_file()
    (tmp_path / "all/images/a.png.json").unlink()

    async def look() -> None:
        async with Reader.open(tmp_path / "all") as reader:
            assert (await compare_files(tmp_path / "all", reader.files())).clean
        async with Ledger.open(tmp_path / "all", now=clock) as ledger:
            assert await start(ledger, "c") == 3  # after the attempts of both
            assert await ledger.check() == []

    asyncio.run(look())


def test_an_answer_that_the_ledger_had_not_yet_goes_along_under_its_new_number(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2", Made(id="a")), shard(tmp_path, "2/2")

    async def begin() -> int:
        async with Ledger.open(two, now=clock) as ledger:
            await ledger.sync(entries("b"))
            return await start(ledger, "b")

    attempt = asyncio.run(begin())
    spool = two / "images/.incoming/a1-0"
    spool.parent.mkdir(exist_ok=True)
    spool.write_bytes(b"picture")
    AnswerLog(two).add(attempt, Generated(images=(RemoteImage(url=None, spool="images/.incoming/a1-0"),)))
    merged(tmp_path / "all", one, two)
    (image,) = noted_answers(tmp_path / "all", {2})[2].images
    assert image.spool is not None
    assert (tmp_path / "all" / image.spool).read_bytes() == b"picture"


def test_a_verified_image_that_waits_for_its_object_store_goes_along_under_its_new_number(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2", Made(id="a")), shard(tmp_path, "2/2", Made(id="b"))
    (two / "images/.incoming").mkdir(exist_ok=True)
    (two / "images/.incoming/o1.whole").write_bytes(b"verified")
    merged(tmp_path / "all", one, two)
    assert (tmp_path / "all/images/.incoming/o2.whole").read_bytes() == b"verified"


def test_an_image_in_an_object_store_stays_there_and_its_address_is_kept(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2", Made(id="a")), shard(tmp_path, "2/2", Made(id="b"))
    execute(one, "INSERT INTO stores (id, address) VALUES (1, 's3://other/place')")
    execute(two, "INSERT INTO stores (id, address) VALUES (1, 's3://bucket/night')")
    execute(two, "UPDATE outputs SET store = 1")
    done = merged(tmp_path / "all", one, two)
    assert (done.images, done.lost) == (1, ())
    found = rows(tmp_path / "all", "SELECT o.path, s.address FROM outputs AS o LEFT JOIN stores AS s ON s.id = o.store")
    assert found == [("images/a.png", None), ("images/b.png", "s3://bucket/night")]


def test_files_of_one_name_and_other_bytes_both_stay(tmp_path: Path) -> None:
    one = shard(tmp_path, "1/2", Made(id="a", path="same", colours=("red",)))
    two = shard(tmp_path, "2/2", Made(id="b", path="same", colours=("blue",)), Made(id="c", colours=("blue",)))
    merged(tmp_path / "all", one, two)
    names = rows(tmp_path / "all", "SELECT j.id, o.path FROM outputs AS o JOIN jobs AS j ON j.key = o.job ORDER BY 1")
    assert names == [("a", "images/same.png"), ("b", "images/same~x2.png"), ("c", "images/c.png")]
    assert (tmp_path / "all/images/same~x2.png").read_bytes() == (two / "images/same.png").read_bytes()


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no second file system to merge to")
def test_where_files_cannot_be_linked_they_are_copied(tmp_path: Path) -> None:
    one = shard(tmp_path, "1/1", Made(id="a"))
    with TemporaryDirectory(dir=MEMORY) as elsewhere:
        if os.stat(elsewhere).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("no second file system to merge to")
        done = merged(Path(elsewhere) / "all", one)
        assert (done.images, done.copied) == (1, 1)
        assert (Path(elsewhere) / "all/images/a.png").read_bytes() == (one / "images/a.png").read_bytes()


def test_an_image_that_is_not_on_disk_is_named_and_the_rest_is_merged(tmp_path: Path) -> None:
    one = shard(tmp_path, "1/1", Made(id="a"), Made(id="b"))
    (one / "images/a.png").unlink()
    done = merged(tmp_path / "all", one)
    assert done.lost == (str(one / "images/a.png"),)
    assert done.images == 1


def test_a_path_that_leads_out_of_the_workspace_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    one = shard(tmp_path, "1/1", Made(id="a"))
    execute(one, "UPDATE outputs SET path = '../secret.png'")
    assert merged(tmp_path / "place/all", one).images == 0
    assert not (tmp_path / "place/secret.png").exists()


def test_what_a_killed_merge_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    one = shard(tmp_path, "1/1", Made(id="a"))
    left = tmp_path / ".all.part/whole/images"
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"half")
    merged(tmp_path / "all", one)
    assert [path.name for path in (tmp_path / "all/images").iterdir() if not path.name.startswith(".")] == ["a.png"]
    assert not (tmp_path / ".all.part").exists()


def test_some_of_the_shards_make_a_workspace_that_can_be_merged_again(tmp_path: Path) -> None:
    parts = [shard(tmp_path, f"{n}/3", Made(id=f"j{n}")) for n in (1, 2, 3)]
    some = merged(tmp_path / "some", parts[0], parts[2])
    assert some.held.missing == (2,)
    assert some.remarks[0].startswith("shard 2/3 is not in it")
    assert rows(tmp_path / "some", "SELECT value FROM notes WHERE key = 'shard'") == [("1,3/3",)]
    whole = merged(tmp_path / "all", parts[1], tmp_path / "some")
    assert (whole.held.missing, whole.images) == ((), 3)


def test_runs_follow_each_other_by_time_and_a_killed_one_has_an_end(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2"), shard(tmp_path, "2/2")
    execute(one, "UPDATE runs SET started_at = 50, ended_at = NULL, pid = ?", (os.getpid(),))
    execute(two, "UPDATE runs SET started_at = 40, ended_at = 60, reason = 'why'")
    merged(tmp_path / "all", one, two)
    found = rows(tmp_path / "all", "SELECT started_at, ended_at, reason FROM runs ORDER BY id")
    assert found == [(40, 60, "why"), (50, 50, "it was killed")]


def test_a_job_that_changed_shards_is_taken_from_the_one_that_sent_it(tmp_path: Path) -> None:
    pending = Made(id="moved", state=JobState.PENDING)
    one, two = shard(tmp_path, "1/2", pending), shard(tmp_path, "2/2", Made(id="moved"))
    execute(one, "INSERT INTO rounds (job, round, fingerprint) SELECT key, 1, 'an earlier wording' FROM jobs")
    for number, order in enumerate(((one, two), (two, one))):
        place = tmp_path / f"all{number}"
        done = merged(place, *order)
        assert {state: n for state, n in done.jobs.items() if n} == {"done": 1}
        assert rows(place, "SELECT count(*) FROM rounds") == [(0,)]


def test_what_does_not_belong_together_is_told_in_one_line_each(tmp_path: Path) -> None:
    place, one = tmp_path / "all", shard(tmp_path, "1/2", Made(id="a"))
    two = shard(tmp_path, "2/2", Made(id="b"))
    assert problem(place, one, tmp_path / "gone").endswith("gone is no workspace: there is no ledger.db in it")
    assert problem(place, one, finished(tmp_path / "whole", Made(id="w"))).endswith(
        "whole holds a whole batch: only workspaces made with --shard are merged"
    )
    assert "shard 1/2 is in" in problem(place, one, one)
    assert "is of 2 shards" in problem(place, one, shard(tmp_path, "2/3"))
    other = shard(tmp_path / "other", "2/2", manifest="other.yaml")
    assert "was made by big.yaml and" in problem(place, one, other)
    rehearsed = shard(tmp_path / "night", "2/2", rehearsal="ordinary")
    assert "night/shard-2-of-2 is a rehearsal and" in problem(place, one, rehearsed)
    both = shard(tmp_path / "both", "2/2", Made(id="a"))
    assert "have both sent 'a'" in problem(place, one, both)
    place.mkdir()
    (place / "mine").touch()
    with pytest.raises(UsageError, match="is there already: give another DEST"):
        merged(place, one, two)
    with pytest.raises(UsageError, match="belongs to the workspace"):
        merged(two / "images/all", one, two)


def test_a_manifest_of_the_same_text_under_another_name_is_the_same_one(tmp_path: Path) -> None:
    same = json.dumps({"text": "abc"})
    one = shard(tmp_path, "1/2", reading=same)
    two = shard(tmp_path, "2/2", manifest="copy.yaml", reading=same)
    assert merged(tmp_path / "all", one, two).remarks == ()
    newer = shard(tmp_path / "newer", "2/2", reading=json.dumps({"text": "def"}))
    (remark,) = merged(tmp_path / "changed", one, newer).remarks
    assert remark.startswith("big.yaml was changed between the shards' runs")


def test_a_shard_that_runs_or_is_of_another_version_is_told(tmp_path: Path) -> None:
    one, two = shard(tmp_path, "1/2"), shard(tmp_path, "2/2")
    with hold(two), pytest.raises(WorkspaceError, match="is in use by another run"):
        merged(tmp_path / "all", one, two)
    execute(two, "PRAGMA user_version = 7")
    with pytest.raises(WorkspaceError, match=r"shard-2-of-2: ledger.db was written by an older batchgen \(schema 7\)"):
        merged(tmp_path / "all", one, two)
    execute(two, "PRAGMA user_version = 700")
    with pytest.raises(WorkspaceError, match=r"shard-2-of-2: ledger.db was written by a newer batchgen"):
        merged(tmp_path / "all", one, two)
    shutil.copy(tmp_path / "shard-1-of-2/ledger.db", tmp_path / "x")
    (two / "ledger.db").write_bytes(b"no database, but long enough to be looked at as one" * 40)
    with pytest.raises(WorkspaceError, match="is not a ledger"):
        merged(tmp_path / "all", one, two)
    assert not (tmp_path / "all").exists()
