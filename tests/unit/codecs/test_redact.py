"""Our own keys in other people's texts: taken out wherever they stand, and nothing else with them."""

from __future__ import annotations

import pytest

from batchgen.codecs.redact import without_keys

LONG = "sk-0f8a91c2d7"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"invalid key {LONG}", "invalid key [key]"),
        (f"Bearer{LONG}.", "Bearer[key]."),
        ("no such token: 0f8a91c2d7", "no such token: [key]"),
        ("task_0f8a", "task_0f8a"),
    ],
)
def test_a_key_is_taken_out_with_and_without_its_prefix(text: str, kept: str) -> None:
    assert without_keys(text, [LONG]) == kept


@pytest.mark.parametrize("key", ["x", "sk-a", "abc-1"])
def test_a_short_key_is_taken_out_as_a_word_and_never_out_of_the_middle_of_one(key: str) -> None:
    text = f"the exchange of task_{key}1 with {key}-2 and sk-{key}a failed"
    assert without_keys(f"{text}: bad key '{key}'", [key]) == f"{text}: bad key '[key]'"


def test_of_two_keys_the_longer_one_goes_first() -> None:
    assert without_keys("12345678-90", ["12345678", "12345678-90"]) == "[key]"


def test_an_empty_key_changes_nothing() -> None:
    assert without_keys("as it was", [""]) == "as it was"
