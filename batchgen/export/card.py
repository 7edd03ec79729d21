"""`README.md` of a dataset: the card by which Hugging Face's loaders know its parts and the kind of each column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from batchgen.export.rows import Column, Kind
from batchgen.images.inspect import extension

CARD: Final = "README.md"
_DTYPES: Final[dict[Kind, str]] = {
    "text": "string",
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "time": "string",
}


def features(columns: Sequence[Column]) -> dict[str, dict[str, str]]:
    """The features of the datasets library, as its JSON has them: an image, then the columns."""
    values = {column.name: {"dtype": _DTYPES[column.kind], "_type": "Value"} for column in columns}
    return {"image": {"_type": "Image"}, **values}


def card(name: str, images: int, files: Sequence[tuple[str, Sequence[str]]], schema: Sequence[str]) -> str:
    """The card of so many images. `files`: each part with the patterns of its files; `schema`: lines of features."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, patterns in files:
        lines += [f"  - split: {split}", "    path:", *(f"    - {json.dumps(pattern)}" for pattern in patterns)]
    if not files:
        lines[-1] += " []"
    lines += ["dataset_info:", "  features:", *(f"  {line}" for line in schema)]
    return "\n".join([*lines, "---", "", f"# {name}", "", f"{images} images with their prompts, by batchgen."]) + "\n"


def flat_schema(columns: Sequence[Column]) -> Iterator[str]:
    """An image and the columns beside it."""
    yield from ("- name: image", "  dtype: image")
    yield from _values(columns)


def tar_schema(columns: Sequence[Column], formats: Sequence[str]) -> Iterator[str]:
    """A column for each kind of picture and one for the JSON: what a sample lacks is null.

    Without it the loader would take the first samples' kinds for those of all.
    """
    for format in formats:
        yield from (f"- name: {extension(format)}", "  dtype: image")
    yield from ("- name: json", "  struct:")
    yield from (f"  {line}" for line in _values(columns))
    for name in ("__key__", "__url__"):
        yield from (f"- name: {name}", "  dtype: string")


def _values(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        yield from (f"- name: {json.dumps(column.name)}", f"  dtype: {_DTYPES[column.kind]}")
