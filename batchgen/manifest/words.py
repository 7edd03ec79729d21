"""Small readings of what a user writes: durations, ratios, sizes, numbers as written, nearest known word. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Self

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_RATIO = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)\s*:\s*(\d{1,5}(?:\.\d{1,4})?)", re.ASCII)
_PIXELS = re.compile(r"(\d{1,5})\s*[xX×*]\s*(\d{1,5})", re.ASCII)
_TIER = re.compile(r"\d{1,2}(?:\.\d)?[kK]", re.ASCII)
_WORD_SIZES = frozenset({"auto", "adaptive"})


class Written(float):
    """A number of a JSON file that remembers how it was written: `id: 1.50` is no 1.5."""

    written: str
    __slots__ = ("written",)

    def __new__(cls, written: str) -> Self:
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __repr__(self) -> str:
        return self.written


def parse_duration(text: str) -> float | None:
    """Seconds of `90s`, `20m`, `1h30m`, `7d` or a plain number of seconds; None when it is none of these."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def parse_ratio(text: str) -> tuple[float, float] | None:
    """Width and height of `16:9` or `1.91:1`; None when it is not W:H with both above zero."""
    match = _RATIO.fullmatch(text.strip())
    if match is None:
        return None
    width, height = float(match[1]), float(match[2])
    return (width, height) if width > 0 and height > 0 else None


LISTED = "batchgen providers lists them"
"""Where the names of providers and models can be looked up."""


def tidy_ratio(text: str) -> str | None:
    """`16 : 9` as `16:9`; None when it is no ratio."""
    return re.sub(r"\s", "", text) if parse_ratio(text) else None


def tidy_size(text: str) -> str | None:
    """A size as providers write it (`1024x1024`, `2K`, `auto`, `adaptive`); None when it is none of these.

    The multiplication sign becomes `x`: new-api answers it with an error (its own relay code).
    """
    text = text.strip()
    pixels = _PIXELS.fullmatch(text)
    if pixels:
        width, height = int(pixels[1]), int(pixels[2])
        return f"{width}x{height}" if width and height else None
    if _TIER.fullmatch(text):
        return text.upper()
    return text.lower() if text.lower() in _WORD_SIZES else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one most likely means, or None when nothing is close."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.65)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'prompt'?` or nothing: the tail of a problem line."""
    close = nearest(word, known)
    return f", did you mean '{close}'?" if close else ""


def known_or(word: str, known: Iterable[str], else_say: str) -> str:
    """`did_you_mean`, or where nothing is close what else there is to do, as in `; batchgen providers lists them`."""
    return did_you_mean(word, known) or f"; {else_say}"


def shortened(value: object, width: int = 60) -> str:
    """A value as it may stand in a problem line: one line, not long."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
