"""Rows about size: a manifest of a million rows, its status, and a batch that has nothing left to do."""

from __future__ import annotations

import csv
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.bench.measure import Cost, run
from tests.bench.product import Bench, Figure, batchgen, median, run_manifest, states, write_manifest


def million(bench: Bench) -> list[Figure]:
    """A CSV of 1,000,000 rows: until the first request, the first time and on resume; then `status`."""
    rows, row = bench.jobs(1_000_000), f"CSV of {bench.jobs(1_000_000):,} rows"
    with bench.folder() as folder:
        write_manifest(folder, rows, bench.server.http)
        bare = _bare(folder)
        (first, fresh), (again, resumed) = (_until_first(bench, folder) for _ in range(2))
        status = [batchgen(folder, "status", "out/m", "--json") for _ in range(max(3, bench.repeats))]
        python = [run([sys.executable, "-c", "import sqlite3"], folder=folder) for _ in range(3)]
        size = (folder / "out/m/ledger.db").stat().st_size / 1e6
    note = f"{fresh.wall:.0f} s to the end of the run; csv and sqlite3 alone: {bare:.1f} s; ledger {size:.0f} MB"
    start = f"start of Python: {median([one.wall for one in python]):.3f} s"
    return [
        Figure(row, "first request, first time", first, "s", 20, note=note),
        Figure(row, "first request, of bare csv and sqlite3", first / bare, "x"),
        Figure(row, "first request on resume", again, "s", 3, note=f"{resumed.wall:.0f} s to the end of the run"),
        Figure(row, "peak memory", max(fresh.rss, resumed.rss), "MB", 150),
        Figure(row, "status", median([one.wall for one in status]), "s", 0.5, note=start),
    ]


def _until_first(bench: Bench, folder: Path) -> tuple[float, Cost]:
    """Seconds until the request of a run that sends one."""
    bench.server.setup(delay=0.0)
    cost = run_manifest(folder, "--no-download", "--limit", "1", "--concurrency", "1", codes=(3,))
    return bench.server.counts()["arrivals"][0] - cost.began, cost


def _bare(folder: Path) -> float:
    """Seconds to stream the CSV into a table with a unique id, durable: no check, no fingerprint."""
    start = time.perf_counter()
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
        db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE jobs (key INTEGER PRIMARY KEY, id TEXT UNIQUE, prompt TEXT); BEGIN"
        )
        with (folder / "jobs.csv").open(newline="") as file:
            lines = csv.reader(file)
            next(lines)
            db.executemany("INSERT INTO jobs (id, prompt) VALUES (?, ?)", lines)
        db.execute("COMMIT")
    return time.perf_counter() - start


def idle(bench: Bench) -> list[Figure]:
    """A finished batch of 100,000 jobs is run again: nothing is sent."""
    jobs = bench.jobs(100_000)
    row = f"finished batch of {jobs:,}"
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=0.0, side=32)
        run_manifest(folder, "--limit", "1", codes=(3,))
        run([sys.executable, "-m", "tests.bench.finish", "out/m"], folder=folder)
        assert states(folder) == {"done": jobs}, states(folder)
        bench.server.setup(delay=0.0)
        costs = [run_manifest(folder) for _ in range(max(3, bench.repeats))]
        sent = bench.server.counts()["posts"]
    note = "the ledger is filled through its own calls, with empty files"
    return [
        Figure(row, "run again", median([one.wall for one in costs]), "s", 2, note=note),
        Figure(row, "requests sent", sent, "", 0),
        Figure(row, "peak memory", max(one.rss for one in costs), "MB"),
    ]
