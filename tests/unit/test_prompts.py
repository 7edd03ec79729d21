"""Blanks and alternatives in prompts: what is read as one, what stays as written, and how many there are."""

from __future__ import annotations

import pytest

from batchgen.manifest.prompts import DEEPEST, PromptMistake, parse
from batchgen.model import Json

META: dict[str, Json] = {"animal": "cat", "count": 3, "soft": True, "none": None, "名": "x"}


def _all(text: str) -> list[str]:
    prompt = parse(text)
    return [prompt.pick(index).filled(META)[0] for index in range(prompt.count)]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a {animal}, {count} times, {soft}", "a cat, 3 times, true"),
        ("{名}{animal}", "xcat"),
        ("{{animal}} is a {animal}", "{animal} is a cat"),
        ("{{{animal}}}", "{cat}"),
        ('{"scene": {"of": "{animal}"}}', '{"scene": {"of": "cat"}}'),
        ('{"style": "ink|wash", "of": {"a": 1}}', '{"style": "ink|wash", "of": {"a": 1}}'),
        ('{\n  "style": "ink|wash"\n}', '{\n  "style": "ink|wash"\n}'),
        ("{ animal } {} {a b} {1} } {", "{ animal } {} {a b} {1} } {"),
        ("a | b } c", "a | b } c"),
        ("{{a|b}}", "{a|b}"),
        ("{|} {||} { | }", "{|} {||} { | }"),
        ("{red|blue", "{red|blue"),
        ("}} {a", "}} {a"),
    ],
)
def test_names_are_filled_and_every_other_brace_stays(text: str, sent: str) -> None:
    assert _all(text) == [sent]
    assert parse(text).pick(0).filled(META)[1] == ()


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("{red|blue}", ["red", "blue"]),
        ("a {|big }{cat|dog}", ["a cat", "a dog", "a big cat", "a big dog"]),
        ("{a|{b|c} d}", ["a", "b d", "c d"]),
        ("{{red|blue} cat|dog}", ["red cat", "blue cat", "dog"]),
        ("{a|{b|{c|d}}}", ["a", "b", "c", "d"]),
        ("{ a | b }", [" a ", " b "]),
        ("{the {animal}|a fox}", ["the cat", "a fox"]),
        ("{{kept}} {a|{b|c}}", ["{kept} a", "{kept} b", "{kept} c"]),
        ("{a|{{b}}}", ["a", "{b}"]),
        ("{{{a|b}}}", ["{a}", "{b}"]),
        ('{"of": "{a|b}", "by": {"k": 1}}', ['{"of": "a", "by": {"k": 1}}', '{"of": "b", "by": {"k": 1}}']),
        ("{{a|b} c|d} {\"k\": {\"l\": 1}}", [f'{one} {{"k": {{"l": 1}}}}' for one in ("a c", "b c", "d")]),
        ('{plain|{"k": 1}}', ["plain", '{"k": 1}']),
        ("{red|blue", ["{red|blue"]),
    ],
)
def test_alternatives_are_taken_one_after_the_other(text: str, sent: list[str]) -> None:
    assert _all(text) == sent


def test_what_was_chosen_is_told_as_it_was_written() -> None:
    assert parse("{a|b {animal|x} {c|d}} and {e|f}").pick(5).chosen == ("b animal d", "f")
    assert parse("{the {animal}|b}").pick(0).chosen == ("the {animal}",)


def test_a_name_without_a_value_stays_and_is_told_once() -> None:
    picked = parse("{dog} {dog} {none} {animal}").pick(0)
    assert picked.filled(META) == ("{dog} {dog} {none} cat", ("dog", "none"))


def test_a_value_is_never_read_a_second_time() -> None:
    prompt = parse("{a}")
    assert prompt.count == 1
    assert prompt.pick(0).filled({"a": "{b} {c|d} {{", "b": "no"}) == ("{b} {c|d} {{", ())


def test_a_path_has_blanks_and_no_alternatives() -> None:
    assert parse("{a|b}/{animal}.png", alternatives=False).pick(0).filled(META) == ("{a|b}/cat.png", ())


def test_the_number_of_ways_is_known_without_making_them() -> None:
    prompt = parse("{a|b|c|{d|e}} " * 100)
    assert prompt.count == 5**100
    assert prompt.pick(5**100 - 1).filled({})[0] == "e " * 100


def test_a_brace_with_a_bar_that_never_closes_is_remarked() -> None:
    assert parse("a {red|blue cat").unclosed == "{red|blue cat"
    assert parse('{"json": "a|b"').unclosed is None
    assert parse("a {red cat | dog").unclosed == "{red cat | dog"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{a|b|a}", "has the alternative 'a' twice"),
        ("{a|" * (DEEPEST + 1) + "b" + "}" * (DEEPEST + 1), f"has alternatives nested more than {DEEPEST} deep"),
    ],
)
def test_alternatives_that_cannot_be_meant_are_a_mistake(text: str, told: str) -> None:
    with pytest.raises(PromptMistake, match=told):
        parse(text)


@pytest.mark.parametrize("text", ["{" * 200_000, "{a|" * 200_000, "}" * 200_000 + "{", "{" * 200_000 + "}" * 200_000])
def test_a_hostile_prompt_is_read_in_one_pass(text: str) -> None:
    assert parse(text).count == 1
