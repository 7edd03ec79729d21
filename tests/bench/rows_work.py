"""Rows about work: what a job costs in processor time, in files and in memory, beside the bare loop and curl."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.measure import CPUS, Cost, run
from tests.bench.product import Bench, Figure, batchgen, floor, median, run_manifest, states, write_manifest

CARE = "aiohttp and a thread to decode, hash and sync each file; no ledger, retry or checks"


def _startup(bench: Bench) -> Cost:
    """What a run of one job costs: start of Python, imports, ledger, and the end."""
    with bench.folder() as folder:
        write_manifest(folder, 1, bench.server.http)
        bench.server.setup(delay=0.0)
        return run_manifest(folder)


def saturated(bench: Bench) -> list[Figure]:
    """Full jobs as fast as they go: POST, three durable facts, a 97 KB download, decoding, SHA-256."""
    row, jobs = "full jobs", bench.jobs(3000)
    rate, cpu, ratio = [], [], []
    start = _startup(bench)
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            write_manifest(folder, jobs, bench.server.http)
            bench.server.setup(delay=0.0, side=180)
            ours = run_manifest(folder, "--concurrency", "64")
            assert states(folder) == {"done": jobs}, states(folder)
            bench.server.setup(delay=0.0, side=180)
            theirs = floor(folder, bench.server.http, jobs, 64, save="plain")
        rate.append(jobs / (ours.wall - start.wall))
        cpu.append((ours.cpu - start.cpu) / jobs * 1000)
        ratio.append(ours.cpu / theirs.cpu)
    note = f"{jobs} jobs at 64 in flight, one processor; a run of one job takes {start.wall:.2f} s and is taken off"
    return [
        Figure(row, "jobs a second", median(rate), "/s", 550, most=False, note=note),
        Figure(row, "processor time a job", median(cpu), "ms", 1.8),
        Figure(row, "processor time, of the bare loop's", median(ratio), "x", note="which decodes nothing"),
    ]


def posts(bench: Bench) -> list[Figure]:
    """Requests and ledger only, beside the bare loop."""
    row, jobs = "requests only", bench.jobs(5000)
    rate, cpu, ratio = [], [], []
    start = _startup(bench)
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            write_manifest(folder, jobs, bench.server.http)
            bench.server.setup(delay=0.0)
            ours = run_manifest(folder, "--no-download", "--concurrency", "64")
            theirs = floor(folder, bench.server.http, jobs, 64)
        rate.append(jobs / (ours.wall - start.wall))
        cpu.append((ours.cpu - start.cpu) / jobs * 1000)
        ratio.append(ours.wall / theirs.wall)
    return [
        Figure(row, "jobs a second", median(rate), "/s", note=f"{jobs} jobs at 64 in flight, one processor"),
        Figure(row, "processor time a job", median(cpu), "ms"),
        Figure(row, "wall time, of the bare loop's", median(ratio), "x", note="whole processes"),
    ]


def inline(bench: Bench) -> list[Figure]:
    """Replies of 2 MB in base64 at 16 in flight, to disk with SHA-256; every processor may be used."""
    row, jobs = "base64 replies", bench.jobs(600)
    rate, memory, ratio, durable = [], [], [], []
    start = _startup(bench)
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            write_manifest(folder, jobs, bench.server.http)
            bench.server.setup(delay=0.0, side=720, inline=True)
            ours = run_manifest(folder, "--concurrency", "16", cpus=set(CPUS))
            assert states(folder) == {"done": jobs}, states(folder)
            theirs = floor(folder, bench.server.http, jobs, 16, save="plain", cpus=set(CPUS))
            (folder / "floor").rename(folder / "plain")
            same = floor(folder, bench.server.http, jobs, 16, save="durable", cpus=set(CPUS))
        durable.append(ours.wall / same.wall)
        rate.append(jobs / (ours.wall - start.wall))
        memory.append(ours.rss)
        ratio.append(ours.wall / theirs.wall)
    note = f"{jobs} replies of 2 MB, pictures of 720x720 noise, decoded whole"
    return [
        Figure(row, "images a second", median(rate), "/s", 110, most=False, note=note),
        Figure(row, "peak memory", median(memory), "MB", 250),
        Figure(
            row, "wall time, of the bare loop's", median(ratio), "x", note="which decodes no picture, syncs nothing"
        ),
        Figure(row, "wall time, of a loop as careful", median(durable), "x", note=CARE),
    ]


def downloads(bench: Bench) -> list[Figure]:
    """Only downloads: `batchgen fetch` beside `curl --parallel`, 97 KB each and 1 MB each, 16 at once."""
    row, jobs = "downloads", bench.jobs(2000)
    ratio, rate = [], []
    for _ in range(bench.repeats):
        ours, theirs, _ = _fetched(bench, jobs, 180)
        ratio.append(ours.wall / theirs.wall)
        rate.append(jobs / ours.wall)
    return [
        Figure(row, "files a second", median(rate), "/s", note=f"{jobs} files, whole process, one processor"),
        Figure(row, "wall time, of curl's", median(ratio), "x", note="curl neither decodes, nor hashes, nor syncs"),
        *_large(bench),
    ]


def _large(bench: Bench) -> list[Figure]:
    row, jobs = "downloads of 1 MB", bench.jobs(256)
    speed, share, durable, cpu, same, bare = [], [], [], [], [], []
    for _ in range(bench.repeats):
        start, _, _ = _fetched(bench, 1, 590)
        ours, theirs, synced = _fetched(bench, jobs, 590, cpus=set(CPUS))
        seconds, size = ours.wall - start.wall, 590 * 590 * 3 / 1e6
        speed.append(jobs * size / seconds)
        share.append(theirs.wall / seconds)
        durable.append(synced / seconds)
        cpu.append((ours.cpu - start.cpu) / jobs * 1000)
        careful = _careful(bench, jobs) - _careful(bench, 1)
        same.append(careful / seconds)
        bare.append(theirs.wall / careful)
    note = f"{jobs} files, every processor; a fetch of one file is taken off"
    return [
        Figure(row, "to disk", median(speed), "MB/s", note=note),
        Figure(row, "speed, of curl's", median(share), "x", 0.5, most=False),
        Figure(row, "speed, of curl and a sync of each file", median(durable), "x"),
        Figure(row, "speed, of a loop as careful", median(same), "x", note=CARE),
        Figure(row, "speed of that loop, of curl's", median(bare), "x", note="what is to be had here"),
        Figure(row, "processor time a file", median(cpu), "ms"),
    ]


def _careful(bench: Bench, jobs: int) -> float:
    """The seconds in which the shortest program does what `fetch` promises of each file, a request for its link too."""
    with bench.folder() as folder:
        bench.server.setup(delay=0.0, side=590)
        return floor(folder, bench.server.http, jobs, 16, save="durable", cpus=set(CPUS)).wall


def _fetched(bench: Bench, jobs: int, side: int, cpus: set[int] | None = None) -> tuple[Cost, Cost, float]:
    """What `fetch` and curl cost, and the seconds that curl takes together with a sync of its files."""
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=0.0, side=side)
        run_manifest(folder, "--no-download", "--concurrency", "64")
        ours = batchgen(folder, "fetch", "out/m", "--concurrency", "16", cpus=cpus)
        assert states(folder) == {"done": jobs}, states(folder)
        root = bench.server.http.removesuffix("/v1")
        words = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "16", "--create-dirs"]
        theirs = run([*words, "-o", "curl/#1.png", f"{root}/img/[1-{jobs}].png"], folder=folder, cpus=cpus)
        began = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_sync, (folder / "curl").iterdir()))
        return ours, theirs, theirs.wall + time.perf_counter() - began


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
