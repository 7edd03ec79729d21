"""Requests as they leave: what each provider's own document shows is what we send."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from batchgen import codecs
from batchgen.codecs.base import Ask, Call, Part
from batchgen.errors import BadReference
from batchgen.model import Endpoint, Job, Json, Picture
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.profile import Profile

CAT = "https://aliyuncs.com/wiki/code/mdjourney/cat_3.png"
LINKED = Picture("cat_3.png", "image/png", url=CAT)
BEACH = Picture("beach.png", "image/png", data=b"\x89PNG beach")
SEA = Picture("sea.jpg", "image/jpeg", data=b"\xff\xd8 sea")
MASK = Picture("mask.png", "image/png", data=b"\x89PNG mask")


def _job(model: str, prompt: str, **values: object) -> Job:
    return replace(Job(id="j", prompt=prompt, provider=("p",), model=model), **values)  # type: ignore[arg-type]  # a table's values


def _sent(call: Call) -> dict[str, Json]:
    assert call.body is not None
    body: dict[str, Json] = json.loads(call.body)
    return body


def _profile(name: str) -> Profile:
    return replace(BUILTIN[name], base_url=BUILTIN[name].base_url or "https://chat.test/v1")


def _fields(call: Call) -> dict[str, bytes]:
    return {part.name: part.data for part in call.parts if part.filename is None}


def _files(call: Call) -> list[Part]:
    return [part for part in call.parts if part.filename is not None]


LIGHTHOUSE = "Landscape 16:9 cinematic, old lighthouse at sunset, photorealistic"
WATERCOLOR = "Convert this image into watercolor style"
# What each document's own example sends; `stream` is said where the example leaves it to the default.
SEEDS: list[tuple[str, Ask, str, dict[str, Json]]] = [
    (
        "tu-zi",
        Ask(job=_job("gpt-image-1-vip", "画个牛马")),
        "https://api.tu-zi.com/v1/chat/completions",
        {"stream": True, "model": "gpt-image-1-vip", "messages": [{"role": "user", "content": "画个牛马"}]},
    ),
    (
        "apiyi",
        Ask(job=_job("gpt-image-2-vip", LIGHTHOUSE)),
        "https://api.apiyi.com/v1/chat/completions",
        {"stream": False, "model": "gpt-image-2-vip", "messages": [{"role": "user", "content": LIGHTHOUSE}]},
    ),
    (
        "apiyi",
        Ask(
            job=_job("gpt-image-2-vip", WATERCOLOR),
            references=(Picture("photo.png", "image/png", url="https://example.com/photo.png"),),
        ),
        "https://api.apiyi.com/v1/chat/completions",
        {
            "stream": False,
            "model": "gpt-image-2-vip",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": WATERCOLOR},
                        {"type": "image_url", "image_url": {"url": "https://example.com/photo.png"}},
                    ],
                }
            ],
        },
    ),
    (
        "openai-chat",
        Ask(job=_job("gpt-4o-image", "画只猫")),
        "https://chat.test/v1/chat/completions",
        {"stream": False, "model": "gpt-4o-image", "messages": [{"role": "user", "content": "画只猫"}]},
    ),
    (
        "apiqik",
        Ask(job=_job("gpt-image-1.5", "图中形象在喝牛奶"), references=(LINKED,)),
        "https://api.apiqik.online/v1/chat/completions",
        {
            "stream": False,
            "model": "gpt-image-1.5",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "图中形象在喝牛奶", "type": "text"},
                        {"image_url": {"url": CAT}, "type": "image_url"},
                    ],
                }
            ],
        },
    ),
    (
        "modelverse",
        Ask(
            job=_job(
                "gpt-image-1",
                "a beautiful flower",
                size="1024x1024",
                quality="high",
                output_format="png",
                output_compression=100,
            )
        ),
        "https://api.modelverse.cn/v1/images/generations",
        {
            "model": "gpt-image-1",
            "prompt": "a beautiful flower",
            "n": 1,
            "size": "1024x1024",
            "quality": "high",
            "output_format": "png",
            "output_compression": 100,
        },
    ),
]


@pytest.mark.parametrize(("provider", "ask", "url", "body"), SEEDS)
def test_a_documents_own_example_is_what_is_sent(provider: str, ask: Ask, url: str, body: dict[str, Json]) -> None:
    call = codecs.encode(ask, _profile(provider))
    assert (call.method, call.url, call.content_type, call.parts) == ("POST", url, "application/json", ())
    assert _sent(call) == body


def test_modelverses_own_edit_is_what_is_sent() -> None:
    job = _job(
        "gpt-image-1",
        "Add a beach ball in the center",
        size="1024x1024",
        quality="high",
        output_format="png",
        output_compression=100,
    )
    call = codecs.encode(Ask(job=job, references=(BEACH,), mask=MASK), _profile("modelverse"))
    assert (call.method, call.url, call.body) == ("POST", "https://api.modelverse.cn/v1/images/edits", None)
    assert _fields(call) == {
        "model": b"gpt-image-1",
        "prompt": b"Add a beach ball in the center",
        "size": b"1024x1024",
        "n": b"1",
        "quality": b"high",
        "output_format": b"png",
        "output_compression": b"100",
    }
    assert _files(call) == [
        Part("image", b"\x89PNG beach", "beach.png", "image/png"),
        Part("mask", b"\x89PNG mask", "mask.png", "image/png"),
    ]


def test_several_files_of_an_edit_go_under_the_name_of_a_list() -> None:
    call = codecs.encode(Ask(job=_job("gpt-image-1", "both"), references=(BEACH, SEA)), _profile("openai"))
    assert [(part.name, part.mime) for part in _files(call)] == [("image[]", "image/png"), ("image[]", "image/jpeg")]


def test_a_form_spells_params_as_json_and_words_as_words() -> None:
    job = _job("gpt-image-1", "x", params={"user": "me", "flag": True, "more": {"a": 1}})
    fields = _fields(codecs.encode(Ask(job=job, references=(BEACH,)), _profile("openai")))
    assert (fields["user"], fields["flag"], fields["more"]) == (b"me", b"true", b'{"a": 1}')


def test_bytes_go_to_the_chat_endpoint_as_a_data_url() -> None:
    call = codecs.encode(Ask(job=_job("gpt-image-1", "x"), references=(LINKED, SEA)), _profile("apiqik"))
    assert _sent(call)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": CAT}},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9ggc2Vh"}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("provider", "ask"),
    [
        ("apiqik", Ask(job=_job("gpt-image-1", "x"), references=(BEACH,), mask=MASK)),
        ("apiqik", Ask(job=_job("gpt-image-1", "x"), references=(Picture("a.png", "image/png", data=b""),))),
        ("openai", Ask(job=_job("gpt-image-1", "x"), references=(LINKED,))),
        ("openai", Ask(job=_job("gpt-image-1", "x"), references=(Picture("a.png", "image/png", data=b""),))),
    ],
)
def test_a_picture_that_the_endpoint_can_not_take_is_refused_before_sending(provider: str, ask: Ask) -> None:
    with pytest.raises(BadReference):
        codecs.encode(ask, _profile(provider))


def test_params_are_merged_last_and_win() -> None:
    job = _job("gpt-image-1", "x", quality="low", params={"quality": "max", "seed": 7})
    sent = _sent(codecs.encode(Ask(job=job), _profile("openai")))
    assert (sent["quality"], sent["seed"]) == ("max", 7)
    chat = codecs.encode(Ask(job=replace(job, params={"stream": True})), _profile("apiqik"))
    assert (_sent(chat)["stream"], chat.headers["Accept"]) == (True, "text/event-stream")


@pytest.mark.parametrize("provider", [name for name in BUILTIN if name != "simulator"])
@pytest.mark.parametrize("endpoint", Endpoint)
def test_the_model_is_always_said_and_the_count_only_on_images(provider: str, endpoint: Endpoint) -> None:
    profile = replace(_profile(provider), endpoint=endpoint)
    assert profile.default_model is not None
    sent = _sent(codecs.encode(Ask(job=_job(profile.default_model, "x"), count=2), profile))
    assert sent["model"] == profile.default_model
    assert sent.get("n") == (2 if endpoint is Endpoint.IMAGES else None)


@pytest.mark.parametrize(
    ("provider", "model", "told"),
    [("openai", "gpt-image-1", None), ("openai", "dall-e-3", "url"), ("apiyi", "gpt-image-2-vip", "url")],
)
def test_the_form_of_the_response_is_said_only_where_it_may_be(provider: str, model: str, told: str | None) -> None:
    profile = replace(_profile(provider), endpoint=Endpoint.IMAGES)
    assert _sent(codecs.encode(Ask(job=_job(model, "x")), profile)).get("response_format") == told


def test_only_what_the_model_takes_is_sent() -> None:
    job = _job("dall-e-3", "x", quality="hd", output_format="webp", background="opaque")
    sent = _sent(codecs.encode(Ask(job=job), _profile("openai")))
    assert sent == {"model": "dall-e-3", "prompt": "x", "n": 1, "quality": "hd", "response_format": "url"}


@pytest.mark.parametrize("size", ["1024×768", "1024*768", "1024 X 768", "1024x768"])
def test_a_size_is_sent_with_a_plain_x(size: str) -> None:
    sent = _sent(codecs.encode(Ask(job=_job("gpt-image-2", "x", size=size)), _profile("openai")))
    assert sent["size"] == "1024x768"


def test_no_key_is_in_a_request_and_a_closing_slash_of_the_address_is_no_matter() -> None:
    call = codecs.encode(Ask(job=_job("m", "x")), replace(_profile("apiyi"), base_url="https://x.test/v1/"))
    assert call.url == "https://x.test/v1/chat/completions"
    assert "authorization" not in {name.lower() for name in call.headers}
