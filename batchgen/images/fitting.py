"""A picture made such that a provider takes it: upright, RGB, PNG, JPEG or WebP, and no larger than allowed.

What can be sent as it is stays byte for byte what it is. Everything here blocks and decodes: call it
in a thread, behind `fitters()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

from batchgen.errors import BadImage
from batchgen.images.inspect import MAX_PIXELS
from batchgen.images.threads import at_most
from batchgen.providers.profile import Bounds

if TYPE_CHECKING:  # Pillow costs 50 ms that `status` must not pay
    from PIL.Image import Image as Picture

LARGEST: Final = 100_000_000
"""Bytes of the largest picture that is read at all, as a reference or as a mask."""

fitters: Final = at_most(4, "fitting references")
"""The event loop's limit on threads that fit pictures: each may hold several copies of a large one."""

_TAKEN: Final = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}
_LOSSY: Final = frozenset({"JPEG", "MPO", "WEBP", "AVIF"})
_QUALITIES: Final = (92, 85, 75)
_SMALLER: Final = 0.8
_SMALLEST: Final = 64
_ORIENTATION: Final = 0x0112
_TURNED: Final = range(5, 9)


@dataclass(frozen=True, slots=True)
class Looks:
    """What a picture is: Pillow's word for its format, and its pixels once it is upright.

    `plain`: providers take it as it is. Not so a phone's MPO, a CMYK JPEG, or one that lies on its side.
    """

    format: str
    size: tuple[int, int]
    alpha: bool
    plain: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture ready to send. `original` and `size` are pixels upright, before and after.

    `how` tells in a few words what the bounds made of it; None when they changed nothing.
    """

    data: bytes
    format: str
    original: tuple[int, int]
    size: tuple[int, int]
    how: str | None = None


def looks(data: bytes, *, whole: bool) -> Looks:
    """Look at a picture, with `whole` at every pixel, so that a cut one is found. Raises `BadImage`."""
    with _opened(data) as image:
        if whole:
            image.load()
        orientation = image.getexif().get(_ORIENTATION, 1)
        width, height = image.size
        form = image.format or ""
        return Looks(
            format=form,
            size=(height, width) if orientation in _TURNED else (width, height),
            alpha=image.has_transparency_data,
            plain=form in _TAKEN and image.mode != "CMYK" and orientation not in range(2, 9),
        )


def oversize(length: int, size: tuple[int, int], bounds: Bounds) -> str | None:
    """In which way a picture of so many bytes and pixels is too large, or None."""
    if bounds.max_side is not None and max(size) > bounds.max_side:
        return f"has {size[0]}x{size[1]} pixels, more than {bounds.max_side} on a side"
    if length > bounds.max_bytes:
        return f"has {length:,} bytes, more than the {bounds.max_bytes:,} allowed"
    return None


def fitted(data: bytes, bounds: Bounds) -> Fitted:
    """The picture within `bounds`. Raises `BadImage`, also for one that is too large and not to be shrunk."""
    look = looks(data, whole=False)
    over = oversize(len(data), look.size, bounds)
    if over is None and look.plain:
        return Fitted(data, _TAKEN[look.format], look.size, look.size)
    if over is not None and not bounds.shrink and look.plain:
        raise BadImage(over)
    with _opened(data) as image:
        made, form, size, how = _within(_upright(image, look), look, bounds)
    return Fitted(made, form, look.size, size, how if over is not None else None)


def fitted_mask(data: bytes, reference: Fitted) -> bytes:
    """The mask in the size in which its reference is sent. Raises `BadImage` when it was of another."""
    look = looks(data, whole=False)
    if look.size != reference.original:
        raise BadImage(
            f"the mask has {look.size[0]}x{look.size[1]} pixels, "
            f"the first reference {reference.original[0]}x{reference.original[1]}"
        )
    if look.size == reference.size:
        return data
    from PIL import Image

    with _opened(data) as image:
        file = BytesIO()
        image.convert("RGBA").resize(reference.size, Image.Resampling.NEAREST).save(file, "PNG")
        return file.getvalue()


@contextmanager
def _opened(data: bytes) -> Iterator[Picture]:
    """The picture in `data`. Raises `BadImage` for one that can't be read, here and while it is used."""
    from PIL import Image, UnidentifiedImageError

    # Our own limit, below, applies before anything is decoded; Pillow's would print a warning first.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,} in all")
            yield image
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(_unidentified(data)) from error
    except Exception as error:  # Pillow's readers raise whatever broken bytes lead them to (struct.error, …)
        raise BadImage("is a damaged image") from error


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "is a HEIC photo, which nobody here can read: save it as JPEG"
    return "is not an image"


def _upright(image: Picture, look: Looks) -> Picture:
    from PIL import ImageOps

    # Colours keep their meaning; those of CMYK are plainly converted.
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    upright = ImageOps.exif_transpose(image).convert("RGBA" if look.alpha else "RGB")
    # Where a photo was taken, and by whom, is nobody's business there.
    upright.info = {"icc_profile": profile} if profile else {}
    return upright


def _within(image: Picture, look: Looks, bounds: Bounds) -> tuple[bytes, str, tuple[int, int], str]:
    """Encode, ever smaller, until it fits: bytes, format, pixels, and how in words."""
    from PIL import Image

    if bounds.max_side is not None:
        image.thumbnail((bounds.max_side, bounds.max_side), Image.Resampling.LANCZOS)
    while True:
        for form, options in _ways(look):
            file = BytesIO()
            image.save(file, form, icc_profile=image.info.get("icc_profile"), **options)
            if file.tell() <= bounds.max_bytes:
                how = " ".join([form, f"{image.width}x{image.height}", *map(str, options.values())])
                return file.getvalue(), _TAKEN[form], image.size, how
        if max(image.size) <= _SMALLEST:
            raise BadImage(f"can't be made as small as {bounds.max_bytes:,} bytes")
        width, height = (max(1, round(edge * _SMALLER)) for edge in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)


def _ways(look: Looks) -> Iterator[tuple[str, dict[str, int]]]:
    """Formats to try, the truest first."""
    if look.alpha or look.format not in _LOSSY:
        yield "PNG", {}
    if not look.alpha:
        for quality in _QUALITIES:
            yield "JPEG", {"quality": quality}
