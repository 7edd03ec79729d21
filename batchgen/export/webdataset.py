"""WebDataset: tar shards in which `000000012.png` and `000000012.json` are one sample.

Shards and samples are numbered from 0 without a gap; owners and times are the same in every tar.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from typing import BinaryIO

from batchgen.export.pictures import Picture
from batchgen.export.writer import Layout, Made, facts, made, part
from batchgen.images.inspect import extension

_BLOCK = 512
"""Every member has a head of so many bytes, and is filled up to a multiple of them."""

_END = 2 * _BLOCK
"""Zeros that end a tar."""


@dataclass(slots=True)
class _Shards:
    """The shard of one part that is being written."""

    file: BinaryIO
    path: str
    number: int = 0
    rows: int = 0
    size: int = 0


class WebDataset:
    """Writes samples into shards of a given size, part by part."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: dict[str, _Shards] = {}
        self._samples: dict[str, int] = {}
        self._made: list[Made] = []

    def add(self, picture: Picture) -> None:
        """Write one row with its picture."""
        split = part(picture.row)
        key = f"{self._samples.get(split, 0):09d}"
        self._samples[split] = self._samples.get(split, 0) + 1
        name = f"{key}.{extension(str(picture.row['format']))}"
        text = json.dumps({**facts(picture.row), "file_name": name}, ensure_ascii=False).encode()
        size = _room(picture.data) + _room(text)
        shard = self._shard(split, size)
        # The picture first: readers that stream have it when its JSON ends the sample.
        for member, data in ((name, picture.data), (f"{key}.json", text)):
            _append(shard.file, member, data)
        shard.rows += 1
        shard.size += size

    def close(self) -> list[Made]:
        """The shards."""
        for split, shard in self._open.items():
            self._finish(split, shard)
        return sorted(self._made, key=lambda file: list(self._open).index(file.split))

    def _shard(self, split: str, more: int) -> _Shards:
        shard, number = self._open.get(split), 0
        if shard is not None:
            if not self._layout.shard.full(shard.size, shard.rows, more):
                return shard
            self._finish(split, shard)
            number = shard.number + 1
        path = f"{split}-{number:06d}.tar"
        self._open[split] = _Shards((self._layout.folder / path).open("wb"), path, number)
        return self._open[split]

    def _finish(self, split: str, shard: _Shards) -> None:
        shard.file.write(bytes(_END))
        shard.file.close()
        self._made.append(made(self._layout.folder, shard.path, split, shard.rows))


def _append(file: BinaryIO, name: str, data: bytes) -> None:
    """A member: its head, its bytes, and zeros up to a whole block. A `TarFile` would remember every member."""
    info = tarfile.TarInfo(name)  # owner 0, time 0
    info.size, info.mode = len(data), 0o644
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))


def _room(data: bytes) -> int:
    return _BLOCK + -(-len(data) // _BLOCK) * _BLOCK
