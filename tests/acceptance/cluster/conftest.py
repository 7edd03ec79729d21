"""A Ray cluster on this machine, started for the tests and stopped by process id, and a provider beside it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.acceptance.conftest import LONG, ROOT, Cli, stopped

RAY = Path(sys.executable).with_name("ray")

KEY = "sk-cluster-8d2c51f07b"


def descendants(pid: int) -> list[int]:
    """All processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def command_of(pid: int) -> str:
    """The command line of a process; nothing for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class Machine:
    """One node of the cluster: `ray start --block` and all that it started."""

    process: subprocess.Popen[bytes]

    @property
    def raylet(self) -> int:
        """The process id of its raylet."""
        return next(pid for pid in descendants(self.process.pid) if "/raylet/raylet" in command_of(pid))

    def stop(self) -> None:
        """Kill what was started, and nothing else."""
        for pid in (*descendants(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """A head without processors, and the machines that joined it."""

    folder: Path
    env: dict[str, str]
    port: int
    machines: list[Machine] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What `--address` takes."""
        return f"127.0.0.1:{self.port}"

    def start(self, *words: str) -> Machine:
        """Start a node and wait until it says that it runs."""
        log = self.folder / f"node-{len(self.machines)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [RAY, "start", "--block", "--node-ip-address=127.0.0.1", "--object-store-memory=80000000", *words],
                env=self.env,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        machine = Machine(process)
        self.machines.append(machine)
        end = time.monotonic() + LONG
        while b"Ray runtime started" not in log.read_bytes():
            assert time.monotonic() < end, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        return machine

    def join(self) -> Machine:
        """One more machine with a processor."""
        return self.start(f"--address={self.address}", "--num-cpus=1")

    def texts(self) -> Iterator[tuple[Path, bytes]]:
        """All that Ray wrote."""
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head and two machines with a processor each; a token is needed."""
    if find_spec("ray") is None:
        pytest.skip("needs ray (pip install '.[ray]')")
    # Not below the folder of the test: the paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="bg-", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    started = Cluster(folder, env, port)
    try:
        started.start("--head", f"--port={port}", "--include-dashboard=false", "--num-cpus=0", f"--temp-dir={folder}/r")
        started.join()
        started.join()
        yield started
    finally:
        for machine in started.machines:
            machine.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def on_cluster(cli: Cli, cluster: Cluster) -> Cli:
    """A command line that the cluster lets in, with a key for the provider."""
    cli.env |= {name: value for name, value in cluster.env.items() if name.startswith("RAY_")}
    cli.env["TUZI_API_KEY"] = KEY
    return cli


@dataclass
class Quick:
    """The provider of provider.py, from outside."""

    port: int
    process: subprocess.Popen[bytes]

    def asleep(self) -> AbstractContextManager[None]:
        """Within: it is stopped, and nothing is answered, however long the test takes."""
        return stopped(self.process)

    def log(self) -> dict[str, Any]:
        """What it was asked so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_log", timeout=LONG) as reply:
            log: dict[str, Any] = json.load(reply)
            return log

    def manifest(self, jobs: int, limits: str) -> str:
        """A batch for it, each job with its own prompt."""
        place = f"http://127.0.0.1:{self.port}"
        urls = f"base_url: '{place}/v1', task_url: '{place}/source/{{task_id}}'"
        lines = ["provider: tu-zi", f"providers: {{tu-zi: {{{urls}, limits: {limits}}}}}", "jobs:"]
        return "\n".join([*lines, *(f"  - {{id: j{n:04}, prompt: 'picture {n}'}}" for n in range(jobs))]) + "\n"


Quickly: TypeAlias = Callable[[float], AbstractContextManager[Quick]]


@pytest.fixture
def quick() -> Quickly:
    """`with quick(1.0) as provider:` a provider whose pictures take a second."""

    @contextmanager
    def started(delay: float) -> Iterator[Quick]:
        words = [sys.executable, "-m", "tests.acceptance.cluster.provider", str(delay)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            yield Quick(int(process.stdout.readline()), process)
        finally:
            process.kill()
            process.communicate()

    return started
