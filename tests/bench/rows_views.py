"""Rows about what is made of a batch: datasets beside `cp` and `tar` of the same files, the report, the live page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.acceptance.browser.chromium import require
from tests.bench.measure import CLIENT, ROOT, SERVER, run
from tests.bench.product import Bench, Figure, batchgen, median, run_manifest, states, write_manifest

WORDS = ("heron", "take 99,990 of", "what nobody asked for")
IDLE = 20.0
"""Seconds that a page is open and nobody does anything."""


def views(bench: Bench) -> list[Figure]:
    """Exports of 2,000 pictures of 97 KB, each hashed on the way, and a report whose small pictures are all to make."""
    jobs = bench.jobs(2000)
    floors = {"imagefolder": ["cp", "-r", "out/m/images", "copy"], "webdataset": ["tar", "cf", "t.tar", "out/m/images"]}
    ratios: dict[str, list[float]] = {format: [] for format in floors}
    rates: dict[str, list[float]] = {format: [] for format in floors}
    pages: list[float] = []
    memory: list[float] = []
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            write_manifest(folder, jobs, bench.server.http)
            bench.server.setup(delay=0.0, side=180)
            run_manifest(folder, "--concurrency", "64")
            assert states(folder) == {"done": jobs}, states(folder)
            for format, words in floors.items():
                theirs = run(words, folder=folder)
                ours = batchgen(folder, "export", "out/m", format, "--format", format)
                ratios[format].append(ours.wall / theirs.wall)
                rates[format].append(jobs / ours.wall)
                memory.append(ours.rss)
            pages.append(jobs / batchgen(folder, "report", "out/m").wall)
    found = []
    for format, words in floors.items():
        note = f"{jobs} pictures, whole processes, one processor"
        found.append(Figure(format, "pictures a second", median(rates[format]), "/s", note=note))
        what = f"wall time, of {words[0]}'s"
        found.append(Figure(format, what, median(ratios[format]), "x", note="which hashes nothing"))
    note = "decoded, shrunk and put into the page"
    return [
        *found,
        Figure("export", "peak memory", max(memory), "MB", 80),
        Figure("report", "pictures a second", median(pages), "/s", note=note),
    ]


def page(bench: Bench) -> list[Figure]:
    """The live page of 100,000 pictures in a real browser, and the report of 5,000."""
    require()
    jobs, fewer = bench.jobs(100_000), bench.jobs(5_000)
    row, less = f"live page of {jobs:,}", f"report of {fewer:,}"
    with bench.folder() as folder:
        for name, count in (("night", jobs), ("evening", fewer)):
            run([sys.executable, "-m", "tests.bench.gallery", name, str(count)], folder=folder)
        with _served(folder / "night") as server:
            browsed = run([sys.executable, "-m", "tests.bench.browse", server.address], folder=folder, cpus=SERVER)
            seen = json.loads(browsed.out)
            deep = server.seconds(f"jobs?after={jobs - 99}.{jobs - 99}")
            asked = max(server.seconds(f"jobs?words={quote(words)}") for words in WORDS)
            with urllib.request.urlopen(f"{server.address}news", timeout=60):
                before = server.cpu()
                time.sleep(IDLE)
                idle = (server.cpu() - before) / IDLE
            memory = server.peak()
        report = batchgen(folder, "report", "evening", "--group-by", "model,ratio")
        small = (folder / "evening/report.html").stat().st_size / 1e6
        sheet = batchgen(folder, "report", "evening")
        whole = folder / "evening/report.html"
        size = (whole.stat().st_size + sum(one.stat().st_size for one in whole.with_suffix("").glob("*"))) / 1e6
    note = f"{seen['scrolled']} cards scrolled, their small copies made, filters, a page near the end"
    return [
        Figure(row, "first paint", seen["paint"], "s", 1, note="a fresh window of chromium, median of 7"),
        Figure(row, "slowest filter on prompts", asked, "s", 0.3, note="words of many, of one of the last, of none"),
        Figure(row, "a page near the end", deep, "s", 0.3),
        Figure(row, "server, peak memory", memory, "MB", 150, note=note),
        Figure(row, "server, processor, one page open", 100 * idle, "%", 1, note="nobody does anything"),
        Figure(less, "model by ratio", report.cpu, "s", note=f"processor time, {small:.1f} MB, 96 copies to make"),
        Figure(less, "every picture", sheet.cpu, "s", note=f"processor time, {size:.0f} MB, the other copies to make"),
        Figure(less, "peak memory", max(report.rss, sheet.rss), "MB", 150),
    ]


class _Served:
    """`batchgen serve` as a process on the first processor."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.address = address
        self._proc = Path(f"/proc/{process.pid}")

    def seconds(self, path: str) -> float:
        """Until the whole answer is here, the median of nine times."""
        took = []
        for _ in range(9):
            begun = time.perf_counter()
            with urllib.request.urlopen(self.address + path, timeout=60) as reply:
                reply.read()
            took.append(time.perf_counter() - begun)
        return median(took)

    def cpu(self) -> float:
        """Seconds of processor so far."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """MB, at most so far."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@contextmanager
def _served(workspace: Path) -> Iterator[_Served]:
    words = ["taskset", "-c", ",".join(map(str, CLIENT)), sys.executable, "-m", "batchgen", "serve"]
    process = subprocess.Popen(
        [*words, str(workspace), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield _Served(process, process.stdout.readline().strip())
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
