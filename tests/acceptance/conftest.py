"""The command line as a process: run it, signal it, kill it, and a simulated provider that outlives it.

Nothing here sleeps: what a test waits for is asked of the provider or the ledger until it is so.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.integration.loopback import unheard

ROOT = Path(__file__).parents[2]

LONG = 300
"""Seconds after which a process counts as hung: many times what anything here takes on a busy machine."""

KEY = "sk-test-4f9a1c7e2b"

KEY_VARIABLES = ("TUZI_API_KEY", "APIYI_API_KEY", "APIQIK_API_KEY", "MODELVERSE_API_KEY", "OPENAI_API_KEY")

QUICK = "simulate: {latency: 0.05, image_side: 64}"
"""For a provider at `base_url: simulator`."""


@dataclass
class Cli:
    """Runs `batchgen` in one folder, with one environment."""

    folder: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and return at once; it is killed at the end of the test at the latest."""
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "batchgen", *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(
        self, process: subprocess.Popen[str], code: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Wait for a command; `code` is the exit code it must have."""
        out, err = process.communicate(timeout=LONG)
        done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        assert "Traceback" not in err, err
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode} of {process.args!r}\n{out}\n{err}"
        return done

    def run(self, *words: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `code` is the exit code it must have."""
        return self.end(self.start(*words), code)

    def json(self, *words: str) -> Any:  # Any: what a JSON answer is
        """The one JSON object a reading command prints."""
        return json.loads(self.run(*words, "--json").stdout)

    def jobs(self, workspace: str, *words: str) -> list[dict[str, Any]]:
        """The lines of `jobs --json`."""
        return [
            json.loads(line) for line in self.run("jobs", workspace, "--json", *words).stdout.splitlines()
        ]

    def states(self, workspace: str) -> dict[str, int]:
        """Jobs by state, those that count nothing left out."""
        counts = self.json("status", workspace)["jobs"]
        return {state: n for state, n in counts.items() if n and state != "total"}

    def write(self, name: str, text: str) -> str:
        """Write a file in the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    def ask(self, workspace: str, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger, read as anyone may read it: while a run writes."""
        uri = f"{(self.folder / workspace / 'ledger.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            return db.execute(query).fetchall()

    def count(self, workspace: str, query: str) -> int:
        """The one number that a query brings; 0 as long as there is no ledger, or only half of one."""
        with suppress(sqlite3.OperationalError):
            return int(self.ask(workspace, query)[0][0])
        return 0

    def runs(self, workspace: str) -> int:
        """Runs that have begun there: since then whoever reads can, and a signal finds its handler."""
        return self.count(workspace, "SELECT count(*) FROM runs")


@contextmanager
def command_line(folder: Path) -> Iterator[Cli]:
    """A command line in this folder, without any key in its environment."""
    env = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    env |= {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling everything for each process doubles the time
    cli = Cli(folder, env)
    yield cli
    for process in cli.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A command line in an empty folder, without any key in its environment."""
    with command_line(tmp_path) as opened:
        yield opened


@contextmanager
def stopped(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Within: the process does nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@dataclass
class Provider:
    """A simulated provider in a process of its own, which survives the client's death."""

    urls: dict[str, str]
    process: subprocess.Popen[str]

    def asleep(self) -> AbstractContextManager[None]:
        """Within: it is stopped. Requests reach its machine and nobody answers, however long the test takes."""
        return stopped(self.process)

    def counts(self) -> dict[str, Any]:
        """What it has been asked so far."""
        with urllib.request.urlopen(f"{self._root}/_counts", timeout=LONG) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    @property
    def posts(self) -> int:
        """Generation requests so far."""
        return int(self.counts()["posts"])

    @property
    def _root(self) -> str:
        return "/".join(next(iter(self.urls.values())).split("/")[:3])

    def section(self, *names: str, extra: str = "") -> str:
        """A `providers` section that sends these built-in profiles here, their tasks too."""
        lines = ["providers:"]
        for name in names:
            task_url = f"{self._root}/{name}/source/{{task_id}}"
            tasks = f", task_url: '{task_url}'" if name in ("tu-zi", "apiqik", "openai-chat") else ""
            more = f", {extra}" if extra else ""
            lines.append(f"  {name}: {{base_url: '{self.urls[name]}'{tasks}{more}}}")
        return "\n".join(lines) + "\n"

    def task(self, task_id: str, dialect: str = "tu-zi") -> str:
        """The page of a task."""
        with urllib.request.urlopen(f"{self._root}/{dialect}/web/{task_id}", timeout=LONG) as reply:
            return str(reply.read().decode())


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens."""
    with unheard() as port:
        yield port


Simulated: TypeAlias = Callable[..., AbstractContextManager[Provider]]


@pytest.fixture
def provider(cli: Cli) -> Simulated:
    """`with provider("--fault", "rate_limit=5%") as p:` runs `batchgen simulate` meanwhile.

    The client's environment gets a key for every profile.
    """
    cli.env.update(dict.fromkeys(KEY_VARIABLES, KEY))

    @contextmanager
    def simulated(*words: str, latency: str = "50ms") -> Iterator[Provider]:
        options = ("--port", "0", "--json", "--latency", latency, "--image-side", "64")
        process = cli.start("simulate", *options, *words)
        try:
            assert process.stdout is not None
            yield Provider(json.loads(process.stdout.readline()), process)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONG)

    return simulated


def until(holds: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Look again and again until it holds; fail after a long time, or when `process` ends before."""
    end = time.monotonic() + LONG / 2
    while not holds():
        assert time.monotonic() < end, "what the test waits for did not happen"
        if process is None:
            time.sleep(0.001)  # let others go on
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                # It may have come about between the look and the end.
                assert holds(), "the process ended before what the test waits for"


def listed(ids: Iterable[str], *, provider: str = "", words: str = "") -> str:
    """Job lines of a YAML manifest, each with its own prompt."""
    at = f", provider: {provider}" if provider else ""
    return "".join(f"  - {{id: {name}, prompt: 'a picture of {name} {words}'{at}}}\n" for name in ids)


def numbered(count: int, stem: str = "job") -> list[str]:
    """`job-000`, `job-001`, ..."""
    return [f"{stem}-{number:03}" for number in range(count)]
