"""Reference pictures and masks: found and looked at before anything is sent, each file once.

Local files are opened only to see that they are images and to hash them; links are never fetched.
Pillow is imported when the first picture is looked at.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pybase64

from batchgen.manifest.words import shortened


class Pictures:
    """The pictures of one manifest. Paths are relative to its folder.

    `digests` maps each absolute path that was looked at to its content's `sha256:…`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looked: dict[tuple[str, bool, int, int], str | None] = {}
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
            stat = os.stat(path)
            if os.path.isdir(path):
                return "is a folder"
            key = (path, mask, stat.st_mtime_ns, stat.st_size)
            if key not in self._looked:
                self.digests[path] = _digest(path)
                with open(path, "rb") as stream:
                    self._looked[key] = _image_problem(stream, mask)
        except FileNotFoundError:
            return "no such file"
        except (OSError, ValueError) as error:
            return f"can't be read ({getattr(error, 'strerror', None) or error})"
        return self._looked[key]


def named(reference: str) -> str:
    """The reference as a problem line shows it: a data URL by its kind, anything else shortened."""
    if reference[:5].lower() == "data:":
        return reference.split(",", 1)[0][:40] + ",…"
    return shortened(reference)


def _is_link(reference: str) -> bool:
    return reference.lower().startswith(("http:", "https:", "data:"))


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def _data_url_problem(reference: str, mask: bool) -> str | None:
    head, comma, body = reference.partition(",")
    if not comma or not head.lower().startswith("data:image/") or not head.lower().endswith(";base64"):
        return "is not a data URL of the form data:image/png;base64,…"
    try:
        data = pybase64.b64decode(body, validate=True)
    except ValueError:
        return "holds broken base64"
    return _image_problem(io.BytesIO(data), mask)


def _image_problem(stream: BinaryIO, mask: bool) -> str | None:
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
        return "has too many pixels"
    except UnidentifiedImageError:
        return "is not an image"
    except Exception:
        # Pillow's readers raise whatever broken bytes lead them to (SyntaxError, struct.error, …).
        return "is a damaged image"
    return "is not a PNG" if mask and form != "PNG" else None
