"""Rows about what is made of a finished batch: datasets beside `cp` and `tar` of the same files, and the report."""

from __future__ import annotations

from tests.bench.measure import run
from tests.bench.product import Bench, Figure, batchgen, median, run_manifest, states, write_manifest


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
