"""A wanted ratio or size in the form that each provider's model takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.model import Endpoint, Job
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.profile import ModelRule, RatioForm
from batchgen.providers.shape import Shape, check, nearest_size, normal_size, shape

IMAGES, CHAT = Endpoint.IMAGES, Endpoint.CHAT
PROMPT = "a cat"


def _job(model: str = "m", **values: object) -> Job:
    return replace(Job(id="j", prompt=PROMPT, provider=("p",), model=model), **values)  # type: ignore[arg-type]  # a table's values


def _shape(provider: str, model: str, endpoint: Endpoint, **values: object) -> Shape:
    return shape(_job(model, **values), BUILTIN[provider].rule(model), endpoint)


@pytest.mark.parametrize(
    ("provider", "model", "endpoint", "ratio", "told"),
    [
        # a size of the model's own table
        ("openai", "gpt-image-1", IMAGES, "1:1", "1024x1024"),
        ("openai", "gpt-image-1", IMAGES, "3:2", "1536x1024"),
        ("openai", "gpt-image-1.5", IMAGES, "2:3", "1024x1536"),
        ("openai", "dall-e-3", IMAGES, "7:4", "1792x1024"),
        ("openai", "dall-e-2", IMAGES, "1:1", "1024x1024"),
        ("openai", "gpt-image-2", IMAGES, "16:9", "1360x768"),
        ("openai", "gpt-image-2-2026-04-21", IMAGES, "1:1", "1024x1024"),
        ("modelverse", "gpt-image-1", IMAGES, "2:3", "1024x1536"),
        ("apiyi", "gpt-image-2-vip", IMAGES, "16:9", "1280x720"),
        ("apiyi", "gpt-image-2-vip", IMAGES, "2:3", "848x1280"),
        ("apiyi", "gpt-image-2-vip", IMAGES, "21:9", "1280x544"),
        ("apiyi", "recraftv3", IMAGES, "4:3", "1365x1024"),
        ("apiyi", "qwen-image", IMAGES, "9:16", "928x1664"),
        ("apiyi", "doubao-seedream-4-0-250828", IMAGES, "1:1", "2048x2048"),
        ("apiyi", "doubao-seedream-3-0-t2i-250415", IMAGES, "16:9", "1280x720"),
        # words, and the field of a size is no field of the chat endpoint
        ("tu-zi", "gpt-image-1-vip", CHAT, "16:9", "a cat, 16:9"),
        ("apiyi", "gpt-image-2-vip", CHAT, "16:9", "a cat, 16:9"),
        ("apiyi", "gpt-image-2-all", IMAGES, "16:9", "a cat, 16:9"),
        ("apiqik", "gpt-image-1.5", CHAT, "3:2", "a cat, 3:2"),
        ("openai-chat", "gpt-4o-image", CHAT, "2:3", "a cat, 2:3"),
        ("openai-chat", "nano-banana", CHAT, "21:9", "a cat, 21:9"),
        ("openai-chat", "dall-e-3", CHAT, "1:1", "a cat, 1:1"),
        ("simulator", "sim-image", CHAT, "5:7", "a cat, 5:7"),
        # brackets
        ("openai-chat", "sora_image", CHAT, "3:2", "a cat【3:2】"),
        ("tu-zi", "sora_image", CHAT, "2:3", "a cat【2:3】"),
        # a field
        ("openai-chat", "flux-kontext-pro", CHAT, "16:9", {"aspect_ratio": "16:9"}),
        ("apiyi", "flux-kontext-max", IMAGES, "7:3", {"aspect_ratio": "7:3"}),
    ],
)
def test_a_ratio_takes_the_form_of_its_model(
    provider: str, model: str, endpoint: Endpoint, ratio: str, told: str | dict[str, str]
) -> None:
    said = _shape(provider, model, endpoint, ratio=ratio)
    if isinstance(told, dict):
        assert said == Shape(PROMPT, fields=told)
    elif told.startswith(PROMPT):
        assert said == Shape(told)
    else:
        assert said == Shape(PROMPT, told)


@pytest.mark.parametrize(
    ("provider", "model", "endpoint", "ratio", "told", "warning"),
    [
        (
            *("openai", "gpt-image-1", IMAGES, "16:9", "1536x1024"),
            "ratio 16:9 is not one of gpt-image-1's: the nearest size is 1536x1024",
        ),
        (
            *("openai", "gpt-image-2", IMAGES, "5:1", "1776x592"),
            "ratio 5:1 is not one of gpt-image-2's: the nearest size is 1776x592",
        ),
        (
            *("openai-chat", "gpt-4o-image", CHAT, "9:16", "a cat, 2:3"),
            "ratio 9:16 is not one of gpt-4o-image's: 2:3 is asked for instead",
        ),
        (
            *("openai-chat", "sora_image", CHAT, "16:9", "a cat【3:2】"),
            "ratio 16:9 is not one of sora_image's: 3:2 is asked for instead",
        ),
        (
            *("openai-chat", "doubao-seededit-3-0-i2i-250628", CHAT, "16:9", "a cat"),
            "ratio 16:9 is not sent: doubao-seededit-3-0-i2i-250628 takes none",
        ),
    ],
)
def test_the_nearest_is_taken_and_said(
    provider: str, model: str, endpoint: Endpoint, ratio: str, told: str, warning: str
) -> None:
    said = _shape(provider, model, endpoint, ratio=ratio)
    assert told in (said.size, said.prompt)
    assert said.warnings == (warning,)


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "1:3", "0.5:1", "1:99999", "16：9", "odd", "0:0", "auto"])
def test_every_ratio_has_some_form_at_every_model(endpoint: Endpoint, ratio: str) -> None:
    for rule in (rule for profile in BUILTIN.values() for rule in profile.models):
        said = shape(_job(ratio=ratio), rule, endpoint)
        assert PROMPT in said.prompt
        assert said.size is None or (endpoint is IMAGES and {*said.size.split("x")})


def test_a_ratio_already_in_the_prompt_is_not_said_twice() -> None:
    words = ModelRule(pattern="*", ratio_form=RatioForm.WORDS)
    assert shape(_job(prompt="16:9 cat", ratio="16:9"), words, CHAT).prompt == "16:9 cat"
    assert shape(_job(prompt="116:90 cat", ratio="16:9"), words, CHAT).prompt == "116:90 cat, 16:9"
    brackets = replace(words, ratio_form=RatioForm.BRACKETS)
    assert shape(_job(prompt="cat【3:2】", ratio="3:2"), brackets, CHAT).prompt == "cat【3:2】"


def test_an_exact_size_wins_over_a_ratio() -> None:
    said = _shape("openai", "gpt-image-2", IMAGES, size="1024×768", ratio="1:1")
    assert (said.size, said.warnings) == ("1024x768", ("size 1024x768 wins over ratio 1:1",))
    assert not _shape("openai", "gpt-image-2", IMAGES, size="1024x1024", ratio="1:1").warnings


@pytest.mark.parametrize(("size", "prompt"), [("1024×1024", "1024x1024 a cat"), ("auto", "a cat"), ("2K", "2K a cat")])
def test_a_size_becomes_words_before_the_prompt_on_chat(size: str, prompt: str) -> None:
    assert _shape("tu-zi", "gpt-image-1-vip", CHAT, size=size) == Shape(prompt)


def test_a_size_off_the_table_is_sent_with_a_warning() -> None:
    said = _shape("openai", "gpt-image-1", IMAGES, size="1920x1080")
    assert said.size == "1920x1080"
    assert said.warnings == (
        "size 1920x1080 is not one of gpt-image-1's (1024x1024, 1536x1024, 1024x1536, auto): "
        "it may be moved or refused",
    )
    (warning,) = _shape("apiyi", "gpt-image-2-vip", IMAGES, size="1920x1080").warnings
    assert "1280x720" not in warning
    assert "auto and 22 more)" in warning


@pytest.mark.parametrize(
    ("provider", "model", "size", "known"),
    [
        ("modelverse", "gpt-image-1", "2K", "1024x1024, 1536x1024, 1024x1536, auto"),
        ("openai", "gpt-image-2", "2K", "WxH, auto"),
        ("openai", "dall-e-3", "auto", "1024x1024, 1792x1024, 1024x1792"),
        ("modelverse", "gpt-image-1", "auto", None),
        ("apiyi", "doubao-seedream-4-0-250828", "2K", None),
        ("apiyi", "doubao-seededit-3-0-i2i-250628", "adaptive", None),
        ("simulator", "sim-image", "2K", None),
    ],
)
def test_a_size_in_a_word_that_the_model_does_not_know_is_warned_of(
    provider: str, model: str, size: str, known: str | None
) -> None:
    said = _shape(provider, model, IMAGES, size=size)
    assert said.size == size
    warning = f"size {size} is not one of {model}'s ({known}): it may be moved or refused"
    assert said.warnings == ((warning,) if known else ())


def test_a_size_the_model_has_no_place_for_leaves_the_ratio() -> None:
    said = _shape("apiyi", "flux-kontext-pro", IMAGES, size="1024x1024", ratio="16:9")
    assert (said.size, dict(said.fields)) == (None, {"aspect_ratio": "16:9"})
    assert "size 1024x1024 is not sent: flux-kontext-pro takes none" in said.warnings


@pytest.mark.parametrize(
    ("provider", "model", "endpoint", "values", "unsent"),
    [
        ("apiyi", "gpt-image-2-vip", CHAT, {"quality": "high"}, ["quality"]),
        (
            *("openai", "dall-e-3", IMAGES),
            {"quality": "hd", "output_format": "png", "background": "auto"},
            ["output_format", "background"],
        ),
        ("modelverse", "gpt-image-1", IMAGES, {"background": "auto", "output_compression": 0}, ["background"]),
        ("openai", "gpt-image-1", IMAGES, {"quality": "high", "output_compression": 0, "mask": "/m.png"}, []),
        ("apiyi", "qwen-image-edit", IMAGES, {"mask": "/m.png"}, ["mask"]),
    ],
)
def test_what_has_no_place_is_said(
    provider: str, model: str, endpoint: Endpoint, values: dict[str, object], unsent: list[str]
) -> None:
    warnings = _shape(provider, model, endpoint, **values).warnings
    assert [warning.partition(" is not sent: ")[0] for warning in warnings] == unsent


@pytest.mark.parametrize(
    ("provider", "model", "endpoint", "values", "problem"),
    [
        ("openai-chat", "flux-kontext-dev", CHAT, {}, "needs a reference image, the job has 0"),
        ("openai-chat", "flux-kontext-dev", CHAT, {"references": ("/a",)}, None),
        ("openai-chat", "flux-kontext-dev", CHAT, {"after": "other"}, None),
        ("openai", "dall-e-3", IMAGES, {"references": ("/a",)}, "takes no reference images, the job has 1"),
        ("openai", "dall-e-3", IMAGES, {"after": "other"}, "takes no reference images, the job has 1"),
        ("openai", "gpt-image-1", IMAGES, {"references": ("/a",) * 17}, "takes at most 16 reference images"),
        ("openai", "gpt-image-1", IMAGES, {"references": ("/a",) * 16}, None),
        ("openai", "gpt-image-1", IMAGES, {"references": ("/a",), "mask": "/m"}, None),
        ("openai", "gpt-image-1", IMAGES, {"mask": "/m"}, "a mask needs a reference image"),
        (
            "apiqik",
            "gpt-image-1",
            CHAT,
            {"references": ("/a",), "mask": "/m"},
            "the chat endpoint, which takes no mask",
        ),
        ("openai", "gpt-image-1", IMAGES, {"size": "0x100"}, "size '0x100' has an edge of 0"),
        ("openai", "gpt-image-1", IMAGES, {"size": "100x00"}, "size '100x00' has an edge of 0"),
        ("openai", "gpt-image-1", IMAGES, {"size": "100x100"}, None),
        ("openai", "gpt-image-1", IMAGES, {"size": "auto"}, None),
    ],
)
def test_the_impossible_is_told_before_anything_is_sent(
    provider: str, model: str, endpoint: Endpoint, values: dict[str, object], problem: str | None
) -> None:
    problems = check(_job(model, **values), BUILTIN[provider].rule(model), endpoint, provider)
    assert len(problems) == (problem is not None)
    assert all(problem is not None and problem in told for told in problems)


def test_a_model_that_no_rule_names_takes_anything() -> None:
    assert check(_job(references=("/a",)), None, CHAT, "p") == ()
    assert shape(_job(ratio="16:9"), None, CHAT) == Shape("a cat, 16:9")


@pytest.mark.parametrize(
    ("size", "plain"),
    [
        ("1024×768", "1024x768"),
        (" 1024 * 768 ", "1024x768"),
        ("01024X768", "1024x768"),
        ("auto ", "auto"),
        ("4K", "4K"),
    ],
)
def test_a_size_is_spelled_in_one_way(size: str, plain: str) -> None:
    assert normal_size(size) == plain


@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "3:1", "1:3", "4:5", "21:9"])
def test_a_free_size_is_a_megapixel_in_steps_of_sixteen(ratio: str) -> None:
    width, height = nearest_size(ratio, ())
    wide, high = (float(part) for part in ratio.split(":"))
    assert (width % 16, height % 16) == (0, 0)
    assert width * height == pytest.approx(1024 * 1024, rel=0.05)
    assert width / height == pytest.approx(wide / high, rel=0.035)
    assert 1 / 3 <= width / height <= 3
