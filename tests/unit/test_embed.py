"""Words in image files: every pixel stays, readers find the words, and odd files are left alone."""

from __future__ import annotations

import io
import random
import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from batchgen.images.embed import NotEmbedded, embedded

WORDS = {"prompt": 'a "cat" & <dog>\n画个牛马 🐈', "model": "gpt-image-1", "job": "cat", "task_id": "task_1"}


def picture(format: str, mode: str = "RGB", **options: object) -> bytes:
    bands = {"RGB": 3, "RGBA": 4, "L": 1, "P": 1}[mode]
    file = io.BytesIO()
    noise = random.Random(3).randbytes(61 * 47 * bands)
    Image.frombytes(mode, (61, 47), noise).save(file, format, **options)
    return file.getvalue()


def pixels(data: bytes) -> tuple[str, bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.mode, image.tobytes()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 1
    return found


CASES = {
    "png": picture("PNG"),
    "png-alpha": picture("PNG", "RGBA"),
    "png-palette": picture("PNG", "P"),
    "jpeg": picture("JPEG"),
    "jpeg-exif": picture("JPEG", exif=exif()),
    "jpeg-grey": picture("JPEG", "L"),
    "webp": picture("WEBP"),
    "webp-lossless": picture("WEBP", lossless=True),
    "webp-lossless-alpha": picture("WEBP", "RGBA", lossless=True),
    "webp-lossy-alpha": picture("WEBP", "RGBA"),
    "webp-exif": picture("WEBP", exif=exif()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_pixels_are_the_same_and_the_words_are_found(name: str) -> None:
    data = CASES[name]
    told = embedded(data, name.partition("-")[0], WORDS)
    assert pixels(told) == pixels(data)
    with Image.open(io.BytesIO(told)) as image:
        image.load()
        if name.startswith("png"):
            assert isinstance(image, PngImageFile)
            assert image.text == {"Description": WORDS["prompt"], **WORDS}
        else:
            found = image.info["xmp"].decode()
            assert "<batchgen:task_id>task_1</batchgen:task_id>" in found
            assert "a \"cat\" &amp; &lt;dog&gt;\n画个牛马 🐈" in found
        if name.endswith("exif"):
            assert image.getexif()[0x0112] == 1


@pytest.mark.parametrize("name", CASES)
def test_the_same_words_give_the_same_file(name: str) -> None:
    format = name.partition("-")[0]
    assert embedded(CASES[name], format, WORDS) == embedded(CASES[name], format, WORDS)


@pytest.mark.parametrize("name", CASES)
def test_no_cut_file_breaks_the_writer(name: str) -> None:
    data = CASES[name]
    for end in range(0, len(data), 37):
        try:
            told = embedded(data[:end], name.partition("-")[0], WORDS)
        except NotEmbedded:
            continue
        assert len(told) > end


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_file_with_an_xmp_packet_of_its_own_keeps_it_alone(name: str) -> None:
    told = embedded(CASES[name], name, WORDS)
    with pytest.raises(NotEmbedded, match="of its own"):
        embedded(told, name, WORDS)


def test_a_prompt_longer_than_a_jpeg_can_hold_is_said() -> None:
    with pytest.raises(NotEmbedded, match="longer"):
        embedded(CASES["jpeg"], "jpeg", {"prompt": "x" * 40_000})


def test_a_gif_holds_no_words() -> None:
    with pytest.raises(NotEmbedded, match="GIF"):
        embedded(picture("GIF", "P"), "gif", WORDS)


def test_the_riff_size_counts_the_whole_file() -> None:
    told = embedded(CASES["webp"], "webp", WORDS)
    assert struct.unpack_from("<I", told, 4)[0] == len(told) - 8
