"""Words in image files: every pixel stays, readers find the words, and odd files are left alone."""

from __future__ import annotations

import io
import random
import struct
import zlib

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


@pytest.mark.parametrize("prompt", ["a cat", "x", "画个牛马 🐈", "a\nb" * 900])
@pytest.mark.parametrize("name", ["jpeg", "jpeg-grey"])
def test_a_jpegs_prompt_is_its_image_description(name: str, prompt: str) -> None:
    told = embedded(CASES[name], "jpeg", {"prompt": prompt, "model": "m"})
    with Image.open(io.BytesIO(told)) as image:
        image.load()
        # Pillow takes the field for Latin-1; other readers for the UTF-8 that it is.
        assert image.getexif()[0x010E].encode("latin-1").decode() == prompt
        assert dict(image.getexif()).keys() == {0x010E}
        assert "jfif" in image.info


def test_a_jpeg_with_exif_of_its_own_keeps_it_byte_for_byte() -> None:
    data = CASES["jpeg-exif"]
    told = embedded(data, "jpeg", WORDS)
    assert told.count(b"Exif\0\0") == 1
    added = len(told) - len(data)
    start = told.index(b"http://ns.adobe.com/xap/1.0/") - 4
    assert told[:start] + told[start + added :] == data
    with Image.open(io.BytesIO(told)) as image:
        assert dict(image.getexif()) == {0x0112: 1}


def test_a_jpegs_exif_stands_before_its_xmp_and_both_behind_jfif() -> None:
    told = embedded(CASES["jpeg"], "jpeg", WORDS)
    places = [told.index(mark) for mark in (b"JFIF\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"\xff\xdb")]
    assert places == sorted(places)


def riff(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a WebP file."""
    found, at = [], 12
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    assert at == len(data)
    return found


@pytest.mark.parametrize(
    ("name", "flags", "kinds"),
    [
        # Bits of the extended header: alpha 0x10, Exif 0x08, XMP 0x04.
        ("webp", 0x04, [b"VP8X", b"VP8 ", b"XMP "]),
        ("webp-lossless", 0x04, [b"VP8X", b"VP8L", b"XMP "]),
        ("webp-lossless-alpha", 0x14, [b"VP8X", b"VP8L", b"XMP "]),
        ("webp-lossy-alpha", 0x14, [b"VP8X", b"ALPH", b"VP8 ", b"XMP "]),
        ("webp-exif", 0x0C, [b"VP8X", b"VP8 ", b"EXIF", b"XMP "]),
    ],
)
def test_a_webps_header_announces_what_is_there_and_its_xmp_comes_last(
    name: str, flags: int, kinds: list[bytes]
) -> None:
    chunks = riff(embedded(CASES[name], "webp", WORDS))
    assert [kind for kind, _ in chunks] == kinds
    header = chunks[0][1]
    assert len(header) == 10
    assert struct.unpack_from("<I", header)[0] == flags
    assert [int.from_bytes(header[at : at + 3], "little") + 1 for at in (4, 7)] == [61, 47]
    # Whatever was there is there, byte for byte.
    assert chunks[1:-1] == [chunk for chunk in riff(CASES[name]) if chunk[0] != b"VP8X"]


@pytest.mark.parametrize("name", ["png", "png-alpha", "png-palette"])
def test_a_pngs_words_stand_whole_before_its_pixels_and_nothing_else_moves(name: str) -> None:
    data, at, chunks = embedded(CASES[name], "png", WORDS), 8, []
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + content)
        chunks.append((kind, data[at : at + 12 + size]))
        at += 12 + size
    kinds = [kind for kind, _ in chunks]
    first = kinds.index(b"iTXt")
    assert kinds[first : first + 6] == [b"iTXt"] * 5 + [b"IDAT"]
    assert data[:8] + b"".join(chunk for kind, chunk in chunks if kind != b"iTXt") == CASES[name]
