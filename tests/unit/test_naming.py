"""File names: whatever a manifest or a reply says, the name stays in its folder and meets no other."""

from __future__ import annotations

import unicodedata
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.images.naming import LONGEST_NAME, safe_name, target


@pytest.mark.parametrize(
    "text", ["cat", "a-red-cat-1f2e3d4c", "012", "猫", "🐈", "👩‍🚀", "v1.2", "snow in may", "é"]
)
def test_a_harmless_word_stays_as_it_is(text: str) -> None:
    assert safe_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "../../etc/passwd",
            "..",
            ".",
            "",
            "/",
            "/etc",
            "C:\\x",
            "a/b",
            "a\\b",
            "con",
            "NUL.txt",
            "lpt1",
            "com¹",
        ),
        *(
            "a\nb",
            "a\0b",
            "a\u202eb",
            "\ud800",
            "a.",
            "a ",
            " a",
            ".hidden",
            "x" * 101,
            "猫" * 40,
            "e\u0301",
            "a~b",
        ),
        *("Cat", "ß", "a:b", "\u2028"),
    ],
)
def test_anything_else_is_tidied_up_and_marked(text: str) -> None:
    assert "~" in safe_name(text)


@given(st.text(max_size=300))
def test_a_name_is_legal_on_every_common_file_system(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= LONGEST_NAME
    assert not set(name) & set('/\\:*?"<>|')
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name)
    assert name == unicodedata.normalize("NFC", name)
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert name.casefold().split(".")[0] not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@given(st.text(max_size=120), st.text(max_size=120))
def test_two_words_never_share_a_name_even_where_case_is_ignored(one: str, other: str) -> None:
    if one != other:
        assert safe_name(one).casefold() != safe_name(other).casefold()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("straße", "strasse"),
        ("é", "e\u0301"),
        ("a/b", "a_b"),
        ("x" * 150, "x" * 151),
        ("a.", "a"),
    ],
)
def test_words_that_look_alike_to_a_file_system_are_told_apart(one: str, other: str) -> None:
    assert safe_name(one).casefold() != safe_name(other).casefold()


def test_a_long_name_is_cut_between_characters() -> None:
    assert safe_name("🐈" * 40).startswith("🐈" * 22 + "~")


def test_the_same_word_has_the_same_name_always() -> None:
    assert safe_name("A/B") == "A_B~998d3ed898"


def test_a_target_names_position_and_round_only_beyond_the_first() -> None:
    assert target("cat", 0, 1) == "images/cat"
    assert target("cat", 2, 1) == "images/cat~2"
    assert target("cat", 0, 3) == "images/cat~r3"
    assert target("cat", 1, 2) == "images/cat~r2~1"


def test_no_two_outputs_share_a_target() -> None:
    ids = ["cat", "cat-1", "cat~1", "cat~r2", "cat~r2~1", "cat.r2", "Cat"]
    targets = [target(*output).casefold() for output in product(ids, range(4), range(1, 4))]
    assert len(set(targets)) == len(targets)
