"""The whole bench: `python -m tests.bench [ROW …]` prints a table and writes JSON. See README.md.

Every figure is judged against a floor measured in the same run on the same server. Exit code 1 when a
figure misses its target.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench import (
    rows_cluster,
    rows_ledger,
    rows_manifest,
    rows_peers,
    rows_runner,
    rows_traffic,
    rows_views,
    rows_work,
)
from tests.bench.measure import CPUS, ROOT, run, serving
from tests.bench.product import Bench, Figure, as_json

ROWS: Mapping[str, Callable[[Bench], list[Figure]]] = {
    "limit": rows_traffic.stated_limit,
    "unknown": rows_traffic.unknown_limit,
    "images": rows_traffic.with_images,
    "full": rows_work.saturated,
    "posts": rows_work.posts,
    "curator": rows_peers.curator,
    "cookbook": rows_peers.cookbook,
    "thousand": rows_traffic.thousand,
    "held": rows_traffic.five_thousand,
    "inline": rows_work.inline,
    "downloads": rows_work.downloads,
    "views": rows_views.views,
    "page": rows_views.page,
    "yaml": rows_manifest.yaml_jobs,
    "matrix": rows_manifest.matrix,
    "million": rows_ledger.million,
    "idle": rows_ledger.idle,
    "runner": rows_runner.runner,
    "ray": rows_cluster.cluster,
    "merge": rows_runner.merge,
    "before": rows_runner.before,
}


def capacity(bench: Bench) -> list[Figure]:
    """What the server can do, so that nobody mistakes its limit for a client's."""
    figures = []
    for what, path, side, inline in (
        ("small replies", "POST /v1/images/generations", 180, False),
        ("97 KB files", "GET /img/1.png", 180, False),
        ("2 MB base64 replies", "POST /v1/images/generations", 720, True),
    ):
        bench.server.setup(delay=0.0, side=side, inline=inline)
        words = [sys.executable, "-m", "tests.bench.floors", "capacity", "--url", bench.server.http, "--path", path]
        rate = json.loads(run(words, folder=bench.scratch).out)
        figures.append(Figure("server", what, rate, "/s", note="a hand-written client, 64 connections"))
    return figures


def show(figure: Figure) -> None:
    """One line of the table."""
    bound = "" if figure.target is None else f"{'<=' if figure.most else '>='} {figure.target:g}"
    value = f"{figure.value:,.2f} {figure.unit}".strip()
    print(f"{figure.row:<28} {figure.what:<40} {value:>14} {bound:>8} {figure.verdict:<7} {figure.note}", flush=True)


def machine() -> dict[str, Any]:
    """Where and when."""
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": len(CPUS),
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which: {', '.join(ROWS)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every number of jobs")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of which the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    parser.add_argument("--scratch", type=Path, help="folder for workspaces, on the disk to be measured")
    parser.add_argument("--peers", type=Path, metavar="VENV", help="environment that holds curator and tiktoken")
    parser.add_argument("--cookbook", type=Path, metavar="FILE", help="the cookbook's script")
    parser.add_argument("--before", metavar="COMMIT", help="an earlier commit that full jobs are compared with")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    begun, figures = machine(), []
    # As pip does with what it installs, the peers among it.
    compileall.compile_dir(ROOT / "batchgen", quiet=2)
    if options.scale != 1:
        print("scaled: the targets are still those of the whole size", file=sys.stderr)
    # The children run in folders of their own: every path must hold there too.
    peers, book, place = (path and path.absolute() for path in (options.peers, options.cookbook, options.scratch))
    with tempfile.TemporaryDirectory(dir=place) as name, serving(Path(name)) as server:
        bench = Bench(server, Path(name), options.scale, options.repeats, peers, book, options.before)
        for row in [capacity, *(ROWS[name] for name in options.rows or ROWS)]:
            try:
                found = row(bench)
            except LookupError as missing:
                print(f"{row.__name__}: left out, {missing}", file=sys.stderr)
                continue
            figures += found
            for figure in found:
                show(figure)
    if options.json is not None:
        options.json.write_text(as_json(figures, begun) + "\n")
    return 1 if any(figure.verdict == "MISSED" for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
