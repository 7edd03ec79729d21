"""How a ratio or a size is told to a model, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.model import Endpoint, Job
from batchgen.providers import families as f
from batchgen.providers.profile import ModelRule
from batchgen.providers.shape import check, nearest_size, normal_size, shape

JOB = Job(id="a", prompt="a cat", provider=("p",), model="m")
CHAT, IMAGES = Endpoint.CHAT, Endpoint.IMAGES


@pytest.mark.parametrize(
    ("rule", "ratio", "size"),
    [
        (f.GPT_IMAGE_2_VIP, "1:1", "1280x1280"),
        (f.GPT_IMAGE_2_VIP, "16:9", "1280x720"),
        (f.GPT_IMAGE_2_VIP, "2:3", "848x1280"),
        (f.GPT_IMAGE_2_VIP, "21:9", "1280x544"),
        (f.GPT_IMAGE_1, "3:2", "1536x1024"),
        (f.DALLE_2, "1:1", "1024x1024"),
        (f.QWEN, "16:9", "1664x928"),
        (f.SEEDREAM_4, "9:16", "1440x2560"),
    ],
)
def test_a_ratio_becomes_the_smallest_fitting_size_of_about_a_megapixel(rule: ModelRule, ratio: str, size: str) -> None:
    formed = shape(replace(JOB, ratio=ratio), rule, IMAGES)
    assert (formed.size, formed.prompt, formed.warnings) == (size, "a cat", ())


def test_the_nearest_size_stands_in_for_a_missing_ratio_and_is_said() -> None:
    formed = shape(replace(JOB, ratio="16:9"), f.GPT_IMAGE_1, IMAGES)
    assert formed.size == "1536x1024"
    assert formed.warnings == ("ratio 16:9 is not one of m's: the nearest size is 1536x1024",)


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_model_of_free_sizes_gets_multiples_of_16_within_its_bounds(wide: int, high: int) -> None:
    width, height = nearest_size(f"{wide}:{high}", ())
    assert width % 16 == height % 16 == 0
    assert 655_360 <= width * height <= 8_294_400
    assert 1 / 3.2 <= width / height <= 3.2


@pytest.mark.parametrize(
    ("rule", "ratio", "prompt"),
    [
        (f.GPT_IMAGE_CHAT, "16:9", "a cat, 16:9"),
        (f.GPT_IMAGE_2_VIP, "16:9", "a cat, 16:9"),
        (None, "16:9", "a cat, 16:9"),
        (f.SORA_IMAGE, "3:2", "a cat【3:2】"),
    ],
)
def test_on_chat_a_ratio_is_words_in_the_prompt(rule: ModelRule | None, ratio: str, prompt: str) -> None:
    formed = shape(replace(JOB, ratio=ratio), rule, CHAT)
    assert (formed.prompt, formed.size, formed.warnings) == (prompt, None, ())


def test_a_ratio_that_the_prompt_says_already_is_not_said_twice() -> None:
    job = replace(JOB, prompt="Landscape 16:9 cat", ratio="16:9")
    assert shape(job, None, CHAT).prompt == "Landscape 16:9 cat"
    assert shape(replace(job, ratio="6:9"), None, CHAT).prompt == "Landscape 16:9 cat, 6:9"


def test_a_ratio_the_model_does_not_know_becomes_its_nearest_and_is_said() -> None:
    formed = shape(replace(JOB, ratio="16:9"), f.SORA_IMAGE, CHAT)
    assert formed.prompt == "a cat【3:2】"
    assert formed.warnings == ("ratio 16:9 is not one of m's: 3:2 is asked for instead",)


@pytest.mark.parametrize("endpoint", [CHAT, IMAGES])
def test_a_model_with_a_ratio_field_gets_the_field(endpoint: Endpoint) -> None:
    formed = shape(replace(JOB, ratio="16:9"), f.FLUX_KONTEXT, endpoint)
    assert (formed.prompt, formed.size, dict(formed.fields)) == ("a cat", None, {"aspect_ratio": "16:9"})


def test_an_exact_size_wins_over_the_ratio_and_that_is_said() -> None:
    formed = shape(replace(JOB, size="1024×1024", ratio="16:9"), f.GPT_IMAGE_1, IMAGES)
    assert (formed.size, formed.warnings) == ("1024x1024", ("size 1024x1024 wins over ratio 16:9",))


def test_on_chat_a_size_stands_before_the_prompt() -> None:
    assert shape(replace(JOB, size="1024x1024"), None, CHAT).prompt == "1024x1024 a cat"
    assert shape(replace(JOB, size="auto"), None, CHAT).prompt == "a cat"


def test_a_size_outside_the_table_is_sent_with_a_warning() -> None:
    formed = shape(replace(JOB, size="1920x1080"), f.GPT_IMAGE_2_VIP, IMAGES)
    assert formed.size == "1920x1080"
    assert "1920x1080 is not one of" in formed.warnings[0]


def test_what_the_door_or_the_model_has_no_field_for_is_not_sent_and_said() -> None:
    job = replace(JOB, quality="high", output_format="png")
    assert len(shape(job, None, CHAT).warnings) == 2
    assert shape(job, f.DALLE_3, IMAGES).warnings == ("output_format is not sent: m does not take it",)
    assert shape(replace(JOB, ratio="1:1"), f.SEEDEDIT, IMAGES).warnings == ("ratio 1:1 is not sent: m takes none",)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1024×768", "1024x768"), ("1024*768", "1024x768"), (" 1024 X 768 ", "1024x768"), ("2K", "2K"), ("auto", "auto")],
)
def test_a_size_is_sent_as_providers_write_it(written: str, meant: str) -> None:
    assert normal_size(written) == meant


@pytest.mark.parametrize(
    ("job", "rule", "endpoint", "words"),
    [
        (JOB, f.FLUX_KONTEXT_DEV, IMAGES, "needs a reference image"),
        (JOB, f.SEEDEDIT, IMAGES, "needs a reference image"),
        (replace(JOB, references=("a", "b")), f.SEEDEDIT, IMAGES, "at most 1"),
        (replace(JOB, references=("a",)), f.DALLE_3, IMAGES, "takes no reference"),
        (replace(JOB, references=("a",), mask="m"), None, CHAT, "takes no mask"),
        (replace(JOB, mask="m"), None, IMAGES, "a mask needs a reference"),
        (replace(JOB, size="0x1024"), None, IMAGES, "edge of 0"),
    ],
)
def test_what_can_not_work_is_said_before_anything_is_sent(
    job: Job, rule: ModelRule | None, endpoint: Endpoint, words: str
) -> None:
    [problem] = check(job, rule, endpoint, "p")
    assert words in problem


@pytest.mark.parametrize(
    ("job", "rule"),
    [
        (JOB, None),
        (replace(JOB, after="parent"), f.FLUX_KONTEXT_DEV),
        (replace(JOB, references=("a",), mask="m"), f.GPT_IMAGE_1),
        (replace(JOB, ratio="16:9", size="9999x1"), f.GPT_IMAGE_1),
    ],
)
def test_what_can_work_is_no_problem(job: Job, rule: ModelRule | None) -> None:
    assert check(job, rule, IMAGES, "p") == ()
