"""Bodies with large base64 in them: read as any JSON is, only that the base64 stays where it is."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import pytest

from batchgen.codecs.inline import kept_json
from batchgen.codecs.lifted import Lifted, identity, read_lifted
from batchgen.codecs.reply import ReplyDecoder
from batchgen.codecs.sse import loads
from batchgen.model import Json

LONG = 1 << 18
FIRST, SECOND = "iVBO" * (LONG // 4 + 1), "_9j-" * (LONG // 4 + 1)


def plain(value: Json) -> Json:
    """The value with every `Lifted` as the text it stands for."""
    if isinstance(value, Lifted):
        return bytes(value.base64).decode()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def lifted(value: Json) -> list[Lifted]:
    if isinstance(value, Lifted):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for item in items for found in lifted(item)]


def body(value: Json, **how: object) -> bytearray:
    return bytearray(json.dumps(value, **how).encode())  # type: ignore[arg-type]  # any option of `dumps`


@pytest.mark.parametrize(
    "value",
    [
        {"created": 1, "data": [{"b64_json": FIRST}]},
        {"data": [{"b64_json": FIRST, "text": 'a "quoted" cat\\'}, {"b64_json": SECOND}, {"b64_json": FIRST}]},
        {"candidates": [{"content": {"parts": [{"text": "猫"}, {"inlineData": {"data": FIRST}}]}}]},
        [{"a": "\\"}, SECOND, {"n": 1.5, "m": None, "k": True}, FIRST],
        {"data": [{"b64_json": FIRST + "===="}], "usage": {"total_tokens": 1}},
    ],
    ids=["one", "several", "other names", "lists", "too much padding"],
)
@pytest.mark.parametrize("how", [{}, {"indent": 2}, {"ensure_ascii": False}], ids=["short", "indented", "unicode"])
def test_large_base64_stays_in_the_body_and_all_else_is_read_as_ever(value: Json, how: dict[str, object]) -> None:
    readable, read = read_lifted(body(value, **how))
    assert (readable, plain(read)) == (True, value)
    written = json.dumps(value)
    assert len(lifted(read)) == written.count(FIRST) + written.count(SECOND)


@pytest.mark.parametrize(
    "value",
    [
        {"data": [{"b64_json": FIRST[: LONG - 10]}]},
        {"data": [{"b64_json": f"data:image/png;base64,{FIRST}"}]},
        {"choices": [{"message": {"content": f"![image](data:image/png;base64,{FIRST})"}}]},
        {"text": "a word and a space " * 20_000},
        {"text": f'He said "{FIRST}" twice'},
        {"text": f"{FIRST}\n"},
        {"text": f"{FIRST}!"},
        {"content": f"{'0f' * 32}![i](data:image/png;base64,{FIRST})"},
        {"content": f"{'0f' * 32}(data:image/png;base64,{FIRST}){'0f' * 32}"},
        {"revised_prompt": f"{'0f' * 32}{' a cat' * 60_000}{'0f' * 32}"},
        {"words": ['"'] * 5000, "data": [{"b64_json": FIRST}]},
    ],
    ids=[
        "short",
        "a data URL",
        "in a sentence",
        "prose",
        "quoted",
        "escaped",
        "marked",
        "behind an id",
        "between ids",
        "words between ids",
        "behind too many others",
    ],
)
def test_everything_else_is_a_text_as_before(value: Json) -> None:
    assert read_lifted(body(value)) == (True, value)
    assert lifted(read_lifted(body(value))[1]) == []


def test_a_mark_that_somebody_else_wrote_is_not_taken_for_an_image() -> None:
    mark = f"<base64, {len(FIRST)} characters>"
    values: tuple[Json, ...] = (
        {"echo": mark, "b64_json": FIRST},
        {"b64_json": FIRST, "echo": mark},
        {mark: 1, "b64_json": FIRST},
    )
    for value in values:
        assert plain(read_lifted(body(value))[1]) == value
        escaped = bytearray(bytes(body(value)).replace(b"<", b"\\u003c"))
        assert plain(read_lifted(escaped)[1]) == value


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda text: text[:-1],
        lambda text: text + "data: [DONE]",
        lambda text: "{" * 3000 + text,
        lambda text: text.replace('"b64_json": ', '"b64_json" '),
        lambda text: text.replace('{"b64', '{"b64_json": "' + SECOND + '", "b64'),
        lambda text: f"\ufeff{text}",
    ],
    ids=["cut", "followed by words", "nested too deep", "no colon", "a name twice", "a byte order mark"],
)
def test_what_is_odd_is_read_or_refused_as_other_json_is(spoiled: Callable[[str], str]) -> None:
    text = spoiled(json.dumps({"data": [{"b64_json": FIRST}]}))
    readable, read = read_lifted(bytearray(text.encode()))
    assert (readable, plain(read)) == loads(bytearray(text.encode()))


@pytest.mark.parametrize("shape", ["data", "inlineData"])
def test_two_images_are_two_and_one_that_is_said_twice_is_one(shape: str) -> None:
    def reply(*images: str) -> list[str]:
        parts: Json
        if shape == "data":
            parts = {"data": [{"b64_json": image} for image in images]}
        else:
            inline = [{"inlineData": {"mimeType": "image/png", "data": image}} for image in images]
            parts = {"candidates": [{"content": {"parts": inline}}]}
        decoder = ReplyDecoder("application/json")
        decoder.feed(bytes(body(parts)))
        found = [image.inline for image in decoder.finish().images]
        assert FIRST[:2000] not in decoder.kept()
        assert f"<base64, {len(images[0])} characters>" in decoder.kept()
        return [str(plain(image)) for image in found]

    other = FIRST[:-4] + "AAAA"
    assert reply(FIRST, other) == [FIRST, other]
    # In a list of results each item was billed.
    assert reply(FIRST, FIRST) == ([FIRST, FIRST] if shape == "data" else [FIRST])


def test_a_lifted_text_and_the_same_text_are_one_image() -> None:
    assert identity(Lifted.of(memoryview(FIRST.encode()))) == identity(FIRST) != identity(SECOND)


def test_the_ledger_keeps_the_same_words_as_for_a_text() -> None:
    value: Json = {"data": [{"b64_json": FIRST, "other": SECOND}]}
    assert kept_json(read_lifted(body(value))[1]) == kept_json(value)


def test_one_image_is_one_however_it_is_written() -> None:
    usual = "ab+/" * 100 + "ab=="
    odd = (usual.rstrip("="), usual.replace("+", "-").replace("/", "_"), "\r\n".join(usual), f" {usual}\n")
    assert {identity(text) for text in odd} == {identity(usual)}
    assert {identity(Lifted.of(memoryview(text.encode()))) for text in odd} == {identity(usual)}


def test_half_an_emoji_in_base64_spoils_only_its_own_image() -> None:
    parts: list[Json] = [{"inlineData": {"data": f"{'AAAA' * 40}\ud83d"}}, {"inlineData": {"data": "iVBO" * 40}}]
    decoder = ReplyDecoder("application/json")
    decoder.feed(bytes(body({"candidates": [{"content": {"parts": parts}}]})))
    assert [image.inline for image in decoder.finish().images][-1] == "iVBO" * 40


def test_what_goes_to_another_process_is_what_the_ledger_keeps() -> None:
    sent = pickle.loads(pickle.dumps(Lifted.of(memoryview(b"iVBO"))))
    assert (type(sent), sent) == (str, "<base64, 4 characters>")
