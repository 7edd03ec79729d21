"""Rows about a Ray cluster of this machine: what passes through it a second, what the runner has left to do, and
what a worker holds."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from tests.bench.measure import CPUS, Cost, run
from tests.bench.product import KEY, Bench, Figure, median, states, write_manifest

RAY = ("--engine", "ray", "--workers", "2")
THERE = re.compile(r"worker-\d+ on \S+, pid (\d+) is there")
EVENTS = 3
"""Of a job at an endpoint without tasks: reply, links, file."""


def cluster(bench: Bench) -> list[Figure]:
    """Two workers of a cluster that the run starts itself, beside the engine of one process."""
    if find_spec("ray") is None:
        raise LookupError("ray is not installed")
    row, jobs = "Ray, two workers", bench.jobs(2000)
    rate, ratio, runner, whole = [], [], [], []
    begun, alone = _run(bench, 1, *RAY), _run(bench, 1)
    for _ in range(bench.repeats):
        ray, local = _run(bench, jobs, *RAY), _run(bench, jobs)
        rate.append(EVENTS * jobs / (ray.wall - begun.wall))
        ratio.append((local.wall - alone.wall) / (ray.wall - begun.wall))
        runner.append((_own(ray) - _own(begun)) / jobs * 1000)
        whole.append((_own(local) - _own(alone)) / jobs * 1000)
    note = f"{jobs} jobs of {EVENTS} events at 256 in flight, 3 KB pictures, all processors; start taken off"
    return [
        Figure(row, "events a second", median(rate), "/s", note=note),
        Figure(row, "speed, of one process's", median(ratio), "x"),
        Figure(row, "processor time a job, of the runner", median(runner), "ms"),
        Figure(row, "processor time a job, all in one process", median(whole), "ms"),
        Figure(row, "start and end", begun.wall, "s"),
        *_memory(bench, row),
    ]


def _memory(bench: Bench, row: str) -> list[Figure]:
    held = bench.jobs(1000)
    with _watched() as (folders, most):
        _run(bench, 1, *RAY, watch=folders)
    small = max(most.values())
    with _watched() as (folders, most):
        _run(bench, held, *RAY, "--no-download", at_once=held, delay=6.0, watch=folders)
    each = sum(value - small for value in most.values()) / held
    return [
        Figure(row, "memory of a worker with one job", small, "MB"),
        Figure(row, "memory for each request in flight", each * 1024, "KB", note=f"{held} at once"),
    ]


def _own(cost: Cost) -> float:
    """Processor seconds of the runner's process, without those of the others."""
    return float(cost.out.split()[-1])


def _run(
    bench: Bench, jobs: int, *words: str, at_once: int = 256, delay: float = 0.0, watch: list[Path] | None = None
) -> Cost:
    with bench.folder() as folder:
        if watch is not None:
            watch.append(folder)
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=delay, side=32)
        command = [sys.executable, "-m", "tests.bench.alone", "run", "m.yaml", "--quiet", *words]
        cost = run([*command, "--concurrency", str(at_once)], folder=folder, env=KEY, cpus=set(CPUS))
        assert states(folder) in ({"done": jobs}, {"generated": jobs}), states(folder)
    return cost


@contextmanager
def _watched() -> Iterator[tuple[list[Path], dict[int, float]]]:
    """Meanwhile: the most memory, in MB, of every worker that the logs in the folders name."""
    folders: list[Path] = []
    most: dict[int, float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            for folder in folders:
                with suppress(OSError, IndexError):  # it is not there yet, or no more
                    for pid in map(int, THERE.findall((folder / "out/m/run.log").read_text())):
                        status = Path(f"/proc/{pid}/status").read_text()
                        now = int(status.split("VmRSS:")[1].split()[0]) / 1024
                        most[pid] = max(now, most.get(pid, 0.0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield folders, most
    finally:
        over.set()
        thread.join()
