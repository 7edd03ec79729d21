"""The product as the bench runs it: a manifest over a CSV, `batchgen run` in a process of its own."""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.bench.measure import Cost, Server, emptied, run

KEY = {"BENCH_KEY": "sk-bench"}

Save: TypeAlias = Literal["plain", "durable"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: a measured value against its target. `most`: the target is an upper bound.

    `target` None is told for what it is worth; `unit` follows the value; `note` says beside what it was measured.
    """

    row: str
    what: str
    value: float
    unit: str
    target: float | None = None
    most: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `MISSED`, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "ok" if (self.value <= self.target if self.most else self.value >= self.target) else "MISSED"


@dataclass(slots=True)
class Bench:
    """The server, a scratch folder, and what the command line asked for."""

    server: Server
    scratch: Path
    scale: float
    repeats: int
    peers: Path | None
    cookbook: Path | None
    before: str | None = None

    def jobs(self, number: int) -> int:
        """That many jobs, scaled."""
        return max(10, int(number * self.scale))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A fresh folder; its files are empty afterwards, and gone with the bench."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            yield folder
        finally:
            emptied(folder)


def write_manifest(folder: Path, jobs: int, url: str, endpoint: str = "images", limits: str = "{}") -> None:
    """`m.yaml` and `jobs.csv` of so many prompts, every one for the server."""
    with (folder / "jobs.csv").open("w") as file:
        file.write("id,prompt\n")
        file.writelines(
            f"j{number:07},picture {number} of a grey cat on a red roof at dusk\n" for number in range(jobs)
        )
    provider = f"{{base_url: '{url}', endpoint: {endpoint}, api_key_env: BENCH_KEY, limits: {limits}}}"
    (folder / "m.yaml").write_text(
        f"provider: bench\nproviders:\n  bench: {provider}\ndefaults: {{model: m}}\njobs: jobs.csv\n"
    )


def batchgen(
    folder: Path,
    *words: str,
    codes: tuple[int, ...] = (0,),
    cpus: set[int] | None = None,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """One command of the product, as a whole process."""
    whole = [sys.executable, "-m", "batchgen", *words]
    return run(whole, folder=folder, env={**KEY, **(env or {})}, codes=codes, cpus=cpus)


def run_manifest(
    folder: Path,
    *words: str,
    codes: tuple[int, ...] = (0,),
    cpus: set[int] | None = None,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """`batchgen run m.yaml --quiet`."""
    return batchgen(folder, "run", "m.yaml", "--quiet", *words, codes=codes, cpus=cpus, env=env)


def floor(
    folder: Path, url: str, jobs: int, at_once: int, *, save: Save | None = None, cpus: set[int] | None = None
) -> Cost:
    """The bare aiohttp loop over as many jobs; its files, `durable` ones decoded and synced, in a folder below."""
    words = [sys.executable, "-m", "tests.bench.floors", "loop", "--url", url]
    words += ["--jobs", str(jobs), "--at-once", str(at_once)]
    if save is not None:
        (folder / "floor").mkdir(exist_ok=True)
        words += ["--folder", str(folder / "floor"), *(["--durable"] if save == "durable" else [])]
    return run(words, folder=folder, cpus=cpus)


def states(folder: Path) -> dict[str, int]:
    """Jobs by state, out of the ledger."""
    with closing(sqlite3.connect(folder / "out/m/ledger.db")) as db:
        return dict(db.execute("SELECT state, count(*) FROM jobs GROUP BY state"))


def span(counts: dict[str, Any]) -> float:
    """Seconds from the first request to the last answer, as the server saw them."""
    return float(counts["last_answer"]) - float(counts["arrivals"][0])


def busiest(arrivals: Sequence[float], seconds: float) -> int:
    """The most arrivals in any window of that length."""
    first = most = 0
    for last, moment in enumerate(arrivals):
        while moment - arrivals[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def as_json(figures: Sequence[Figure], machine: dict[str, Any]) -> str:
    """Everything that was measured, for a file."""
    lines = [
        {
            "row": one.row,
            "what": one.what,
            "value": round(one.value, 4),
            "unit": one.unit,
            "target": one.target,
            "bound": None if one.target is None else "at most" if one.most else "at least",
            "verdict": one.verdict or None,
            "note": one.note,
        }
        for one in figures
    ]
    return json.dumps({"machine": machine, "figures": lines}, indent=1)
