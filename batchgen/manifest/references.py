"""Reference pictures and masks: found and looked at before anything is sent, each file once.

Local files are opened only to see that they are images and to hash them; links are never fetched.
Pillow is imported when the first picture is looked at.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import pybase64

from batchgen.manifest.words import shortened
from batchgen.model import LookedAt

_SETTLED: Final = 2.0


class Pictures:
    """The pictures of one manifest. Paths are relative to its folder.

    `looks` maps each absolute path that was looked at to what was found, `digests` to its content alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, tuple[str | None, str | None]] = {}
        self.looks: dict[str, LookedAt] = {}
        self.digests: dict[str, str] = {}

    def resolve(self, reference: str) -> str:
        """The reference as a job holds it: an absolute path, or the link or data URL as it is."""
        if _is_link(reference):
            return reference
        return os.path.abspath(self._folder / reference)

    def problem(self, reference: str, *, mask: bool = False) -> str | None:
        """What is wrong with the reference as the user wrote it, or None. A mask must be a PNG."""
        if not _is_link(reference):
            return self._file_problem(reference, mask)
        if reference[:5].lower() == "data:":
            return _data_url_problem(reference, mask)
        try:
            fine = bool(urlsplit(reference).hostname)
        except ValueError:
            fine = False
        return None if fine else "is not a whole http(s) address"

    def _file_problem(self, reference: str, mask: bool) -> str | None:
        path = self.resolve(reference)
        try:
            if os.path.isdir(path):
                return "is a folder"
            known = self.looks.get(path)
            if known is None or not _same_file(known, os.stat(path)):
                self.looks[path] = look = look_at(path)
                self.digests[path] = look.digest
                with open(path, "rb") as stream:
                    self._found[path] = _image(stream)
        except FileNotFoundError:
            return "no such file"
        except (OSError, ValueError) as error:
            return f"can't be read ({getattr(error, 'strerror', None) or error})"
        return _image_problem(*self._found[path], mask)


def look_at(path: str) -> LookedAt:
    """A local file as it is now. Raises OSError, ValueError."""
    now = time.time()
    facts = os.stat(path)
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


def _data_url_problem(reference: str, mask: bool) -> str | None:
    head, comma, body = reference.partition(",")
    if not comma or not head.lower().startswith("data:image/") or not head.lower().endswith(";base64"):
        return "is not a data URL of the form data:image/png;base64,…"
    try:
        data = pybase64.b64decode(body, validate=True)
    except ValueError:
        return "holds broken base64"
    return _image_problem(*_image(io.BytesIO(data)), mask)


def _image(stream: BinaryIO) -> tuple[str | None, str | None]:
    """What is wrong with a picture, and its format."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # A large picture is no mistake here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(stream) as image:
                form = image.format
                # Only decoding to the last pixel finds a JPEG whose end is missing.
                image.load()
    except Image.DecompressionBombError:
        return "has too many pixels", None
    except UnidentifiedImageError:
        return "is not an image", None
    except Exception:
        # Pillow's readers raise whatever broken bytes lead them to (SyntaxError, struct.error, …).
        return "is a damaged image", None
    return None, form


def _image_problem(problem: str | None, form: str | None, mask: bool) -> str | None:
    return problem or ("is not a PNG" if mask and form != "PNG" else None)
