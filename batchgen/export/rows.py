"""The rows of an export: one for each saved image, read from the ledger once and laid aside in a file.

That file is what makes two looks at a ledger that a run still writes agree. Columns of the user's own
(`meta.NAME`, `seed`) get one kind each, so that every reader can type them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

from batchgen.answers import iso
from batchgen.export.choices import META, Condition, Split, all_fit, as_text
from batchgen.ledger.records import AttemptRecord, JobRecord, OutputRecord
from batchgen.model import Json, OutputState

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "time"]
Row: TypeAlias = Mapping[str, Json]

SEED: Final = "seed"
MOST_META_COLUMNS: Final = 200
"""Of more names than these, `meta` becomes one column of JSON text."""

WHOLE_SET: Final = "train"
"""What readers call a dataset that is not divided."""

_INT64: Final = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what its values are, and what it tells."""

    name: str
    kind: Kind
    about: str


_FIRST: Final = (
    Column("file_name", "text", "Path of the picture; in a table relative to the workspace, or its address"),
    Column("id", "text", "Id of the job that asked for the picture"),
    Column("position", "integer", "Counts the pictures of one job from 0"),
    Column("prompt", "text", "The prompt as it was sent"),
    Column("model", "text", "The model that was asked for"),
    Column("provider", "text", "The provider that made it"),
    Column("ratio", "text", "The aspect ratio that was asked for"),
    Column("size", "text", "The size that was asked for"),
    Column("quality", "text", "The quality that was asked for"),
)
_LAST: Final = (
    Column("parent", "text", "Id of the job whose picture this one edits"),
    Column("task_id", "text", "The provider's own id of the work"),
    Column("gen_id", "text", "The provider's own id of the picture"),
    Column("request_id", "text", "The provider's own id of the request"),
    Column("sha256", "text", "SHA-256 of the picture file"),
    Column("bytes", "integer", "Size of the picture file"),
    Column("width", "integer", "Width in pixels"),
    Column("height", "integer", "Height in pixels"),
    Column("format", "text", "Format of the picture file"),
    Column("cost", "number", "Its share of what its request cost, by the price list"),
    Column("created_at", "time", "When the provider had delivered it, UTC, ISO 8601"),
)
SPLIT: Final = Column("split", "text", "The part of the dataset it belongs to")


@dataclass(slots=True)
class Survey:
    """What the ledger had: how many images, what the user's own columns are, what was left out."""

    name: str
    images: int = 0
    duplicates: int = 0
    newest: str = ""
    """the latest `created_at`"""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """of `seed` and the names in `meta`"""
    files: Counter[str] = field(default_factory=Counter)
    """how many pictures of each format"""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of every row, in order."""
        seed = Column(SEED, self.kinds.get(SEED, "integer"), "The seed that was asked for")
        names = sorted(name for name in self.kinds if name != SEED)
        own = [Column(name, self.kinds[name], "From the manifest") for name in names]
        if len(own) > MOST_META_COLUMNS:
            own = [Column("meta", "text", "From the manifest, as JSON")]
        return (*_FIRST, seed, *_LAST, *own)

    def note(self, name: str, value: Json) -> None:
        """Take one value of a user's own column into account."""
        if value is None:
            return
        kind, before = kind_of(value), self.kinds.get(name)
        if before is None:
            # Past the limit the names no longer matter, and a million of them would take memory.
            if name == SEED or len(self.kinds) <= MOST_META_COLUMNS + 1:
                self.kinds[name] = kind
        elif before == kind:
            return
        elif {before, kind} == {"integer", "number"}:
            self.kinds[name] = "number"
        else:
            self.kinds[name] = "text"


def kind_of(value: Json) -> Kind:
    """What a value is; lists and mappings are told as JSON text."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if value in _INT64 else "text"
    return "number" if isinstance(value, float) else "text"


def conform(value: Json, kind: Kind) -> Json:
    """The value in the kind of its column. What JSON can't say (not a number, infinite) is nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if kind == "text":
        return as_text(value)
    return float(cast(float, value)) if kind == "number" else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images, and how they are divided; `split` None: not at all."""

    where: Sequence[Condition] = ()
    dedupe: bool = False
    split: Split | None = None


async def collect(records: AsyncIterable[JobRecord], selection: Selection, name: str, rows: Path) -> Survey:
    """Write a line for each saved image that is wanted, in the order of the manifest, to the file `rows`.

    `dedupe` keeps the first image of equal bytes and takes some 100 bytes of memory an image. Raises `OSError`.
    """
    survey, seen = Survey(name), set[bytes]()
    with rows.open("w", encoding="utf-8") as file:
        async for record in records:
            if not all_fit(selection.where, record):
                continue
            for output in record.outputs:
                if output.state is not OutputState.SAVED or output.path is None or output.sha256 is None:
                    continue
                digest = bytes.fromhex(output.sha256)[:16]
                if selection.dedupe and digest in seen:
                    survey.duplicates += 1
                    continue
                if selection.dedupe:
                    seen.add(digest)
                part = selection.split.part_of(record.id) if selection.split else WHOLE_SET
                line = _line(record, output, part, survey)
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    return survey


def stored(rows: Path, columns: Sequence[Column]) -> Iterator[tuple[Row, str | None]]:
    """The rows laid aside, each value in the kind of its column, with `split` as the last key.

    Beside each the address of the object store that holds its picture; None: the workspace.
    """
    one_meta = any(column.name == "meta" for column in columns)
    with rows.open(encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            own, store = line.pop("meta"), line.pop("store")
            if one_meta:
                line["meta"] = own or None
            else:
                line.update({f"{META}{name}": value for name, value in own.items()})
            row = {column.name: conform(line.get(column.name), column.kind) for column in columns}
            yield {**row, SPLIT.name: line[SPLIT.name]}, store


def _line(record: JobRecord, output: OutputRecord, part: str, survey: Survey) -> dict[str, Json]:
    job, attempt = record.job, next(one for one in record.attempts if one.number == output.attempt)
    created_at = iso(attempt.finished_at or output.settled_at)
    survey.images += 1
    survey.newest = max(survey.newest, created_at or "")
    survey.files[output.format or ""] += 1
    survey.note(SEED, job.params.get(SEED))
    for name, value in job.meta.items():
        survey.note(f"{META}{name}", value)
    return {
        "file_name": output.path,
        "store": output.store,
        "id": job.id,
        "position": output.position,
        "prompt": job.prompt,
        "model": job.at(attempt.provider).model,
        "provider": attempt.provider,
        "ratio": job.ratio,
        "size": job.size,
        "quality": job.quality,
        SEED: job.params.get(SEED),
        "parent": job.after,
        "task_id": attempt.task_id,
        "gen_id": attempt.gen_id,
        "request_id": attempt.request_id,
        "sha256": output.sha256,
        "bytes": output.bytes,
        "width": output.width,
        "height": output.height,
        "format": output.format,
        "cost": _share(record, attempt),
        "created_at": created_at,
        "meta": dict(job.meta),
        SPLIT.name: part,
    }


def _share(record: JobRecord, attempt: AttemptRecord) -> float | None:
    if attempt.cost is None:
        return None
    images = sum(output.attempt == attempt.number for output in record.outputs)
    return round(attempt.cost / images, 6)
