"""What the simulated providers remember: generations with their tasks and files, and who asked.

In memory, and with a path also as JSON lines, each flushed before it counts, so that links and tasks
outlive a kill -9 of the process; a torn last line is forgotten. Time comes in as an argument.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from batchgen.model import Json
from batchgen.simulator.links import Scheme
from batchgen.simulator.picture import Picture

REMEMBERED = "simulator.jsonl"
"""Where the embedded providers of a workspace write it down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One picture under its path (raw, without query); `life` in seconds from the making of a link."""

    path: str
    gen_id: str
    scheme: Scheme
    life: float
    dies_at: float | None
    """epoch seconds when a plain link dies; a signed one says so itself"""
    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One request that the provider worked on, and bills. Times are epoch seconds, durations seconds."""

    task_id: str
    prefix: str
    """`/dialect` or `/dialect/name`, as all its links begin"""
    started: float
    duration: float
    faults: frozenset[str]
    ratio: str
    parent: str | None
    links: tuple[str, ...]
    """references that came as URLs"""
    files: tuple[File, ...]
    previews: tuple[File, ...] = ()
    """small copies that a log links to on its way; no results"""
    key: str | None = None
    """its Idempotency-Key"""

    @property
    def prompt(self) -> str:
        return self.files[0].picture.prompt

    @property
    def model(self) -> str:
        return self.files[0].picture.model

    def progress(self, now: float) -> float:
        """From 0 (just begun) to 1 (there)."""
        return 1.0 if now >= self.started + self.duration else (now - self.started) / self.duration


class Memory:
    """Generations by task id, files by path, pictures by gen id; POSTs by account."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what an earlier server wrote at `path`, then go on writing there. Raises OSError."""
        self.tasks: dict[str, Generation] = {}
        self.files: dict[str, tuple[Generation, File]] = {}
        self.pictures: dict[str, Picture] = {}
        self.posts: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.by_key: dict[str, Generation] = {}
        self.port: int | None = None
        self._out: TextIO | None = None
        if path is not None:
            self._read(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._out = path.open("a", encoding="utf-8")
            # After a torn line the next record must begin on a line of its own.
            self._out.write("\n")

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # torn by a kill, or empty
            if "port" in record:
                self.port = record["port"]
            elif "post" in record:
                self._count_post(record["post"], record["key"])
            else:
                self._take(_generation(record))

    def _write(self, record: dict[str, Json]) -> None:
        if self._out is not None:
            self._out.write(json.dumps(record) + "\n")
            self._out.flush()

    def listening(self, port: int) -> None:
        """Remember the port for the next start."""
        self.port = port
        self._write({"port": port})

    def post(self, account: str, key: str | None) -> int:
        """Count a POST of this account; return its ordinal, from 1."""
        self._count_post(account, key)
        self._write({"post": account, "key": key})
        return self.posts[account]

    def _count_post(self, account: str, key: str | None) -> None:
        self.posts[account] += 1
        if key is not None:
            self.keys[key] += 1

    def keep(self, generation: Generation) -> None:
        """Remember a generation with its files."""
        self._take(generation)
        self._write(_record(generation))

    def _take(self, generation: Generation) -> None:
        self.tasks[generation.task_id] = generation
        if generation.key is not None:
            self.by_key[f"{generation.prefix} {generation.key}"] = generation
        for file in (*generation.files, *generation.previews):
            self.files[file.path] = (generation, file)
            self.pictures[file.gen_id] = file.picture

    def close(self) -> None:
        """Close the file; nothing can be remembered there afterwards."""
        if self._out is not None:
            self._out.close()


def _record(generation: Generation) -> dict[str, Json]:
    record = asdict(generation)
    record["faults"] = sorted(generation.faults)
    for file in (*record["files"], *record["previews"]):
        for name in ("reference", "mask"):
            file["picture"][name] = b64encode(file["picture"][name]).decode()
    return record


def _generation(record: dict[str, Any]) -> Generation:
    record["faults"] = frozenset(record["faults"])
    for name in ("files", "previews"):
        record[name] = tuple(_file(file) for file in record[name])
    record["links"] = tuple(record["links"])
    return Generation(**record)


def _file(record: dict[str, Any]) -> File:
    picture = record["picture"]
    for name in ("reference", "mask"):
        picture[name] = b64decode(picture[name])
    picture["size"] = tuple(picture["size"])
    picture["edits"] = tuple(picture.get("edits", ()))
    return File(**{**record, "scheme": Scheme(record["scheme"]), "picture": Picture(**picture)})
