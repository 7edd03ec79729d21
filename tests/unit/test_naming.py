"""File names: whatever a manifest or a reply says, the name stays in its folder and meets no other."""

from __future__ import annotations

import re
import unicodedata
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.images.naming import LONGEST_NAME, safe_name, settled, target, templated, values_of
from batchgen.model import Job


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


def job(**given: Any) -> Job:  # Any: whatever a job may hold
    """A job with an odd id and model, and what a test adds."""
    return Job(**{"id": "Cat", "prompt": "a cat", "provider": ("p",), "model": "lab/flux"} | given)


def named(
    template: str, *, position: int = 0, round: int = 1, apart: bool = False, **given: Any
) -> str:  # Any: as in job
    values = values_of(job(**given), provider="tu-zi", position=position, date="2026-11-20")
    return templated(template, values, round=round, apart=apart)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{id}-{position}.{ext}", "images/Cat-0.png"),
        ("{provider}/{ratio}/{id}", "images/tu-zi/16x9/Cat.png"),
        ("{date}/{meta.sku}_{ext}", "images/2026-11-20/012_png.png"),
        ("{{{id}}}", "images/{Cat}.png"),
        ("{quality}/{id}", "images/none/Cat.png"),
        ("{sha256}.{ext}", f"images/{'ab' * 32}.png"),
    ],
)
def test_a_template_is_filled_with_what_the_job_the_day_and_the_bytes_say(template: str, expected: str) -> None:
    target = named(template, ratio="16:9", meta={"sku": "012"})
    assert settled(target, "ab" * 32, "png") == expected


def test_a_slash_in_a_value_makes_no_folder() -> None:
    assert re.fullmatch(r"images/lab_flux~\w{10}/Cat", named("{model}/{id}"))


def test_images_and_rounds_that_a_template_does_not_tell_apart_get_a_mark() -> None:
    assert named("{id}", position=1) == "images/Cat~1"
    assert named("{id}-{position}", position=1, round=2) == "images/Cat-1~r2"
    assert re.fullmatch(r"images/same~Cat~\w{10}~1", named("same", position=1, apart=True))


@given(
    st.text(max_size=300),
    st.text(max_size=300),
    st.sampled_from(["{id}/{meta.a}", "{prompt}-{sha256}", "x/{meta.a}{ext}.{ext}", "{meta.a}/../{id}"]),
)
def test_no_value_leads_a_template_out_of_its_folder(one: str, other: str, template: str) -> None:
    target = named(template, id=one, prompt=one, meta={"a": other}, apart="{sha256}" not in template, round=3)
    path = settled(target, "0f" * 32, "webp")
    parts = path.split("/")
    assert parts[0] == "images"
    assert len(parts) == template.count("/") + 2
    assert not [part for part in parts if part.strip(". ") == "" or part.startswith(".") or len(part.encode()) > 255]
    assert not set(path) & set('\\:*?"<>|\0')


@pytest.mark.parametrize("text", ["/etc/passwd", "..", "con", "x" * 300, "🐈" * 90, "a\0b\n", "a/b", "<sha256>"])
def test_hostile_values_give_one_harmless_name(text: str) -> None:
    assert re.fullmatch(r"images/[^/]+", named("{meta.a}", meta={"a": text}))
    assert len(named("{meta.a}", meta={"a": text}).encode()) < 180


def test_a_long_value_never_cuts_the_digest_off() -> None:
    assert settled(named("{prompt}-{sha256}", prompt="x" * 500), "cd" * 32, "png").count("cd" * 32) == 1
