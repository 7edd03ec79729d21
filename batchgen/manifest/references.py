"""Reference pictures and masks: found and looked at before anything is sent, each file once.

Local files are opened only to see that they are images, to hash them, and to find out what becomes of
those that are too large; links are never fetched.
Pillow is imported when the first picture is looked at.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import pybase64

from batchgen.errors import BadImage
from batchgen.images.fitting import LARGEST, Looks, fitted, looks, oversize
from batchgen.manifest.words import shortened
from batchgen.model import Job, Json, LookedAt
from batchgen.providers.profile import Bounds, Profile

_SETTLED: Final = 2.0
# POST /v1/images/edits: a mask is a PNG below 4 MB.
_LARGEST_MASK: Final = 4_000_000
_HIDDEN: Final = re.compile(r"data:image/|(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD)[\w+/=-]{500}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found at a reference: what is wrong with it, or what it looks like and its length in bytes."""

    problem: str | None = None
    look: Looks | None = None
    length: int = 0


Told: TypeAlias = tuple[tuple[str | int, ...], str]
"""The key of a job that is wrong, with the place in its list, and what is wrong."""


class Pictures:
    """The pictures of one manifest. Paths are relative to its folder.

    `looks` maps each absolute path that was looked at to what was found, `digests` to its content alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, _Found] = {}
        self._last = ("", _Found())
        self._fitted: dict[tuple[str, Bounds], tuple[str | None, str | None]] = {}
        self.looks: dict[str, LookedAt] = {}
        self.digests: dict[str, str] = {}

    def resolve(self, reference: str) -> str:
        """The reference as a job holds it: an absolute path, or the link or data URL as it is."""
        if _is_link(reference):
            return reference
        return os.path.abspath(self._folder / reference)

    def resolved(self, job: Job) -> Job:
        """The job with its pictures as `resolve` gives them."""
        if not job.references and not job.mask:
            return job
        mask = self.resolve(job.mask) if job.mask else None
        return replace(job, references=tuple(map(self.resolve, job.references)), mask=mask)

    def problems(self, job: Job) -> Iterator[Told]:
        """What is wrong with the pictures of a job as the user wrote it, at whatever provider."""
        for index, reference in enumerate(job.references):
            if trouble := self._problem(reference):
                yield ("references", index), f"reference '{named(reference)}' {trouble}"
        if job.mask and (trouble := self._problem(job.mask, mask=True)):
            yield ("mask",), f"mask '{named(job.mask)}' {trouble}"
        if text := hidden_picture(job.params, "params"):
            yield ("params",), text

    def _problem(self, reference: str, *, mask: bool = False) -> str | None:
        """What is wrong with a reference, or None. A mask must be a PNG with alpha."""
        found = self._find(reference)
        if found is None:
            return None if _whole_address(reference) else "is not a whole http(s) address"
        if found.problem is not None or not mask or found.look is None:
            return found.problem
        if found.look.format != "PNG":
            return "is not a PNG"
        if not found.look.alpha:
            return "has no alpha channel: a mask is transparent where the picture is to change"
        over = oversize(found.length, found.look.size, Bounds(_LARGEST_MASK))
        return f"{over} for a mask" if over else None

    def misfits(self, job: Job, profile: Profile, model: str) -> Iterator[Told]:
        """What of the job's pictures, named as the user wrote them, this model of a provider will not take."""
        bounds = profile.bounds(model)
        for index, reference in enumerate(job.references):
            problem = self._fit(reference, bounds)[0]
            if problem is not None and not bounds.shrink:
                problem += f" by {profile.name}: 'references: {{max_bytes: {bounds.max_bytes}}}' there shrinks it"
            if problem is not None:
                yield ("references", index), f"reference '{named(reference)}' {problem}"
        if job.mask and job.references and job.after is None:
            mask, first = self._find(job.mask), self._find(job.references[0])
            if mask and first and mask.look and first.look and mask.look.size != first.look.size:
                yield (
                    ("mask",),
                    f"mask '{named(job.mask)}' has {_pixels(mask.look)} pixels, "
                    f"the first reference {_pixels(first.look)}: they must be alike",
                )

    def remarks(self, job: Job, profile: Profile) -> Iterator[str]:
        """What of the job's references is larger than the provider advises, where nothing shrinks it."""
        advised = profile.advised_reference
        if advised is None or profile.references is not None:
            return
        for reference in job.references:
            found = self._find(reference)
            if found is not None and found.look is not None and found.length > advised:
                yield (
                    f"reference '{named(reference)}' has {found.length:,} bytes, and {profile.name} advises "
                    f"{advised:,} at most: 'references: {{max_bytes: {advised}}}' there shrinks it"
                )

    def as_sent(self, job: Job, bounds: Bounds) -> Mapping[str, str]:
        """What stands for the content of each of the job's pictures when it is sent within these bounds."""
        contents = {}
        for reference in (*job.references, *((job.mask,) if job.mask else ())):
            place = self.resolve(reference)
            contents[place] = self.digests.get(place, place)
            if reference != job.mask and (how := self._fit(reference, bounds)[1]):
                contents[place] += f" as {how}"
        return contents

    def _fit(self, reference: str, bounds: Bounds) -> tuple[str | None, str | None]:
        """What is wrong with the reference within `bounds`, and what they make of it; None twice for a link."""
        found = self._find(reference)
        if found is None or found.look is None:
            return None, None
        over = oversize(found.length, found.look.size, bounds)
        if over is None:
            return None, None
        if not bounds.shrink and found.look.plain:
            return over, None
        key = (self.resolve(reference), bounds)
        if key not in self._fitted:
            try:
                self._fitted[key] = None, fitted(self._read(reference), bounds).how
            except (OSError, BadImage) as error:
                self._fitted[key] = str(error), None
        return self._fitted[key]

    def _find(self, reference: str) -> _Found | None:
        """What is there; None for a link, which is not looked at."""
        if reference[:5].lower() == "data:":
            if self._last[0] != reference:
                self._last = (reference, _found(partial(self._read, reference)))
            return self._last[1]
        return None if _is_link(reference) else self._file(reference)

    def _file(self, reference: str) -> _Found:
        path = self.resolve(reference)
        try:
            if os.path.isdir(path):
                return _Found("is a folder")
            known = self.looks.get(path)
            if known is None or not _same_file(known, os.stat(path)):
                self.looks[path] = look = look_at(path)
                self.digests[path] = look.digest
                self._fitted = {key: fit for key, fit in self._fitted.items() if key[0] != path}
                self._found[path] = _found(partial(self._read, reference))
        except FileNotFoundError:
            return _Found("is neither a file nor an http(s) address" if "://" in reference else "(no such file)")
        except (OSError, ValueError) as error:
            return _Found(f"can't be read ({getattr(error, 'strerror', None) or error})")
        return self._found[path]

    def _read(self, reference: str) -> bytes:
        """The bytes of a file or data URL. Raises `OSError`, `BadImage`."""
        if not _is_link(reference):
            return Path(self.resolve(reference)).read_bytes()
        head, comma, body = reference.partition(",")
        if not comma or not head.lower().startswith("data:image/") or not head.lower().endswith(";base64"):
            raise BadImage("is not a data URL of the form data:image/png;base64,…")
        try:
            return pybase64.b64decode(body, validate=True)
        except ValueError as error:
            raise BadImage("holds broken base64") from error


def hidden_picture(values: Mapping[str, Json], name: str) -> str | None:
    """Where in the user's own mapping `name` a picture stands as text, which the ledger is not to hold."""
    for key, value in values.items():
        place = f"{name}.{key}"
        if isinstance(value, str) and _HIDDEN.match(value):
            return f"{place} holds a picture: give it in 'references', as a file, a link or a data URL"
        inner = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(inner, Mapping) and (found := hidden_picture({str(k): v for k, v in inner.items()}, place)):
            return found
    return None


def look_at(path: str) -> LookedAt:
    """A local file as it is now. Raises OSError, also for what has no end, and ValueError."""
    now = time.time()
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "a device or a pipe, not a file")
    if facts.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"larger than {LARGEST:,} bytes")
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return LookedAt(
        path=path,
        digest=f"sha256:{digest}",
        size=facts.st_size,
        inode=facts.st_ino,
        modified=facts.st_mtime_ns,
        changed=facts.st_ctime_ns,
        looked_at=now,
    )


def still(known: LookedAt) -> LookedAt | None:
    """The picture as it is now, if its content is what it was; the same value when nothing is new about it.

    What the file system says is believed for a file that had been left alone for a while when it was
    looked at (git's rule): it could have been written to twice within one tick of the clock.
    """
    try:
        settled = max(known.modified, known.changed) / 1e9 < known.looked_at - _SETTLED
        if settled and _same_file(known, os.stat(known.path)):
            return known
        now = look_at(known.path)
    except OSError:
        return None
    return now if now.digest == known.digest else None


def _same_file(known: LookedAt, facts: os.stat_result) -> bool:
    return (known.size, known.inode, known.modified, known.changed) == (
        facts.st_size,
        facts.st_ino,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )


def named(reference: str) -> str:
    """The reference as a problem line shows it: a data URL by its kind, anything else shortened."""
    if reference[:5].lower() == "data:":
        return reference.split(",", 1)[0][:40] + ",…"
    return shortened(reference)


def _is_link(reference: str) -> bool:
    return reference.lower().startswith(("http:", "https:", "data:"))


def _whole_address(link: str) -> bool:
    try:
        return bool(urlsplit(link).hostname)
    except ValueError:
        return False


def _found(read: Callable[[], bytes]) -> _Found:
    try:
        data = read()
        return _Found(None, looks(data, whole=True), len(data))
    except BadImage as error:
        return _Found(str(error))


def _pixels(look: Looks) -> str:
    return f"{look.size[0]}x{look.size[1]}"
