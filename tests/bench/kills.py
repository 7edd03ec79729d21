"""Kills one batch at random, again and again, and counts what that cost: `python -m tests.bench.kills`.

Half of the jobs go to a provider that names a task (tu-zi), half to one that tells nothing before its
whole answer (apiyi); both are `batchgen simulate` in a process of its own. Prints a table and JSON; the
exit code is 1 when an image was lost or paid for twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KEY = "sk-test-of-the-kill-bench"
OPEN = """
    SELECT a.idempotency_key, a.task_id IS NOT NULL OR (r.attempt IS NOT NULL AND a.http_status < 300)
    FROM attempts AS a LEFT JOIN replies AS r ON r.attempt = a.id WHERE a.outcome = 'open'
"""
STORY = """
    SELECT j.id, a.number, a.outcome, a.task_id, a.http_status, a.error_kind, a.error_message, substr(r.text, 1, 300)
    FROM attempts AS k JOIN attempts AS a ON a.job = k.job JOIN jobs AS j ON j.key = a.job
    LEFT JOIN replies AS r ON r.attempt = a.id WHERE k.idempotency_key = '{key}'
"""


class Bench:
    """One batch in one folder, one provider, and what the ledger knew at each death."""

    def __init__(self, folder: Path, url: dict[str, str], jobs: int, seed: int) -> None:
        self.folder = folder
        self.root = "/".join(url["tu-zi"].split("/")[:3])
        self.random = random.Random(seed)
        self.env = os.environ | {"PYTHONPATH": str(ROOT), "TUZI_API_KEY": KEY, "APIYI_API_KEY": KEY}
        self.seen: set[str] = set()
        self.blind: set[str] = set()
        self.early = 0
        self._write(url, jobs)

    def _write(self, url: dict[str, str], jobs: int) -> None:
        lines = [
            "providers:",
            f"  tu-zi: {{base_url: '{url['tu-zi']}', task_url: '{self.root}/tu-zi/source/{{task_id}}'}}",
            f"  apiyi: {{base_url: '{url['apiyi']}'}}",
            "jobs:",
        ]
        for number in range(jobs):
            name = ("tu-zi", "apiyi")[number % 2]
            lines.append(f"  - {{id: j{number:05}, prompt: 'picture {number}', provider: {name}}}")
        (self.folder / "m.yaml").write_text("\n".join(lines) + "\n")

    def start(self, at_once: int) -> subprocess.Popen[bytes]:
        """A run, quiet, with so many requests at once at each provider."""
        words = [sys.executable, "-m", "batchgen", "run", "m.yaml", "--quiet", "--concurrency", str(at_once)]
        return subprocess.Popen(
            words, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill_once(self) -> None:
        """Start a run and kill it at a random moment: from its first request on, or on its way there."""
        run = self.start(1)
        before = self.posts()["posts"]
        late = self.random.random() < 0.9
        while late and run.poll() is None and self.posts()["posts"] == before:
            time.sleep(0.01)
        try:
            run.wait(self.random.uniform(0.0, 0.5))
            self.early += 1
            assert run.returncode in (0, 1), f"a run left with exit code {run.returncode}"
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
        for key, seen in self.rows(OPEN):
            (self.seen if seen else self.blind).add(key)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger, none before there is one."""
        path = self.folder / "out/m/ledger.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            try:
                return db.execute(query).fetchall()
            except sqlite3.OperationalError:  # killed before the tables were made
                return []

    def states(self) -> dict[str, int]:
        """Jobs by state."""
        return dict(self.rows("SELECT state, count(*) FROM jobs GROUP BY state"))

    def finish(self) -> dict[str, int]:
        """Run to the end; returns the states."""
        self.start(8).wait()
        return self.states()

    def batchgen(self, *words: str) -> int:
        """Run a command to its end; returns its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "batchgen", *words], cwd=self.folder, env=self.env, capture_output=True
        ).returncode

    def posts(self) -> dict[str, Any]:
        """What the provider counted."""
        with urllib.request.urlopen(f"{self.root}/_counts", timeout=30) as reply:
            counts: dict[str, Any] = json.load(reply)
            return counts


def measure(folder: Path, url: dict[str, str], kills: int, jobs: int, seed: int) -> dict[str, int | float]:
    """Kill, finish, retry what is held, finish; returns the figures."""
    bench = Bench(folder, url, jobs, seed)
    began = time.monotonic()
    for number in range(kills):
        bench.kill_once()
        if (number + 1) % 20 == 0:
            print(f"{number + 1} of {kills} kills, {bench.states()}", file=sys.stderr)
    settled = bench.finish()
    first = bench.posts()
    bench.batchgen("retry", "out/m", "--state", "held")
    ended = bench.finish()
    last = bench.posts()
    # Whoever asks again for what nobody answered uses the same key: each repeated key is a second request.
    repeated = Counter({key: count - 1 for key, count in last["repeated_keys"].items()})
    twice = bench.rows(
        "SELECT count(*) FROM (SELECT job FROM attempts WHERE outcome = 'succeeded' GROUP BY job HAVING count(*) > 1)"
    )
    verified = bench.batchgen("verify", "out/m")
    for key in bench.seen:
        if repeated[key]:
            print("paid again:", *bench.rows(STORY.format(key=key)), sep="\n  ", file=sys.stderr)
    return {
        "kills": kills - bench.early,
        "runs_that_ended_before_their_kill": bench.early,
        "jobs": jobs,
        "posts_before_retry": first["posts"],
        "done_before_retry": settled.get("done", 0),
        "held": settled.get("held", 0),
        "posts_after_retry": last["posts"],
        "done_after_retry": ended.get("done", 0),
        "open_attempts_at_a_kill_with_something_seen": len(bench.seen),
        "open_attempts_at_a_kill_with_nothing_seen": len(bench.blind),
        "additional_posts_for_what_was_seen": sum(repeated[key] for key in bench.seen),
        "additional_posts_without_the_users_word": sum(first["repeated_keys"].values()) - len(first["repeated_keys"]),
        "jobs_paid_and_delivered_twice": twice[0][0],
        "images_lost": 0 if verified == 0 and ended.get("done") == jobs else jobs - ended.get("done", 0) or 1,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency", default="400ms", help="how long the provider takes for a picture")
    options = parser.parse_args()
    words = [sys.executable, "-m", "batchgen", "simulate", "--json", "--latency", options.latency, "--image-side", "64"]
    with tempfile.TemporaryDirectory() as folder:
        provider = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert provider.stdout is not None
        try:
            url = json.loads(provider.stdout.readline())
            figures = measure(Path(folder), url, options.kills, options.jobs, options.seed)
        finally:
            provider.terminate()
            provider.wait()
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<50} {value:>8}")
    print(json.dumps(figures))
    bad = ("additional_posts_for_what_was_seen", "additional_posts_without_the_users_word", "images_lost")
    return 1 if any(figures[name] for name in bad) else 0


if __name__ == "__main__":
    sys.exit(main())
