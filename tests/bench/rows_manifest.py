"""Rows about reading a manifest: ten thousand YAML jobs, and a matrix of a million combinations."""

from __future__ import annotations

import json
import sys

from tests.bench.measure import Cost, run
from tests.bench.product import Bench, Figure, batchgen

_HEAD = "provider: simulator\n"
_EXPAND = """
import json, sys, time
from batchgen.manifest.schema import MatrixSection
from batchgen.manifest.variants import Variants
from batchgen.model import Job
side, make = int(sys.argv[1]), int(sys.argv[2])
values = [f"value {number}" for number in range(side)]
axes = MatrixSection.model_validate({"a": values, "b": values, "c": values}).axes()
job = Job(id="x", prompt="{a} and {b} and {c}", provider=("p",), model="m")
start = time.perf_counter()
variants = Variants(job, axes)
count, counted = variants.count, time.perf_counter() - start
for made, variant in enumerate(variants, 1):
    if made == make:
        break
print(json.dumps({"count": count, "seconds": counted}))
"""


def _share(cost: Cost) -> str:
    """How much of the wall time was ours, for a machine that others use too."""
    return f"{cost.cpu:.1f} s of the processor"


def yaml_jobs(bench: Bench) -> list[Figure]:
    """A list of 10,000 jobs in YAML: `plan` reads, checks and locates them all."""
    jobs, row = bench.jobs(10_000), f"YAML list of {bench.jobs(10_000):,} jobs"
    one = "  - id: job-{}\n    prompt: picture {} of a grey cat on a red roof\n    ratio: 3:2\n    meta: {{take: 1}}\n"
    with bench.folder() as folder:
        text = "".join(one.format(number, number) for number in range(jobs))
        (folder / "m.yaml").write_text(f"{_HEAD}jobs:\n{text}")
        (folder / "wrong.yaml").write_text(f"{_HEAD}jobs:\n{text.replace('ratio: 3:2', 'ratio: 3x2')}")
        right = batchgen(folder, "plan", "m.yaml")
        wrong = batchgen(folder, "plan", "wrong.yaml", codes=(2,))
    return [
        Figure(row, "plan", right.wall, "s", 3, note=_share(right)),
        Figure(row, "plan, every job with a mistake", wrong.wall, "s", 3, note=_share(wrong)),
        Figure(row, "peak memory", right.rss, "MB"),
    ]


def matrix(bench: Bench) -> list[Figure]:
    """100 x 100 x 100 values (scaled: fewer of them are made): counted, made, and planned."""
    jobs = bench.jobs(1_000_000)
    with bench.folder() as folder:
        few, many = (
            run([sys.executable, "-c", _EXPAND, "100", str(made)], folder=folder) for made in (1_000, jobs)
        )
        side = round(jobs ** (1 / 3))
        values = ", ".join(str(number) for number in range(side))
        (folder / "m.yaml").write_text(
            f"{_HEAD}matrix: {{a: [{values}], b: [{values}], c: [{values}]}}\n"
            "jobs: [{id: x, prompt: '{a} and {b} and {c}'}]\n"
        )
        plan = batchgen(folder, "plan", "m.yaml")
    counted = json.loads(many.out)
    assert counted["count"] == 1_000_000, counted
    row = f"matrix, {jobs:,} made of 1,000,000"
    return [
        Figure(row, "counted in", counted["seconds"] * 1000, "ms", 10, note="before any is made"),
        Figure(row, "memory beside 1,000 made", many.rss - few.rss, "MB", 2),
        Figure(row, "processor time to make one", (many.cpu - few.cpu) / (jobs - 1_000) * 1e6, "us"),
        Figure(f"matrix of {side**3:,}", "plan", plan.wall, "s", note=f"id, fingerprint and checks; {_share(plan)}"),
        Figure(f"matrix of {side**3:,}", "plan, peak memory", plan.rss, "MB", 150, note="a hash of each id is kept"),
    ]
