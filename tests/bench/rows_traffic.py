"""Rows about traffic: how well a limit is used, and how many requests are held at once.

Everything is judged by what the server saw, beside the ideal rate or the bare loop of the same run.
"""

from __future__ import annotations

from tests.bench.product import Bench, Figure, busiest, floor, median, run_manifest, span, states, write_manifest


def stated_limit(bench: Bench) -> list[Figure]:
    """1,200 requests a minute, stated: how much of it is used, and whether it is ever passed."""
    row, per_second = "stated limit", 20.0
    jobs = bench.jobs(600)
    bench.server.setup(delay=0.3, side=32)
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http, limits="{requests_per_minute: 1200, concurrency: 64}")
        run_manifest(folder)
    arrivals = bench.server.counts()["arrivals"]
    share = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) / per_second
    note = f"{jobs} jobs, 0.3 s answers, 1,200 a minute"
    first = sum(1 for moment in arrivals if moment - arrivals[0] < 1.0)
    return [
        Figure(row, "share of the limit that is used", share * 100, "%", 97, most=False, note=note),
        Figure(row, "most in any 5 s, of what is allowed", busiest(arrivals, 5.0) / (5 * per_second) * 100, "%", 110),
        Figure(row, "in the first second, of what is allowed", first / per_second * 100, "%", 110),
    ]


def unknown_limit(bench: Bench) -> list[Figure]:
    """A gateway that takes 24 at once and says so only by refusing."""
    row, jobs = "unknown limit", bench.jobs(1200)
    bench.server.setup(delay=0.3, limit=24, side=32)
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        run_manifest(folder, "--no-download")
    counts = bench.server.counts()
    ideal = jobs / 24 * 0.3
    note = f"{jobs} jobs, 0.3 s answers, 24 at once; peak {counts['peak']}"
    return [
        Figure(row, "share of the ideal rate", ideal / span(counts) * 100, "%", 88, most=False, note=note),
        Figure(row, "requests refused", counts["refused"] / counts["posts"] * 100, "%", 2),
    ]


def with_images(bench: Bench) -> list[Figure]:
    """3,000 jobs at 256 in flight, 0.5 s answers, 3 KB pictures, beside the bare loop."""
    row, jobs = "256 in flight", bench.jobs(3000)
    speed, cpu, product, bare = [], [], [], []
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            write_manifest(folder, jobs, bench.server.http)
            bench.server.setup(delay=0.5, side=32)
            ours = run_manifest(folder, "--concurrency", "256")
            assert states(folder) == {"done": jobs}, states(folder)
            bench.server.setup(delay=0.5, side=32)
            theirs = floor(folder, bench.server.http, jobs, 256, save="plain")
        speed.append(theirs.wall / ours.wall)
        cpu.append(ours.cpu / theirs.cpu)
        product.append(ours.wall)
        bare.append(theirs.wall)
    note = f"{jobs} jobs, whole processes: {median(product):.1f} s beside {median(bare):.1f} s of bare aiohttp"
    return [
        Figure(row, "speed, of the bare loop's", median(speed), "x", 0.8, most=False, note=note),
        Figure(row, "processor time, of the bare loop's", median(cpu), "x", 5),
    ]


def thousand(bench: Bench) -> list[Figure]:
    """1,000 in flight with 2 s answers, requests and ledger only."""
    jobs = bench.jobs(4000)
    shares, memory = [], []
    for _ in range(bench.repeats):
        counts, weight = _held(bench, jobs, 1000, 2.0)
        shares.append(jobs / 1000 * 2.0 / span(counts))
        memory.append(weight)
    note = f"{jobs} jobs, no downloads, from the first request to the last answer; peak {counts['peak']}"
    return [
        Figure("1,000 in flight", "share of the ideal rate", median(shares) * 100, "%", 88, most=False, note=note),
        Figure("1,000 in flight", "memory for each", median(memory), "KB", 100),
    ]


def five_thousand(bench: Bench) -> list[Figure]:
    """5,000 held at once, 10 s answers."""
    jobs = bench.jobs(10_000)
    counts, weight = _held(bench, jobs, 5000, 10.0)
    share = jobs / 5000 * 10.0 / span(counts)
    note = f"{jobs} jobs, 10 s answers, no downloads"
    return [
        Figure("5,000 in flight", "most held at once", counts["peak"], "", 4990, most=False, note=note),
        Figure("5,000 in flight", "memory for each", weight, "KB", 100),
        Figure("5,000 in flight", "share of the ideal rate", share * 100, "%"),
    ]


def _held(bench: Bench, jobs: int, at_once: int, delay: float) -> tuple[dict[str, float], float]:
    """Counts of the server, and KB of memory for each request in flight beyond what 16 in flight take."""
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=0.0)
        few = run_manifest(folder, "--no-download", "--limit", "500", "--concurrency", "16", codes=(3,))
    with bench.folder() as folder:
        write_manifest(folder, jobs, bench.server.http)
        bench.server.setup(delay=delay)
        many = run_manifest(folder, "--no-download", "--concurrency", str(at_once))
    return bench.server.counts(), (many.rss - few.rss) * 1024 / at_once
