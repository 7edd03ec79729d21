"""Pictures fitted for a provider: as they are where that will do, upright RGB and small enough where not."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from batchgen.errors import BadImage
from batchgen.images.fitting import Fitted, fitted, fitted_mask, looks
from batchgen.providers.profile import Bounds

ANY = Bounds(10_000_000)


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(3).randbytes(size[0] * size[1] * bands))


def picture(format: str, mode: str = "RGB", size: tuple[int, int] = (80, 60), **options: object) -> bytes:
    file = io.BytesIO()
    noise(size, mode).save(file, format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def lying() -> bytes:
    """A photo of a phone held upright: 80x60 pixels of which the left edge, red, is the top one; with a place."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "secret place"
    image = Image.new("RGB", (80, 60), "blue")
    image.paste("red", (0, 0, 8, 60))
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        picture("PNG"),
        picture("PNG", "RGBA"),
        picture("PNG", "L"),
        picture("JPEG"),
        picture("JPEG", "L"),
        picture("WEBP"),
    ],
    ids=["png", "png-alpha", "png-grey", "jpeg", "jpeg-grey", "webp"],
)
def test_what_providers_take_stays_byte_for_byte(data: bytes) -> None:
    for bounds in (ANY, Bounds(10_000_000, 80), Bounds(10_000_000, 2000, shrink=True)):
        assert fitted(data, bounds).data is data
        assert fitted(data, bounds).how is None


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (picture("MPO", save_all=True, append_images=[noise((80, 60))]), "jpeg"),
        (picture("JPEG", "CMYK"), "jpeg"),
        (picture("TIFF", "CMYK"), "png"),
        (picture("BMP"), "png"),
        (picture("GIF"), "png"),
        (picture("AVIF"), "jpeg"),
    ],
    ids=["a phone's mpo", "cmyk jpeg", "cmyk tiff", "bmp", "gif", "avif"],
)
def test_what_providers_do_not_take_becomes_rgb_in_a_format_that_they_do(data: bytes, format: str) -> None:
    made = fitted(data, ANY)
    image = opened(made.data)
    assert (made.format, image.format, image.mode, image.size) == (format, format.upper(), "RGB", (80, 60))
    # No setting had a hand in it, so it is not part of what a job is.
    assert made.how is None


def test_a_photo_that_lies_on_its_side_is_sent_upright_and_without_its_metadata() -> None:
    made = fitted(lying(), ANY)
    image = opened(made.data)
    assert (image.size, made.original, made.size) == ((60, 80), (60, 80), (60, 80))
    red = image.getpixel((30, 2))
    assert isinstance(red, tuple)
    assert red[0] > 200 > 80 > red[2]
    assert not image.getexif()
    assert b"secret place" not in made.data


def test_the_longer_side_is_made_as_long_as_allowed_and_the_shape_stays() -> None:
    made = fitted(picture("JPEG", size=(800, 600)), Bounds(10_000_000, 200, shrink=True))
    assert opened(made.data).size == made.size == (200, 150)
    assert made.original == (800, 600)
    assert made.how == "JPEG 200x150 92"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("most", [120_000, 60_000, 5_000])
def test_it_becomes_as_small_as_asked(format: str, most: int) -> None:
    data = picture(format, size=(600, 400))
    made = fitted(data, Bounds(most, shrink=True))
    assert len(made.data) <= most < len(data)
    assert made.how is not None
    assert opened(made.data).size == made.size


def test_what_is_transparent_stays_so() -> None:
    made = fitted(picture("PNG", "RGBA", (400, 400)), Bounds(100_000, shrink=True))
    assert (made.format, opened(made.data).mode) == ("png", "RGBA")


def test_colours_keep_their_profile() -> None:
    made = fitted(picture("JPEG", icc_profile=b"a profile"), Bounds(10_000_000, 40, shrink=True))
    assert opened(made.data).info["icc_profile"] == b"a profile"


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(1000), "more than the 1,000 allowed"),
        (Bounds(10_000_000, 50), "80x60 pixels, more than 50 on a side"),
        (Bounds(100, shrink=True), "can't be made as small as 100 bytes"),
    ],
)
def test_what_cannot_be_made_to_fit_says_why(bounds: Bounds, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        fitted(picture("PNG"), bounds)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not an image"),
        (b"hello", "is not an image"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC photo"),
        (picture("JPEG")[:-900], "is a damaged image"),
        (picture("PNG")[:-900], "is a damaged image"),
    ],
)
def test_what_is_no_picture_is_told(data: bytes, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        looks(data, whole=True)


def test_a_bomb_is_not_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    with pytest.raises(BadImage, match="20000x20000 pixels"):
        looks(file.getvalue(), whole=True)


def test_a_mask_keeps_its_hard_edges_when_it_is_made_smaller() -> None:
    mask = Image.new("RGBA", (80, 60), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (20, 20, 60, 40))
    file = io.BytesIO()
    mask.save(file, "PNG")
    reference = Fitted(b"", "png", (80, 60), (40, 30))
    image = opened(fitted_mask(file.getvalue(), reference))
    assert image.size == (40, 30)
    assert {value for _, value in image.getchannel("A").getcolors() or ()} == {0, 255}
    same = Fitted(b"", "png", (80, 60), (80, 60))
    assert fitted_mask(file.getvalue(), same) == file.getvalue()
