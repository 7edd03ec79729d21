"""Runs whole processes and says what each cost: wall time, processor time and peak memory.

Figures are those of the kernel (wait4), children included. The parent stays small, because a child's
peak memory can't be read below what its parent had when it forked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CPUS = sorted(os.sched_getaffinity(0))
_WARM_MEGABYTES = 1000
CLIENT, SERVER = ({CPUS[0]}, {CPUS[-1]})
"""The program under test has the first processor to itself, the server the last, unless a row says otherwise."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: seconds of wall and processor, peak memory in MB; `began` is epoch seconds."""

    wall: float
    cpu: float
    rss: float
    began: float
    code: int
    out: str


def run(
    words: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    cpus: set[int] | None = None,
    codes: tuple[int, ...] = (0,),
) -> Cost:
    """Run to the end. Raises RuntimeError, with the end of its stderr, for an exit code not in `codes`."""
    chosen = CLIENT if cpus is None else cpus
    _warm(folder / "warm")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began, start = time.time(), time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, sorted(chosen))), *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, trouble = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
    if code not in codes:
        raise RuntimeError(f"{' '.join(words[:5])} … left with {code}:\n{trouble[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, began, code, text)


def _warm(file: Path) -> None:
    """Let the kernel have a gigabyte of free memory that it can give away at once, to whoever is measured next.

    A virtual machine pays 4 us for each page that its host must find first: as much as writing a small file.
    """
    piece = bytes(1 << 20)
    with file.open("wb", buffering=0) as written:
        for _ in range(_WARM_MEGABYTES):
            written.write(piece)
        written.truncate(0)


def emptied(folder: Path) -> None:
    """Give back the disk and memory of every file; the names stay.

    ext4 passes over each recently deleted file again and again where a new one is made, for minutes: 0.2 to
    0.4 ms a file, paid by whoever is measured next.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)


class Server:
    """The running server, seen from the bench."""

    def __init__(self, ports: Mapping[str, int], cert: Path | None) -> None:
        self.http = f"http://127.0.0.1:{ports['http']}/v1"
        self.https = f"https://localhost:{ports['https']}/v1" if "https" in ports else None
        self.cert = cert
        self._root = self.http.removesuffix("/v1")

    def setup(self, **scenario: float | bool) -> None:
        """Begin a scenario of `tests.bench.server.Scenario`."""
        body = json.dumps(scenario).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self._root}/_setup", body), timeout=60) as reply:
            reply.read()

    def counts(self) -> dict[str, Any]:
        """What arrived since then."""
        with urllib.request.urlopen(f"{self._root}/_counts", timeout=60) as reply:
            counts: dict[str, Any] = json.load(reply)
            return counts


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start the server on its own processor; with HTTPS where there is an `openssl` to make a certificate."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(words, check=True, capture_output=True)
        pair = [str(cert), str(key)]
    except (OSError, subprocess.CalledProcessError):
        pair = []
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, SERVER)), sys.executable, "-m", "tests.bench.server", *pair],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Server(json.loads(process.stdout.readline()), cert if pair else None)
    finally:
        process.terminate()
        process.wait()
