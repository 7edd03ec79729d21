"""What the user chooses of an export: which images, how they are divided, how large a shard is. Pure.

Every wrong word is a `UsageError` of one line that says what was expected.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batchgen.errors import UsageError
from batchgen.ledger.records import JobRecord
from batchgen.model import JobState, Json

WHERE_KEYS = ("id", "state", "model", "provider", "ratio", "prompt")
"""What `--where` knows beside `meta.NAME`."""

META = "meta."
_WHOLE = 1 << 64
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNITS |= {f"{unit}I": 1024**power for power, unit in enumerate("KMGT", 1)}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]I?)?(?P<bytes>B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """One `KEY=VALUE`: the value is a shell pattern, upper and lower case matter."""

    key: str
    pattern: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises `UsageError` for what is no `KEY=VALUE`, or a key that no job has."""
        key, equals, pattern = text.partition("=")
        if not equals:
            raise UsageError(f"--where {text!r}: expected KEY=VALUE, such as model=gpt-image-2 or meta.style=oil")
        require_key(key, f"--where {text!r}")
        if key == "state" and not fnmatch.filter(list(JobState), pattern):
            raise UsageError(f"--where {text!r}: no such state; the states are {', '.join(JobState)}")
        return cls(key, pattern)

    def fits(self, record: JobRecord) -> bool:
        """Whether the job is as the condition says; a job without the key is not."""
        value = value_of(record, self.key)
        return value is not None and fnmatch.fnmatchcase(value, self.pattern)


def require_key(key: str, option: str) -> str:
    """The key, if jobs have such a thing. Raises `UsageError`, which begins with `option`."""
    if key in WHERE_KEYS or (key.startswith(META) and len(key) > len(META)):
        return key
    near = difflib.get_close_matches(key, WHERE_KEYS, n=1)
    hint = f", did you mean {near[0]!r}?" if near else f"; the keys are {', '.join(WHERE_KEYS)}, meta.NAME"
    raise UsageError(f"{option}: unknown key {key!r}{hint}")


def value_of(record: JobRecord, key: str) -> str | None:
    """A job's word for one of `WHERE_KEYS` or `meta.NAME`, as text; None where it has none."""
    if key.startswith(META):
        return as_text(record.job.meta.get(key.removeprefix(META)))
    if key in ("state", "provider"):
        return str(getattr(record, key))
    return as_text(getattr(record.job.at(record.provider), key))


def as_text(value: Json) -> str | None:
    """A manifest's value as the user wrote it: text as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Split:
    """Named parts and the share of each; a job's part depends on its id alone, so it never moves."""

    parts: Sequence[tuple[str, float]]

    @classmethod
    def parse(cls, text: str) -> Split:
        """`train:0.9,test:0.1`. Raises `UsageError`."""
        parts: list[tuple[str, float]] = []
        for piece in text.split(","):
            found = re.fullmatch(r"\s*(\w+)\s*:\s*(\d*\.?\d+)\s*", piece, re.ASCII)
            if found is None:
                raise UsageError(f"--split {text!r}: expected NAME:SHARE,…, such as train:0.9,test:0.1")
            parts.append((found[1], float(found[2])))
        names = [name for name, _ in parts]
        if len(set(names)) < len(names):
            raise UsageError(f"--split {text!r}: a name stands there twice")
        total = math.fsum(share for _, share in parts)
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise UsageError(f"--split {text!r}: the shares add up to {total:g}, not to 1")
        return cls(tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The parts in the user's order."""
        return tuple(name for name, _ in self.parts)

    def part_of(self, job_id: str) -> str:
        """The part that a job belongs to: all images of one job are in the same one."""
        point = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8], "big") / _WHOLE
        reached = 0.0
        for name, share in self.parts:
            reached += share
            if point < reached:
                return name
        return next(name for name, share in reversed(self.parts) if share > 0)


@dataclass(frozen=True, slots=True)
class ShardSize:
    """When a shard is full: at so many bytes of pictures, or so many samples."""

    bytes: int | None = None
    samples: int | None = None

    @classmethod
    def parse(cls, text: str) -> ShardSize:
        """`1GB`, `500MiB` (bytes) or `10000` (samples). Raises `UsageError`."""
        found = _SIZE.fullmatch(text.strip())
        if found is None or float(found["number"]) <= 0:
            raise UsageError(f"--shard-size {text!r}: expected a size such as 1GB, or a number of samples")
        if not found["unit"] and not found["bytes"]:
            if "." in found["number"]:
                raise UsageError(f"--shard-size {text!r}: a number of samples is a whole number")
            return cls(samples=int(found["number"]))
        return cls(bytes=max(1, int(float(found["number"]) * _UNITS[(found["unit"] or "").upper()])))

    def full(self, size: int, samples: int, more: int) -> bool:
        """Whether a shard of `size` bytes and `samples` has no room for `more` bytes; one sample always fits."""
        if samples == 0:
            return False
        if self.samples is not None:
            return samples >= self.samples
        return self.bytes is not None and size + more > self.bytes


def all_fit(conditions: Iterable[Condition], record: JobRecord) -> bool:
    """Whether a job fits every condition."""
    return all(condition.fits(record) for condition in conditions)
