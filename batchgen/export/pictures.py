"""The pictures of an export: read from the workspace, compared with the ledger, encoded anew if asked.

Threads read ahead of the writer, a few pictures at most; they come out in the order of their rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from batchgen.export.rows import Row
from batchgen.images.ahead import FAR, THREADS, ahead
from batchgen.storage.stores import opened, source_of

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FORMATS: Final = ("png", "jpeg", "webp")
"""What pictures can be encoded to."""

# PNG keeps every pixel; the other two are as good as eyes can tell.
_SAVE: Final[dict[str, dict[str, Any]]] = {
    "png": {},
    "jpeg": {"quality": 92, "subsampling": 0},
    "webp": {"quality": 90, "method": 4},
}


class Lost(StrEnum):
    """Why a picture that the ledger calls saved is not in the export."""

    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of every picture: the longest side in pixels, the format; None leaves it as it is."""

    longest: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file that is as its row says."""

    row: Row
    data: bytes


Kept: TypeAlias = tuple[Row, str | None]
"""A row, and the address of the object store that holds its picture; None: the workspace."""


def pictures(workspace: Path, rows: Iterable[Kept], shape: Shape) -> Iterator[tuple[Row, Picture | Lost]]:
    """Each row with its picture, in order. A picture that was encoded anew has a row with its new facts."""
    for far, some in groupby(rows, _is_far):
        for (row, _), found in ahead(some, lambda kept: _picture(workspace, kept, shape), FAR if far else THREADS):
            yield row, found


def on_disk(workspace: Path, rows: Iterable[Kept]) -> Iterator[tuple[Row, Picture | Lost]]:
    """Like `pictures` for whoever wants no bytes: only whether a file of that size is there.

    One in an object store has its whole address for a name.
    """
    for far, some in groupby(rows, _is_far):
        if far:
            for (row, _), found in ahead(some, lambda kept: _there(workspace, kept), FAR):
                yield row, found
        else:
            yield from ((kept[0], _there(workspace, kept)) for kept in some)


def _is_far(kept: Kept) -> bool:
    return kept[1] is not None


def _there(workspace: Path, kept: Kept) -> Picture | Lost:
    row, store = kept
    path = str(row["file_name"])
    size = opened(workspace, store).size(path)
    if size is None:
        return Lost.MISSING
    named = row if store is None else {**row, "file_name": source_of(store, path)}
    return Picture(named, b"") if size == row["bytes"] else Lost.CHANGED


def _picture(workspace: Path, kept: Kept, shape: Shape) -> Picture | Lost:
    row, store = kept
    file = opened(workspace, store).open(str(row["file_name"]))
    if file is None:
        return Lost.MISSING
    with file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        return Lost.CHANGED
    sides = (row["width"], row["height"])
    smaller = shape.longest is not None and any(isinstance(side, int) and side > shape.longest for side in sides)
    if not smaller and shape.format in (None, row["format"]):
        return Picture(row, data)
    return _encoded(row, data, shape)


def _encoded(row: Row, data: bytes, shape: Shape) -> Picture | Lost:
    from PIL import Image, ImageOps  # late: the plain copy does without

    format = shape.format or (str(row["format"]) if row["format"] in IMAGE_FORMATS else "png")
    Image.MAX_IMAGE_PIXELS = None  # `images.inspect` refused what is too large when it was downloaded
    try:
        with Image.open(BytesIO(data)) as opened:
            # A profile for inks means nothing to the colours that these become.
            profile = opened.info.get("icc_profile") if opened.mode in ("RGB", "RGBA") else None
            image = flat(ImageOps.exif_transpose(opened), format)
    except Exception as error:  # Pillow's decoders raise nearly anything on data they don't like
        if isinstance(error, MemoryError):
            raise
        return Lost.UNREADABLE
    if shape.longest is not None:
        image.thumbnail((shape.longest, shape.longest), Image.Resampling.LANCZOS)
    saved = BytesIO()
    image.save(saved, format.upper(), icc_profile=profile, **_SAVE[format])
    new = saved.getvalue()
    facts: dict[str, Any] = {
        "sha256": hashlib.sha256(new).hexdigest(),
        "bytes": len(new),
        "width": image.width,
        "height": image.height,
        "format": format,
    }
    return Picture({**row, **facts}, new)


def flat(image: Image, format: str) -> Image:
    """The image in a mode that the format takes: JPEG knows no transparency, so it gets white behind it."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image if image.mode in ("RGB", "L") else image.convert("RGB")
    clear = image.convert("RGBA")
    if format != "jpeg":
        return clear
    from PIL import Image as images

    white = images.new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    return white
