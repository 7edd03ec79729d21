"""One export from the ledger to its place: survey the rows, write them with their pictures, describe them.

Blocks while it writes; `collect` of `export.rows` has read the ledger before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from batchgen.export.card import CARD, card, flat_schema, tar_schema
from batchgen.export.choices import ShardSize
from batchgen.export.croissant import croissant
from batchgen.export.imagefolder import METADATA, ImageFolder
from batchgen.export.parquet import Parquet
from batchgen.export.pictures import Lost, Shape, on_disk, pictures
from batchgen.export.place import CROISSANT
from batchgen.export.rows import SPLIT, Column, Survey, stored
from batchgen.export.tables import Csv, JsonLines
from batchgen.export.webdataset import WebDataset
from batchgen.export.writer import Layout, Made, Writer, part

NAMED: Final = 20
"""So many lost pictures are named one by one."""

FORMATS: Final[Mapping[str, Callable[[Layout], Writer]]] = {
    "imagefolder": ImageFolder,
    "parquet": Parquet,
    "webdataset": WebDataset,
    "csv": Csv,
    "jsonl": JsonLines,
}
TABLES: Final = frozenset({"csv", "jsonl"})
"""The formats without pictures."""

SHARD_SIZES: Final = {"parquet": ShardSize(bytes=500_000_000), "webdataset": ShardSize(bytes=1_000_000_000)}
"""When a shard is full unless the user says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to write. `shard` None: the format's own size."""

    format: str
    shape: Shape = field(default_factory=Shape)
    shard: ShardSize | None = None
    divided: bool = False
    described: bool = True
    """with `croissant.json` and a card beside it"""


@dataclass(slots=True)
class Exported:
    """What was written and what was not."""

    images: int = 0
    bytes: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    lost: Counter[Lost] = field(default_factory=Counter)
    named: list[tuple[str, Lost]] = field(default_factory=list)
    """the first of the lost, by their path in the workspace"""


def write(
    workspace: Path, rows: Path, survey: Survey, folder: Path, wanted: Wanted, told: Callable[[int], None]
) -> Exported:
    """Write the dataset into an empty folder. `told` hears after each image how many are done. Raises `OSError`."""
    columns = survey.columns
    shard = wanted.shard or SHARD_SIZES.get(wanted.format, ShardSize())
    writer = FORMATS[wanted.format](Layout(folder, columns, wanted.divided, shard))
    report = Exported()
    lines = stored(rows, columns)
    found = on_disk(workspace, lines) if wanted.format in TABLES else pictures(workspace, lines, wanted.shape)
    for number, (row, picture) in enumerate(found, 1):
        if isinstance(picture, Lost):
            report.lost[picture] += 1
            if len(report.named) < NAMED:
                report.named.append((str(row["file_name"]), picture))
        else:
            writer.add(picture)
            report.images += 1
            report.bytes += len(picture.data)
            report.splits[part(picture.row)] += 1
            report.formats[str(picture.row["format"])] += 1
        told(number)
    files = writer.close()
    if wanted.described:
        _describe(folder, survey, files, wanted, sorted(report.formats))
    return report


def _describe(folder: Path, survey: Survey, files: list[Made], wanted: Wanted, formats: list[str]) -> None:
    columns = survey.columns
    shown = (*columns, SPLIT) if wanted.divided and wanted.format in TABLES else columns
    described = croissant(survey, files, shown, wanted.format, formats)
    _write(folder / CROISSANT, json.dumps(described, ensure_ascii=False, indent=2) + "\n")
    if wanted.format in TABLES:
        return
    splits = list(dict.fromkeys(file.split for file in files))
    patterns = [(split, _patterns(wanted, split)) for split in splits]
    schema = tar_schema(columns, formats) if wanted.format == "webdataset" else _beside_image(columns, wanted)
    images = sum(file.rows for file in files)
    _write(folder / CARD, card(survey.name, images, patterns, list(schema)))


def _beside_image(columns: Sequence[Column], wanted: Wanted) -> Iterator[str]:
    # The image folder's loader turns `file_name` into the image.
    skipped = "file_name" if wanted.format == "imagefolder" else None
    return flat_schema([column for column in columns if column.name != skipped])


def _patterns(wanted: Wanted, split: str) -> list[str]:
    if wanted.format == "parquet":
        return [f"data/{split}-*.parquet"]
    if wanted.format == "webdataset":
        return [f"{split}-*.tar"]
    return [f"{split}/**"] if wanted.divided else [METADATA, "images/**"]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
