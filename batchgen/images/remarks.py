"""What is worth a remark about a saved image: another shape than was asked for, or the look of another one. Pure.

Remarks are never errors: what came was paid for, and is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

from batchgen.manifest.words import parse_ratio
from batchgen.model import Job
from batchgen.providers.shape import normal_size

SAME_SHAPE = 0.04
"""Ratios this near are the same (natural logarithm): size tables round to multiples of 8, 16 or 32."""

SAME_SIZE = 0.04
"""Edges this near, as a part of what was asked for, are the same."""

NEAR = 3
"""Difference hashes that differ in at most so many of 64 bits are of pictures that look alike."""

_COMMON = (
    *("1:1", "5:4", "4:3", "3:2", "16:10", "16:9", "2:1", "21:9", "3:1"),
    *("4:5", "3:4", "2:3", "10:16", "9:16", "1:2", "9:21", "1:3"),
)


def about_shape(job: Job, width: int, height: int, *, exact: bool) -> tuple[str, ...]:
    """Whether the picture has the asked size, else the asked ratio. `exact` False: a size counts as a ratio."""
    size = _pixels(job.size)
    got = f"{width}x{height}{_named(width, height)}"
    if size is not None:
        wide, high = size
        if exact:
            same = abs(width - wide) <= SAME_SIZE * wide and abs(height - high) <= SAME_SIZE * high
        else:
            same = _apart(width / height, wide / high) <= SAME_SHAPE
        return () if same else (f"asked for {wide}x{high}, got {got}",)
    ratio = parse_ratio(job.ratio) if job.ratio else None
    if ratio is None or _apart(width / height, ratio[0] / ratio[1]) <= SAME_SHAPE:
        return ()
    return (f"asked for {job.ratio}, got {got}",)


def numbered(remarks: Iterable[str], position: int, wanted: int) -> tuple[str, ...]:
    """The remarks with the image's number, where a job has several."""
    return tuple(f"image {position}: {remark}" if wanted > 1 else remark for remark in remarks)


def bits_apart(one: int, other: int) -> int:
    """In how many bits two 64-bit hashes differ, whatever their signs."""
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def _pixels(size: str | None) -> tuple[int, int] | None:
    wide, x, high = normal_size(size or "").partition("x")
    return (int(wide), int(high)) if x and wide.isdecimal() and high.isdecimal() and int(wide) and int(high) else None


def _apart(one: float, other: float) -> float:
    return abs(log(one / other))


def _named(width: int, height: int) -> str:
    for name in _COMMON:
        wide, _, high = name.partition(":")
        if _apart(width / height, int(wide) / int(high)) <= SAME_SHAPE / 2:
            return f" ({name})"
    return ""
