"""What counts as an image: bytes that decode to the last pixel, whatever the file is called."""

from __future__ import annotations

import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, features

from batchgen.errors import BadImage
from batchgen.images.inspect import ImageFacts, Pixels, extension, inspect, inspect_data, sniff

FORMATS = ["png", "jpeg", "webp", "gif"] + (["avif"] if features.check("avif") else [])


def picture(format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A noisy picture, so that cutting it cuts pixels."""
    file = BytesIO()
    noise = Image.effect_noise(size, 100)
    noise.convert("P" if format == "gif" else "RGB").save(file, format.upper())
    return file.getvalue()


def write(folder: Path, data: bytes) -> Path:
    path = folder / "odd.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_format_and_size_come_from_the_bytes(format: str, tmp_path: Path) -> None:
    assert inspect(write(tmp_path, picture(format))) == ImageFacts(format, 64, 48)


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_in_memory_are_judged_as_those_of_a_file_are(format: str) -> None:
    whole = picture(format)
    assert inspect_data(memoryview(whole)) == ImageFacts(format, 64, 48)
    # What follows in memory belongs to another file.
    with pytest.raises(BadImage, match=f"{format.upper()} image is cut or damaged"):
        inspect_data(memoryview(whole)[: len(whole) * 2 // 3])


@pytest.mark.parametrize("format", FORMATS)
def test_a_cut_image_is_found(format: str, tmp_path: Path) -> None:
    whole = picture(format)
    with pytest.raises(BadImage, match=f"{format.upper()} image is cut or damaged"):
        inspect(write(tmp_path, whole[: len(whole) * 2 // 3]))


def test_a_damaged_png_is_found(tmp_path: Path) -> None:
    damaged = bytearray(picture("png"))
    damaged[len(damaged) // 2] ^= 0xFF
    with pytest.raises(BadImage):
        inspect(write(tmp_path, bytes(damaged)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html>...", "an HTML page"),
        (b"\xef\xbb\xbf \n<HTML lang=en>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML document"),
        (b"<svg xmlns=''>", "an SVG drawing"),
        (b"<div>", "a web page"),
        (b'{"error": 1}', "JSON"),
        (b"", "nothing"),
        (b"%PDF-1.7", "not a PNG"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=words):
        inspect(write(tmp_path, data))


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    whole = picture("png")
    with pytest.raises(BadImage, match="64x48 pixels"):
        # Cut, so that decoding it would say something else.
        inspect(write(tmp_path, whole[: len(whole) // 2]), max_pixels=64 * 48 - 1)


def test_magic_bytes_alone_are_not_an_image(tmp_path: Path) -> None:
    for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"GIF89a"):
        with pytest.raises(BadImage):
            inspect(write(tmp_path, head + b"\0" * 100))


def test_a_missing_file_is_not_a_bad_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect(tmp_path / "none.png")


def test_a_jpeg_gets_the_extension_that_everybody_uses() -> None:
    assert [extension(format) for format in ("png", "jpeg", "webp")] == ["png", "jpg", "webp"]


def test_sniffing_knows_avif_by_any_of_its_brands() -> None:
    assert sniff(b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf") == "avif"
    assert sniff(b"\0\0\0\x20ftypisom\0\0\0\0isommp42") is None


def test_a_large_picture_is_not_passed_for_ever_by_small_ones_that_come_later() -> None:
    pixels = Pixels(100)
    order: list[str] = []

    def decode(name: str, size: int) -> threading.Thread:
        def work() -> None:
            with pixels.of(size):
                order.append(name)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    with pixels.of(60):
        large = decode("large", 100)
        while not pixels._turn.locked():  # until it waits
            time.sleep(0)
        small = decode("small", 40)
        small.join(0.05)
        order.append("first")
    large.join()
    small.join()
    assert order == ["first", "large", "small"]


def test_pictures_are_decoded_side_by_side_as_long_as_there_is_room_and_a_larger_one_alone() -> None:
    pixels = Pixels(100)
    order: list[str] = []
    begun = threading.Event()

    def huge() -> None:
        begun.set()
        with pixels.of(1000):
            order.append("huge")

    with pixels.of(60):
        with pixels.of(40):  # at once: there is room for both
            other = threading.Thread(target=huge)
            other.start()
            begun.wait()
        order.append("both of the small ones")
    other.join()
    assert order == ["both of the small ones", "huge"]
    with pytest.raises(BadImage), pixels.of(100):
        raise BadImage("damaged")
    with pixels.of(100):
        order.append("room again after an error")
    assert len(order) == 3
