"""Names of files from words that a manifest or a provider chose. Pure.

One rule for all of them: whatever comes in, the name lies in its folder, is legal on every common
file system, and two different words never share one, not even where upper and lower case are the same.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

LONGEST_NAME: Final = 100
"""Bytes in UTF-8; file systems allow 255, and an extension and marks still have to fit."""

MARK: Final = "~"
"""Stands in a name only where this file has put it, which is what keeps derived names apart."""

_HASH_DIGITS: Final = 10
_FORBIDDEN: Final = frozenset('/\\:*?"<>|' + MARK)
# Joins emoji into one sign (families, flags); every other invisible character goes.
_JOINER: Final = "\u200d"
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?")


def safe_name(text: str) -> str:
    """A file name for `text`, never empty, at most 100 bytes.

    A lower-case word without odd characters stays as it is. Anything else is tidied up and gets
    `~` and ten digits of its hash, so that it can't meet another one.
    """
    tidy = "".join(_tidy(char) for char in unicodedata.normalize("NFC", text))
    tidy = tidy.lstrip(". ").rstrip(". ")
    if _RESERVED.fullmatch(tidy):
        tidy = f"_{tidy}"
    # Not `lower()`: file systems that ignore case fold ß to ss as well.
    if tidy and tidy == text == text.casefold() and len(tidy.encode()) <= LONGEST_NAME:
        return tidy
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    room = LONGEST_NAME - _HASH_DIGITS - len(MARK)
    stem = tidy.encode()[:room].decode("utf-8", "ignore").rstrip(". " + _JOINER)
    return f"{stem or 'unnamed'}{MARK}{digest}"


def _tidy(char: str) -> str:
    if char in _FORBIDDEN:
        return "_"
    category = unicodedata.category(char)
    if category in ("Zl", "Zp", "Cc", "Cs") or (category == "Cf" and char != _JOINER):
        return "_"
    return char


def target(job_id: str, position: int, round: int) -> str:
    """Where an output goes, below the workspace and without extension.

    `images/cat` for the first image, `images/cat~1` for the second, `images/cat~r2` for the first
    one after the job's request had changed once.
    """
    name = safe_name(job_id)
    if round > 1:
        name += f"{MARK}r{round}"
    if position > 0:
        name += f"{MARK}{position}"
    return f"images/{name}"
