"""How the loader reads durations, ratios, sizes and misspelt words."""

from __future__ import annotations

import pytest

from batchgen.manifest.words import nearest, parse_duration, parse_ratio, shortened, tidy_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("7d", 604800), ("1h30m", 5400), ("300", 300), ("0.5s", 0.5), ("1.5", 1.5)],
)
def test_a_duration_is_a_number_with_units_or_plain_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "20 minutes", "-5s", "5x", "m", "1e3", "٣s", "inf"])
def test_anything_else_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(("text", "ratio"), [("16:9", (16, 9)), (" 1 : 1 ", (1, 1)), ("1.91:1", (1.91, 1))])
def test_a_ratio_is_two_numbers_with_a_colon(text: str, ratio: tuple[float, float]) -> None:
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["16x9", "16", "0:9", "16:0", "16:9:4", "-1:1", "", "wide"])
def test_anything_else_is_no_ratio(text: str) -> None:
    assert parse_ratio(text) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1024x768", "1024x768"),
        ("1024×768", "1024x768"),
        ("1024*768", "1024x768"),
        ("2k", "2K"),
        ("AUTO", "auto"),
    ],
)
def test_a_size_is_written_as_providers_take_it(text: str, size: str) -> None:
    assert tidy_size(text) == size


@pytest.mark.parametrize("text", ["1024", "0x10", "big", "16:9", "x", "4096K000"])
def test_anything_else_is_no_size(text: str) -> None:
    assert tidy_size(text) is None


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("Promt", ["prompt", "provider"]) == "prompt"
    assert nearest("zebra", ["prompt", "provider"]) is None


def test_a_long_value_is_shortened_to_one_line() -> None:
    assert shortened("a\nb") == "a b"
    assert len(shortened("x" * 500)) == 60
