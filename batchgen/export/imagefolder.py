"""Hugging Face's `imagefolder`: the pictures under the names they have, and a `metadata.jsonl` beside them.

Undivided, all of it lies at the top; divided, each part has a folder of its own.
"""

from __future__ import annotations

import json
import os
import re
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from batchgen.export.pictures import Picture
from batchgen.export.writer import Layout, Made, facts, made, part
from batchgen.images.inspect import extension

METADATA: Final = "metadata.jsonl"

# The loader takes these words, alone between signs and digits, for the name of a part: one picture called
# `test.png` would become the whole dataset. (datasets/data_files.py, SPLIT_KEYWORDS and NON_WORDS_CHARS)
_SPLIT_WORD: Final = re.compile(
    r"(?<![^-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?![^-._ 0-9])"
)


class ImageFolder:
    """Copies each picture, and adds a line to the metadata of its part."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: dict[str, TextIOWrapper] = {}
        self._rows: dict[str, int] = {}
        self._copies: dict[Path, int] = {}
        """Of names that several pictures want: the last number that was given."""

    def add(self, picture: Picture) -> None:
        """Write one row with its picture."""
        split = part(picture.row)
        folder = self._folder(split)
        if split not in self._open:
            folder.mkdir(exist_ok=True)
            self._open[split] = (folder / METADATA).open("w", encoding="utf-8", newline="\n")
        row = facts(picture.row)
        row["file_name"] = self._free(folder, safe_for_loaders(str(row["file_name"]), str(row["format"])))
        target = folder / str(row["file_name"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.data)
        self._open[split].write(json.dumps(row, ensure_ascii=False) + "\n")
        self._rows[split] = self._rows.get(split, 0) + 1

    def close(self) -> list[Made]:
        """The metadata files."""
        for file in self._open.values():
            file.close()
        layout = self._layout
        return [
            made(layout.folder, (self._folder(split) / METADATA).relative_to(layout.folder).as_posix(), split, rows)
            for split, rows in self._rows.items()
        ]

    def _free(self, folder: Path, path: str) -> str:
        """The path, or the next of `name~2`, `name~3`, … that no picture has yet."""
        stem, _, ending = path.rpartition(".")
        free = path
        while os.path.lexists(folder / free):
            number = self._copies[folder / path] = self._copies.get(folder / path, 1) + 1
            free = f"{stem}~{number}.{ending}"
        return free

    def _folder(self, split: str) -> Path:
        return self._layout.folder / split if self._layout.divided else self._layout.folder


def safe_for_loaders(path: str, format: str) -> str:
    """A picture's path with the extension of its format, and nothing in it that the loader reads a meaning into."""
    stem = path.rpartition(".")[0]
    parts = [_SPLIT_WORD.sub(r"\1~", name) for name in f"{stem}.{extension(format)}".split("/")]
    return "/".join(f"~{name}" if name.startswith("__") else name for name in parts)

