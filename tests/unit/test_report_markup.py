"""The HTML of the report: nothing from outside becomes a tag, an attribute or an address."""

from __future__ import annotations

import inspect
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import errors
from batchgen.errors import JobError
from batchgen.report.markup import link, number, seconds, size, text
from batchgen.report.reasons import WORDS


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str | None] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_words_stay_words_in_text_and_in_an_attribute(words: str) -> None:
    reader = _Reader()
    reader.feed(f'<p title="{text(words)}">{text(words)}</p>')
    reader.close()
    assert reader.tags == ["p"]
    assert [value or "" for value in reader.values] == [words.replace("\uffff", "\ufffd").replace("\ufffe", "\ufffd")]


@pytest.mark.parametrize(
    "path",
    ["javascript:alert(1)", "//evil.example/x.png", "images/a b#c?d.png", 'images/"><script>.png', "images/猫.png"],
)
def test_a_path_never_becomes_an_address_or_a_tag(path: str) -> None:
    assert link(path).startswith("./")
    assert not set(link(path)) & set('"<>#?: ')


def test_every_kind_of_error_is_told_in_plain_words() -> None:
    leaves = {leaf.kind for _, leaf in inspect.getmembers(errors, inspect.isclass) if issubclass(leaf, JobError)}
    assert set(WORDS) == leaves - {JobError.kind}


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (seconds(0.44), "0.4 s"),
        (seconds(38.2), "38 s"),
        (seconds(125), "2 min 5 s"),
        (seconds(12_000), "3 h 20 min"),
        (size(820_000), "820 KB"),
        (size(7), "7 bytes"),
        (number(1234.5), "1,234"),
        (number(0.0312), "0.0312"),
        (number(3.0), "3"),
    ],
)
def test_numbers_are_written_as_people_write_them(shown: str, words: str) -> None:
    assert shown == words
