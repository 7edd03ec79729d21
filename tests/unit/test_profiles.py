"""The built-in profiles, and what a manifest's `providers` section makes of them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from batchgen.manifest.profiles import ProfileMistake, resolve
from batchgen.manifest.schema import ProviderSection
from batchgen.model import Endpoint, Job
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.prices import Price
from batchgen.providers.profile import SIMULATED, Profile, RatioForm
from batchgen.providers.shape import check, shape
from batchgen.providers.twins import Night


def _section(**values: object) -> ProviderSection:
    return ProviderSection.model_validate(values)


def test_the_built_in_profiles_are_those_of_the_contract() -> None:
    assert set(BUILTIN) == {"tu-zi", "apiyi", "apiqik", "modelverse", "openai", "openai-chat", "simulator"}


@pytest.mark.parametrize("profile", BUILTIN.values(), ids=lambda profile: profile.name)
def test_a_built_in_profile_is_whole(profile: Profile) -> None:
    assert profile.dialect == profile.name
    assert profile.timeout >= 300
    assert profile.default_model
    assert profile.rule(profile.default_model)
    assert profile.limits.concurrency is None, 'nobody documents one: it is the user who states it'
    assert profile.name == "simulator" or profile.api_key_env
    if profile.base_url not in ("", SIMULATED):
        assert urlsplit(profile.base_url).scheme == "https"
        assert profile.base_url.endswith("/v1")
    assert profile.task_url is None or "{task_id}" in profile.task_url


@pytest.mark.parametrize(
    ("provider", "model", "images"),
    [
        ("apiyi", "gpt-image-2-vip", 1),
        ("apiyi", "gpt-image-2", 1),
        ("modelverse", "gpt-image-1", 4),
        ("openai", "gpt-image-1", 10),
        ("openai", "gpt-image-2-2026-04-21", 10),
        ("openai", "dall-e-3", 1),
        ("simulator", "anything", 4),
    ],
)
def test_a_model_takes_as_many_images_a_request_as_documented(provider: str, model: str, images: int) -> None:
    rule = BUILTIN[provider].rule(model)
    assert rule is not None
    assert rule.max_images == images


def _job(model: str, ratio: str | None = None, references: int = 0) -> Job:
    names = tuple(f"/{number}.png" for number in range(references))
    return Job(id="j", prompt="p", provider=("x",), model=model, ratio=ratio, references=names)


@pytest.mark.parametrize(
    ("ratio", "size"),
    [("16:9", "1280x720"), ("1:1", "1280x1280"), ("21:9", "1280x544"), ("4:5", "1024x1280")],
)
def test_apiyis_images_take_the_size_of_the_documented_table(ratio: str, size: str) -> None:
    rule = BUILTIN["apiyi"].rule("gpt-image-2-vip")
    assert rule is not None
    assert len(set(rule.sizes)) == 30
    assert shape(_job("gpt-image-2-vip", ratio), rule, Endpoint.IMAGES).size == size


SEED_002 = {
    "gpt-image-1": RatioForm.WORDS,
    "gpt-4o-image": RatioForm.WORDS,
    "sora_image": RatioForm.BRACKETS,
    "flux-kontext-pro": RatioForm.FIELD,
    "flux": RatioForm.WORDS,
    "nano-banana": RatioForm.WORDS,
    "dall-e-3": RatioForm.SIZE,
    "recraftv3": RatioForm.SIZE,
    "qwen-image": RatioForm.SIZE,
    "nano-banana-hd": RatioForm.WORDS,
    "doubao-seedream-4-0-250828": RatioForm.SIZE,
    "doubao-seededit-3-0-i2i-250628": RatioForm.NONE,
    "doubao-seedream-3-0-t2i-250415": RatioForm.SIZE,
}


@pytest.mark.parametrize(("model", "form"), SEED_002.items())
def test_each_model_of_the_generic_chat_endpoint_has_its_own_rule(model: str, form: RatioForm) -> None:
    rule = BUILTIN["openai-chat"].rule(model)
    assert rule is not None
    assert rule.pattern != "*"
    assert rule.ratio_form is form


@pytest.mark.parametrize(
    ("model", "references", "right"),
    [
        ("flux-kontext-dev", 0, False),
        ("flux-kontext-dev", 1, True),
        ("flux-kontext-pro", 0, True),
        ("doubao-seededit-3-0-i2i-250628", 0, False),
        ("doubao-seededit-3-0-i2i-250628", 1, True),
        ("doubao-seededit-3-0-i2i-250628", 2, False),
        ("doubao-seedream-4-0-250828", 11, False),
        ("dall-e-3", 1, False),
        ("some-new-model", 3, True),
    ],
)
def test_a_model_that_needs_or_refuses_references_is_held_to_it(
    model: str, references: int, right: bool
) -> None:
    rule = BUILTIN["openai-chat"].rule(model)
    assert (not check(_job(model, None, references), rule, Endpoint.CHAT, "openai-chat")) is right


def test_a_section_changes_only_what_it_names() -> None:
    sections = {
        "mine": _section(extends="apiyi", endpoint="images", limits={"concurrency": 2}, prices={"m": "0.5"})
    }
    mine = resolve("mine", sections)
    assert (mine.name, mine.dialect, mine.endpoint) == ("mine", "apiyi", Endpoint.IMAGES)
    assert mine.base_url == BUILTIN["apiyi"].base_url
    assert (mine.limits.concurrency, mine.limits.requests_per_minute) == (2, 500)
    assert mine.prices == {**BUILTIN["apiyi"].prices, "m": Price(per_image=500_000)}


def test_a_section_with_a_built_ins_name_changes_that_one() -> None:
    changed = resolve("tu-zi", {"tu-zi": _section(base_url="simulator")})
    assert (changed.base_url, changed.dialect, changed.stream) == (SIMULATED, "tu-zi", True)


def test_a_dialect_is_the_built_in_that_is_finally_extended() -> None:
    sections = {"a": _section(extends="b"), "b": _section(extends="modelverse", timeout="10m")}
    assert (resolve("a", sections).dialect, resolve("a", sections).timeout) == ("modelverse", 600)


def test_a_provider_of_its_own_speaks_generic_chat_and_guesses_no_model() -> None:
    own = resolve("own", {"own": _section(base_url="http://localhost:4000/v1")})
    assert (own.dialect, own.endpoint, own.default_model) == ("openai-chat", Endpoint.CHAT, None)


def test_only_openais_own_address_is_strict_about_models() -> None:
    assert resolve("openai", {}).strict_models
    assert resolve("mine", {"mine": _section(extends="openai", api_key_env="A")}).strict_models
    assert not resolve(
        "lan", {"lan": _section(extends="openai", base_url="http://localhost/v1")}
    ).strict_models


def test_a_rehearsal_lives_at_the_simulator_and_keeps_its_dialect() -> None:
    sections = {"openai-chat": _section(base_url="https://gateway.example/v1")}
    rehearsed = resolve("openai-chat", sections, Night.ORDINARY)
    assert (rehearsed.base_url, rehearsed.dialect) == (SIMULATED, "openai-chat")


@pytest.mark.parametrize(
    ("name", "sections", "told"),
    [
        ("tu-zu", {}, "unknown provider 'tu-zu', did you mean 'tu-zi'?"),
        ("openai-chat", {}, "provider 'openai-chat' needs base_url, such as https://host/v1"),
        ("own", {"own": _section(stream=True)}, "provider 'own' needs base_url, such as https://host/v1"),
        ("own", {"own": _section(extends="apyi")}, "unknown provider 'apyi', did you mean 'apiyi'?"),
        (
            *("a", {"a": _section(extends="b"), "b": _section(extends="a")}),
            "provider 'a' extends itself: extends names another",
        ),
        (
            "apiyi",
            {"apiyi": _section(simulate={"latency": 1})},
            "'simulate' in provider 'apiyi' needs base_url: simulator",
        ),
    ],
)
def test_a_provider_that_makes_no_profile_is_told_in_one_line(
    name: str, sections: dict[str, ProviderSection], told: str
) -> None:
    with pytest.raises(ProfileMistake) as caught:
        resolve(name, sections)
    assert str(caught.value) == told
