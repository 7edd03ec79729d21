"""The command line as a process: run it, signal it, kill it, and a simulated provider that outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LONG = 100
"""Seconds after which a process counts as hung; nothing here comes near it."""


@dataclass
class Cli:
    """Runs `batchgen` in one folder, with one environment."""

    folder: Path
    env: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and return at once."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "batchgen", *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `code` is the exit code it must have."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=LONG)
        done = subprocess.CompletedProcess(words, process.returncode, out, err)
        assert "Traceback" not in err, err
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode} of {words}\n{out}\n{err}"
        return done

    def json(self, *words: str) -> Any:  # Any: what a JSON answer is
        """The one JSON object a reading command prints."""
        return json.loads(self.run(*words, "--json").stdout)

    def jobs(self, workspace: str, *words: str) -> list[dict[str, Any]]:
        """The lines of `jobs --json`."""
        return [json.loads(line) for line in self.run("jobs", workspace, "--json", *words).stdout.splitlines()]

    def write(self, name: str, text: str) -> str:
        """Write a file in the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A command line in an empty folder, without any key in its environment."""
    env = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    return Cli(tmp_path, env)


@dataclass
class Provider:
    """A simulated provider in a process of its own, which survives the client's death."""

    urls: dict[str, str]

    def counts(self) -> dict[str, Any]:
        """What it has been asked so far."""
        root = next(iter(self.urls.values())).split("/", 3)
        with urllib.request.urlopen("/".join(root[:3]) + "/_counts", timeout=LONG) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer


@pytest.fixture
def provider(cli: Cli) -> Any:
    """`with provider("--fault", "rate_limit=5%") as p:` runs `batchgen simulate` meanwhile."""

    @contextmanager
    def simulated(*words: str) -> Iterator[Provider]:
        process = cli.start("simulate", "--port", "0", "--json", *words)
        try:
            assert process.stdout is not None
            yield Provider(json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LONG)

    return simulated
