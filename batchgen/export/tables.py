"""CSV and JSON Lines: one row an image, and the pictures stay where they are, in the workspace."""

from __future__ import annotations

import csv
import json
from typing import Final

from batchgen.export.pictures import Picture
from batchgen.export.rows import SPLIT, WHOLE_SET
from batchgen.export.writer import Layout, Made, facts, made
from batchgen.model import Json

STEM: Final = "images"


class Csv:
    """A head and a line for each row; JSON words for true and false, nothing for what is not known."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows = 0
        self._file = (layout.folder / f"{STEM}.csv").open("w", encoding="utf-8", newline="")
        names = [column.name for column in layout.columns] + [SPLIT.name] * layout.divided
        self._table = csv.DictWriter(self._file, names, lineterminator="\n")
        self._table.writeheader()

    def add(self, picture: Picture) -> None:
        """Write one row."""
        row = picture.row if self._layout.divided else facts(picture.row)
        self._table.writerow({name: _cell(value) for name, value in row.items()})
        self._rows += 1

    def close(self) -> list[Made]:
        """The table."""
        self._file.close()
        return [made(self._layout.folder, f"{STEM}.csv", WHOLE_SET, self._rows)]


class JsonLines:
    """One JSON object a line."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rows = 0
        self._file = (layout.folder / f"{STEM}.jsonl").open("w", encoding="utf-8", newline="\n")

    def add(self, picture: Picture) -> None:
        """Write one row."""
        row = picture.row if self._layout.divided else facts(picture.row)
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._rows += 1

    def close(self) -> list[Made]:
        """The table."""
        self._file.close()
        return [made(self._layout.folder, f"{STEM}.jsonl", WHOLE_SET, self._rows)]


def _cell(value: Json) -> Json:
    return json.dumps(value) if isinstance(value, bool) else value
