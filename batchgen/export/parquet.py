"""Parquet shards as the Hugging Face hub has them: an `image` column of bytes and path, and the facts beside it.

The only file that needs pyarrow, from the extra `export`. A row group is small enough to be shown page by page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from batchgen.errors import UsageError
from batchgen.export.card import features
from batchgen.export.pictures import Picture
from batchgen.export.rows import Kind, Row
from batchgen.export.writer import Layout, Made, facts, made, part
from batchgen.images.inspect import extension

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

_GROUP_ROWS: Final = 100
_GROUP_BYTES: Final = 32 << 20
_TYPES: Final[dict[Kind, str]] = {
    "text": "string",
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "time": "string",
}
IMAGE: Final = "image"


@dataclass(slots=True)
class _Shard:
    """The shard of one part that is being written, and its next row group."""

    file: pyarrow.parquet.ParquetWriter
    path: str
    rows: int = 0
    size: int = 0
    waiting: list[tuple[Row, bytes]] = field(default_factory=list)
    waiting_size: int = 0


class Parquet:
    """Writes row groups into shards of a given size, part by part."""

    def __init__(self, layout: Layout) -> None:
        require_pyarrow()
        self._layout = layout
        self._schema = _schema(layout)
        self._open: dict[str, _Shard] = {}
        self._done: dict[str, list[_Shard]] = {}
        (layout.folder / "data").mkdir()

    def add(self, picture: Picture) -> None:
        """Take one row with its picture; it is written with its row group."""
        shard = self._shard(part(picture.row), len(picture.data))
        shard.waiting.append((facts(picture.row), picture.data))
        shard.waiting_size += len(picture.data)
        shard.size += len(picture.data)
        shard.rows += 1
        if len(shard.waiting) >= _GROUP_ROWS or shard.waiting_size >= _GROUP_BYTES:
            self._write(shard)

    def close(self) -> list[Made]:
        """The shards, under their final names: those tell how many there are."""
        for split, shard in self._open.items():
            self._finish(split, shard)
        files = []
        for split, shards in self._done.items():
            for number, shard in enumerate(shards):
                name = f"data/{split}-{number:05d}-of-{len(shards):05d}.parquet"
                (self._layout.folder / shard.path).rename(self._layout.folder / name)
                files.append(made(self._layout.folder, name, split, shard.rows))
        return files

    def _shard(self, split: str, more: int) -> _Shard:
        import pyarrow.parquet

        shard = self._open.get(split)
        if shard is not None:
            if not self._layout.shard.full(shard.size, shard.rows, more):
                return shard
            self._finish(split, shard)
        path = f"data/.{split}-{len(self._done.get(split, ()))}"
        file = pyarrow.parquet.ParquetWriter(self._layout.folder / path, self._schema, write_page_index=True)
        self._open[split] = _Shard(file, path)
        return self._open[split]

    def _write(self, shard: _Shard) -> None:
        import pyarrow

        rows = []
        for row, data in shard.waiting:
            name = f"{str(row['file_name']).rpartition('.')[0]}.{extension(str(row['format']))}"
            rows.append({IMAGE: {"bytes": data, "path": name}, **row, "file_name": name})
        shard.file.write_table(pyarrow.Table.from_pylist(rows, schema=self._schema), row_group_size=_GROUP_ROWS)
        shard.waiting, shard.waiting_size = [], 0

    def _finish(self, split: str, shard: _Shard) -> None:
        if shard.waiting:
            self._write(shard)
        shard.file.close()
        self._done.setdefault(split, []).append(shard)


def require_pyarrow() -> None:
    """Raise `UsageError` where the extra is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - asked only whether it is there
    except ImportError:
        raise UsageError("--format parquet needs the extra 'export': pip install 'batchgen[export]'") from None


def _schema(layout: Layout) -> pyarrow.Schema:
    import pyarrow

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    fields = [(IMAGE, image)]
    fields += [(column.name, pyarrow.type_for_alias(_TYPES[column.kind])) for column in layout.columns]
    info = {"info": {"features": features(layout.columns)}}
    return pyarrow.schema(fields, metadata={"huggingface": json.dumps(info)})
