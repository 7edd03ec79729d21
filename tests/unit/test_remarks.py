"""Remarks: what came is held against what was asked for, with room for the tables of providers."""

from __future__ import annotations

import pytest

from batchgen.images.remarks import about_shape, bits_apart, numbered
from batchgen.model import Job


def remarks(width: int, height: int, *, ratio: str | None = None, size: str | None = None, exact: bool = True) -> str:
    job = Job(id="cat", prompt="a cat", provider=("p",), model="m", ratio=ratio, size=size)
    return "; ".join(about_shape(job, width, height, exact=exact))


@pytest.mark.parametrize(
    ("ratio", "width", "height", "said"),
    [
        ("16:9", 1024, 1024, "asked for 16:9, got 1024x1024 (1:1)"),
        ("2:3", 1536, 1024, "asked for 2:3, got 1536x1024 (3:2)"),
        ("16:9", 1280, 720, ""),
        ("2:3", 848, 1280, ""),
        (None, 7, 1000, ""),
        ("1:1", 1000, 777, "asked for 1:1, got 1000x777"),
    ],
)
def test_a_ratio_is_remarked_only_when_it_is_another_one(
    ratio: str | None, width: int, height: int, said: str
) -> None:
    assert remarks(width, height, ratio=ratio) == said


@pytest.mark.parametrize(
    ("size", "width", "height", "said"),
    [
        ("1024x1536", 1024, 1024, "asked for 1024x1536, got 1024x1024 (1:1)"),
        ("2048x2048", 1024, 1024, "asked for 2048x2048, got 1024x1024 (1:1)"),
        ("1024x1024", 1024, 1000, ""),
        ("auto", 5, 5, ""),
        ("2K", 5, 5, ""),
    ],
)
def test_a_size_is_remarked_when_an_edge_is_off(size: str, width: int, height: int, said: str) -> None:
    assert remarks(width, height, size=size, ratio=None) == said


def test_a_size_wins_over_the_ratio_and_counts_as_one_where_pictures_are_drawn_smaller() -> None:
    assert remarks(512, 512, size="1024x1024", ratio="16:9", exact=False) == ""
    assert remarks(512, 256, size="1024x1024", exact=False) == "asked for 1024x1024, got 512x256 (2:1)"


def test_remarks_name_the_image_where_there_are_several() -> None:
    assert numbered(["odd"], 1, 2) == ("image 1: odd",)
    assert numbered(["odd"], 0, 1) == ("odd",)


def test_bits_are_counted_whatever_the_sign() -> None:
    assert bits_apart(-1, 0) == 64
    assert bits_apart(0b1011, 0b0010) == 2
