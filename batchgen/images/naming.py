"""Names of files from words that a manifest or a provider chose. Pure.

One rule for all of them: whatever comes in, the name lies in its folder, is legal on every common
file system, and two different words never share one, not even where upper and lower case are the same.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from batchgen.model import Job

LONGEST_NAME: Final = 100
"""Bytes in UTF-8; file systems allow 255, and an extension and marks still have to fit."""

MARK: Final = "~"
"""Stands in a name only where this file has put it, which is what keeps derived names apart."""

FROM_JOB: Final = (
    *("id", "prompt", "model", "provider", "ratio", "size", "quality", "output_format"),
    *("output_compression", "background", "n", "after"),
)
PLACEHOLDERS: Final = (*FROM_JOB, "position", "date", "sha256", "ext")
"""What may stand in braces in `output.path`, beside `meta.NAME`, or NAME alone where it is none of these."""

NOTHING: Final = "none"
"""Stands in a name for a key that the job does not have."""

# Only the bytes know these two; until then they stand in a target in brackets, which are legal in no name.
_SHA256: Final = "<sha256>"
_EXT: Final = "<ext>"
_HASH_DIGITS: Final = 10
_FORBIDDEN: Final = frozenset('/\\:*?"<>|' + MARK)
# Joins emoji into one sign (families, flags); every other invisible character goes.
_JOINER: Final = "\u200d"
_PLAIN: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,99}")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?")
_PIECE: Final = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")
# What holds their places while a name is tidied up.
_ROOM: Final = {_SHA256: "zsha256z", _EXT: "zextz"}


def safe_name(text: str, *, keep_case: bool = False) -> str:
    """A file name for `text`, never empty, at most 100 bytes.

    A lower-case word without odd characters stays as it is. Anything else is tidied up and gets
    `~` and ten digits of its hash, so that it can't meet another one. With `keep_case` upper case is not
    odd, and whoever asks takes care of names that differ by nothing else.
    """
    if _PLAIN.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text  # as most are
    tidy = "".join(_tidy(char) for char in unicodedata.normalize("NFC", text))
    tidy = tidy.lstrip(". ").rstrip(". ")
    if _RESERVED.fullmatch(tidy):
        tidy = f"_{tidy}"
    # Not `lower()`: file systems that ignore case fold ß to ss as well.
    plain = keep_case or text == text.casefold()
    if tidy and tidy == text and plain and len(tidy.encode()) <= LONGEST_NAME:
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
    return f"images/{safe_name(job_id)}{_marks(round, position)}"


def placeholders(template: str) -> Iterator[str]:
    """What stands in braces in a template; `{` for a brace that is alone."""
    for piece in _PIECE.finditer(template):
        if piece["name"] is not None:
            yield piece["name"]
        elif piece[0] in "{}":
            yield piece[0]


def names_apart(template: str) -> bool:
    """Whether the bytes themselves tell the files of a template apart."""
    return "sha256" in placeholders(template)


def values_of(job: Job, *, provider: str, position: int, date: str) -> dict[str, str]:
    """What the placeholders stand for; `16:9` as `16x9`. `date`: the day the image was made, as in 2026-11-20."""
    values: dict[str, object] = dict(job.meta)
    values |= {name: getattr(job, name) for name in FROM_JOB} | {"provider": provider}
    values |= {f"meta.{name}": value for name, value in job.meta.items()}
    texts = {name: NOTHING if value in (None, "") else str(value) for name, value in values.items()}
    texts["ratio"] = texts["ratio"].replace(":", "x")
    return {**texts, "position": str(position), "date": date, "sha256": _SHA256, "ext": _EXT}


def templated(template: str, values: Mapping[str, str], *, round: int = 1, apart: bool = False) -> str:
    """Where an output goes by a template, below the workspace and without its extension.

    Only the template's own slashes make folders. Where it has no position, images after the first are
    told apart as in `target`; `apart` adds the job's id.
    """
    template = template.removesuffix(".{ext}")
    names = "/".join(_segment(part, values) for part in template.split("/"))
    if apart:
        names += f"{MARK}{safe_name(values['id'])}"
    told = "position" in placeholders(template)
    return f"images/{names}{_marks(round, 0 if told else int(values['position']))}"


def by_content(target: str) -> bool:
    """Whether the digest is part of the name."""
    return _SHA256 in target


def settled(target: str, sha256: str, ext: str) -> str:
    """The target as the path of a file whose bytes are known."""
    return f"{target.replace(_SHA256, sha256).replace(_EXT, ext)}.{ext}"


def _marks(round: int, position: int) -> str:
    return (f"{MARK}r{round}" if round > 1 else "") + (f"{MARK}{position}" if position > 0 else "")


def _segment(part: str, values: Mapping[str, str]) -> str:
    """One folder's or file's name; what only the bytes know is put in at the end, and never cut."""

    def fill(piece: re.Match[str]) -> str:
        name = piece["name"]
        return piece[0][0] if name is None else values.get(name, NOTHING)

    text = _PIECE.sub(fill, part)
    late = [mark for mark in _ROOM if mark in text]
    for mark in late:
        text = text.replace(mark, _ROOM[mark])
    name = safe_name(text, keep_case=True)
    for mark in late:
        name = name.replace(_ROOM[mark], mark) if _ROOM[mark] in name else f"{name}{MARK}{mark}"
    return name
