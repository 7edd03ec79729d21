"""Is this file a picture, whole, and of which format and size? The name and the headers are never asked.

Reads and decodes; changes nothing. Decoding blocks and takes memory: call it in a thread, behind
`decoders()`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import IO, Final, cast

from batchgen.errors import BadImage
from batchgen.images.threads import at_most

MAX_PIXELS: Final = 200_000_000
"""800 MB decoded: beyond any provider's sizes, and what a machine can still bear."""

HEAD_BYTES: Final = 512
_EXTENSIONS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp", "gif": "gif", "avif": "avif"}
EXTENSIONS: Final = tuple(_EXTENSIONS.values())
PIXELS_AT_ONCE: Final = 64_000_000
"""Decoded at a time, all threads together: 256 MB. A picture of more is decoded alone."""

_BLOCK: Final = 1 << 18
"""Bytes handed to the decoder at a time. Larger blocks cost more: their memory is fetched anew for each file."""

decoders: Final = at_most(6, "decoding images")
"""The event loop's limit on threads that decode, and wait for the disk; their memory is bounded by `decoding`."""


class Pixels:
    """How many pixels may be decoded at a time; whoever finds no room waits, and all who come later with it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Within: these are being decoded. More than all there may be count as all."""
        pixels = min(pixels, self._most)
        with self._turn, self._changed:  # small ones that pass a large one could go on doing so all night
            self._changed.wait_for(lambda: self._taken + pixels <= self._most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


decoding: Final = Pixels(PIXELS_AT_ONCE).of
"""`with decoding(pixels):` around whatever holds a whole picture in memory."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the bytes are: format as in `png jpeg webp gif avif`, width and height in pixels."""

    format: str
    width: int
    height: int


def extension(format: str) -> str:
    """The file extension of a format, without the dot: `jpg` for `jpeg`."""
    return _EXTENSIONS[format]


def sniff(head: bytes) -> str | None:
    """The format that the first bytes announce, or None. 32 bytes are enough."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp" and (b"avif" in head[8:32] or b"avis" in head[8:32]):
        return "avif"
    return None


def instead(head: bytes) -> str:
    """In plain words, what was sent instead of an image."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text:
        return "the server sent nothing instead of an image"
    if text.startswith((b"<!doctype html", b"<html")):
        return "the server sent an HTML page instead of an image"
    if text.startswith((b"<?xml", b"<error")):
        return "the server sent an XML document instead of an image"
    if text.startswith(b"<svg"):
        return "the server sent an SVG drawing, not a PNG, JPEG, WebP, GIF or AVIF image"
    if text.startswith(b"<"):
        return "the server sent a web page or document instead of an image"
    if text.startswith((b"{", b"[")):
        return "the server sent JSON instead of an image"
    return "the bytes are not a PNG, JPEG, WebP, GIF or AVIF image"


class _Window(RawIOBase):
    """Megabytes in memory as a file, read without a copy of them all, whose memory costs more than their pixels."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._place = 0

    def read(self, size: int = -1, /) -> bytes:
        came = bytes(self._data[self._place : self._place + size if size >= 0 else None])
        self._place += len(came)
        return came

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = max(0, offset + (0, self._place, len(self._data))[whence])
        return self._place

    def tell(self) -> int:
        return self._place


def inspect(path: Path, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode the first frame of `path` to its last pixel. Raises `BadImage`, or `OSError` of the disk."""
    with path.open("rb", buffering=_BLOCK) as file:
        return _inspect(file, max_pixels)


def inspect_data(data: memoryview, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """The same for a file whose bytes are in memory."""
    if len(data) < _BLOCK:  # a copy costs less than many small reads through Python
        return _inspect(BytesIO(data), max_pixels)
    return _inspect(cast(IO[bytes], _Window(data)), max_pixels)  # Pillow asks for no more than it has


def _inspect(file: IO[bytes], max_pixels: int) -> ImageFacts:
    head = file.read(HEAD_BYTES)
    format = sniff(head)
    if format is None:
        raise BadImage(instead(head))
    file.seek(0)
    return _decoded(file, format, max_pixels)


def _decoded(file: IO[bytes], format: str, max_pixels: int) -> ImageFacts:
    from PIL import Image, ImageFile  # late: it costs 50 ms that `status` must not pay

    # Our own limit, below, applies before anything is decoded; Pillow's would print a warning first.
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    if format.upper() not in Image.OPEN:
        raise BadImage(f"this installation of Pillow can't decode {format.upper()}")
    try:
        with Image.open(file, formats=(format.upper(),)) as image:
            width, height = image.size
            if width * height <= max_pixels:
                # Every block lets another thread take over, and Pillow's own are of 64 KB.
                if isinstance(image, ImageFile.ImageFile):
                    image.decodermaxblock = _BLOCK
                # Only decoding finds a cut or damaged file; `verify()` misses a cut JPEG.
                with decoding(width * height):
                    image.load()
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadImage(f"the {format.upper()} image is cut or damaged ({type(error).__name__})") from error
    if width * height > max_pixels:
        raise BadImage(f"an image of {width}x{height} pixels, more than the {max_pixels} allowed")
    return ImageFacts(format, width, height)
