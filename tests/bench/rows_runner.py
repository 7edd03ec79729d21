"""Rows about the runner itself: the facts a second that it records, what a merge of shards takes, and how fast
the product is beside an earlier commit of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import ROOT, Cost, run
from tests.bench.product import Bench, Figure, batchgen, median, run_manifest, states, write_manifest

SHARDS = 4


def runner(bench: Bench) -> list[Figure]:
    """An engine that answers at once, so that nothing is left but the runner and its ledger."""
    row, jobs = "runner alone", bench.jobs(5000)
    rate, cost, size = [], [], []
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            told = _instant(folder, "out", jobs)
        rate.append(told["events"] / told["wall"])
        cost.append(told["cpu"] / told["events"] * 1e6)
        size.append(told["bytes"] / jobs)
    note = f"{jobs} jobs of 4 events, 256 at once, each event committed before the next is asked for"
    return [
        Figure(row, "events a second", median(rate), "/s", 2000, most=False, note=note),
        Figure(row, "events a second of its own processor time", 1e6 / median(cost), "/s"),
        Figure(row, "processor time an event", median(cost), "us"),
        Figure(row, "ledger a job", median(size), "B", note="with a reply of 1 KB"),
    ]


def _instant(folder: Path, name: str, jobs: int) -> dict[str, float]:
    words = [sys.executable, "-m", "tests.bench.instant", name, "--jobs", str(jobs)]
    told: dict[str, float] = json.loads(run(words, folder=folder).out)
    return told


def merge(bench: Bench) -> list[Figure]:
    """A finished batch of 100,000 jobs in four shards made one, with empty files to link."""
    jobs = bench.jobs(100_000)
    row = f"merge of {SHARDS} shards"
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=0.0, side=32)
        for number in range(1, SHARDS + 1):
            run_manifest(folder, "--shard", f"{number}/{SHARDS}", "--limit", "1", codes=(3,))
            run([sys.executable, "-m", "tests.bench.finish", f"out/m.shard-{number}-of-{SHARDS}"], folder=folder)
        shards = [f"out/m.shard-{number}-of-{SHARDS}" for number in range(1, SHARDS + 1)]
        costs = []
        for _ in range(max(1, bench.repeats)):
            shutil.rmtree(folder / "out/m", ignore_errors=True)
            costs.append(batchgen(folder, "merge", "out/m", *shards))
        assert states(folder) == {"done": jobs}, states(folder)
    note = f"{jobs:,} jobs, {jobs:,} links, one processor"
    return [
        Figure(row, "jobs a second", median([jobs / one.wall for one in costs]), "/s", note=note),
        Figure(row, "processor time a job", median([one.cpu for one in costs]) / jobs * 1e6, "us"),
        Figure(row, "peak memory", max(one.rss for one in costs), "MB", 150),
    ]


def before(bench: Bench) -> list[Figure]:
    """Full jobs by this tree and by the commit that `--before` names, in turns on the same server."""
    if bench.before is None:
        raise LookupError("--before names the commit to compare with")
    row, jobs = "beside an earlier commit", bench.jobs(2000)
    ratios = []
    with bench.folder() as folder:
        tree = folder / "before"
        words = ["git", "-C", str(ROOT), "archive", "--format=tar", "-o", str(folder / "before.tar"), bench.before]
        subprocess.run([*words, "batchgen"], check=True)
        tree.mkdir()
        shutil.unpack_archive(folder / "before.tar", tree, filter="data")
        for turn in range(2 * bench.repeats):
            order = (tree, ROOT) if turn % 2 else (ROOT, tree)
            cost = {place: _full(bench, jobs, place) for place in order}
            ratios.append(cost[tree].cpu / cost[ROOT].cpu)
    note = f"{jobs} full jobs at 64 in flight, processor time of whole processes, beside {bench.before[:12]}"
    return [Figure(row, "speed, of that commit's", median(ratios), "x", 0.95, most=False, note=note)]


def _full(bench: Bench, jobs: int, tree: Path) -> Cost:
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=0.0, side=180)
        cost = run_manifest(folder, "--concurrency", "64", env={"PYTHONPATH": str(tree)})
        assert states(folder) == {"done": jobs}, states(folder)
    return cost
