"""Whole replies of both doors: the same facts and the same answer, however the bytes come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

import pytest

from batchgen import codecs
from batchgen.codecs.base import Answer, Decoder, Fact
from batchgen.codecs.inline import KEPT_BYTES
from batchgen.errors import (
    BadRequest,
    EmptyReply,
    Interrupted,
    JobError,
    NoImage,
    QuotaSpent,
    Refused,
    Saturated,
    ServerError,
    TaskFailed,
    Unfinished,
    Unreadable,
)
from batchgen.events import Progress, TaskSeen
from batchgen.model import Endpoint, Json

TASK = "task_01jqwtd9rvev28cr2kechxszq1"
GEN = "gen_01jqwte8yjf7haxqc521b7z2wf"
VIEW = "https://filesystem.site/cdn/20250403/k0kVgL.png"
LOG = (
    '```json\n{\n "prompt": "画个🐮",\n "ratio": "1:1"\n}\n```\n\n'
    f"> ID: `{TASK}`\n> 🕐 排队中.\n> 进度 14%.\n> 进度 83%\n> 生成完成 ✅\n\n> gen_id: `{GEN}`\n\n![{GEN}]({VIEW})"
)
PNG = "iVBORw0KGgoAAAANSUhEUg" + "A" * 2000 + "=="
USAGE: Json = {"total_tokens": 21}
JSON, SSE = "application/json", "text/event-stream"


def _body(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _whole(content: Json, **message: Json) -> bytes:
    reply: Json = {
        "id": "chatcmpl-1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
    return _body(reply)


def _line(value: Json, ascii_only: bool = False) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=ascii_only)}\n\n".encode()


def _chunk(delta: dict[str, Json], finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _stream(content: str, step: int = 7, *, end: bool = True, ascii_only: bool = False) -> bytes:
    lines = [b": PING\n\n", _line(_chunk({"role": "assistant"}))]
    for at in range(0, len(content), step):
        lines.append(_line(_chunk({"content": content[at : at + step]}), ascii_only))
    if end:
        lines += [_line(_chunk({}, "stop")), _line({"choices": [], "usage": USAGE}), b"data: [DONE]\n\n"]
    return b"".join(lines)


def _fed(pieces: Sequence[bytes], kind: str = SSE, door: Endpoint = Endpoint.CHAT) -> tuple[Decoder, list[Fact]]:
    decoder = codecs.decoder(door, kind)
    return decoder, [fact for piece in pieces for fact in decoder.feed(piece)]


def _answer(data: bytes, kind: str = JSON, door: Endpoint = Endpoint.CHAT) -> Answer:
    return _fed([data], kind, door)[0].finish()


def _error(data: bytes, kind: str = JSON, door: Endpoint = Endpoint.CHAT) -> JobError:
    with pytest.raises(JobError) as caught:
        _answer(data, kind, door)
    return caught.value


def _links(answer: Answer) -> list[str]:
    return [image.url or image.inline or "" for image in answer.images]


def _cuts(data: bytes) -> list[list[bytes]]:
    """The same bytes at once, one by one, and cut at random places."""
    every = [[data], [data[at : at + 1] for at in range(len(data))]]
    for seed in range(4):
        random = Random(seed)
        marks = sorted(random.sample(range(1, len(data)), min(12, len(data) - 1)))
        every.append([data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)])
    return every


WIRES = {
    "json": _whole(LOG),
    "sse": _stream(LOG),
    "sse, a character a chunk": _stream(LOG, 1),
    "sse, escapes that cut emoji": _stream(LOG, 5, ascii_only=True),
    "sse, one chunk": _stream(LOG, 10_000),
    "sse, other line ends": _stream(LOG).replace(b"\n", b"\r\n"),
    "sse, no blank after the colon": _stream(LOG).replace(b"data: {", b"data:{"),
    "sse, no blank lines": _stream(LOG).replace(b"\n\n", b"\n"),
    "sse, no [DONE]": _stream(LOG).replace(b"data: [DONE]\n\n", b""),
    "sse, no line end at the end": _stream(LOG).replace(b"data: [DONE]\n\n", b"data: [DONE]"),
}


@pytest.mark.parametrize("wire", WIRES)
def test_one_answer_comes_out_of_every_wire_and_every_content_type(wire: str) -> None:
    for kind in (JSON, SSE, ""):
        answer = _answer(WIRES[wire], kind)
        assert _links(answer) == [VIEW]
        assert (answer.task_id, answer.gen_id) == (TASK, GEN)
        assert answer.usage is not None
        assert json.loads(answer.usage) == USAGE


@pytest.mark.parametrize("wire", WIRES)
def test_the_same_bytes_give_the_same_facts_however_they_are_cut(wire: str) -> None:
    outcomes = []
    for pieces in _cuts(WIRES[wire]):
        decoder, facts = _fed(pieces)
        outcomes.append((decoder.finish(), facts, decoder.kept()))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    if wire != "json":
        # 83 needs no further chunk: the letter behind it came with it or in the next one.
        assert outcomes[0][1] == [TaskSeen(TASK), Progress(14), Progress(83)]


def test_the_task_id_is_told_with_the_chunk_that_completes_it_and_never_cut() -> None:
    decoder = codecs.decoder(Endpoint.CHAT, SSE)
    text = f"> ID: `{TASK}`\n"
    for at, letter in enumerate(text):
        facts = decoder.feed(_line(_chunk({"content": letter})))
        complete = at >= text.rindex("`")
        assert facts == ([TaskSeen(TASK)] if at == text.rindex("`") else [])
        assert decoder.task_id == (TASK if complete else None)


def test_a_task_id_without_quotes_waits_for_what_follows_it() -> None:
    decoder, facts = _fed([_line(_chunk({"content": f"> ID: {TASK}"}))])
    assert (facts, decoder.task_id) == ([], None)
    assert decoder.feed(_line(_chunk({"content": "\n>"}))) == [TaskSeen(TASK)]


def test_a_stream_that_breaks_off_gives_the_images_it_had_and_no_half_link() -> None:
    text = f"![a]({VIEW})\n![b](https://x.test/second.png?sig=abcdef"
    assert _links(_answer(_stream(text, end=False), SSE)) == [VIEW]


# --- other shapes of success ------------------------------------------------------------------------

_URL: Json = {"type": "image_url", "image_url": {"url": VIEW}}
_DATA: Json = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
_INLINE = {"mimeType": "image/png", "data": PNG}
SHAPES: dict[str, tuple[bytes, list[str]]] = {
    "content parts": (_whole([{"type": "text", "text": "Here:"}, _URL]), [VIEW]),
    "content parts with an output image": (_whole([{"type": "output_image", "image_url": VIEW}]), [VIEW]),
    "message.images": (_whole("", images=[_DATA]), [PNG]),
    "message.images, content null": (_whole(None, images=[_DATA, _URL]), [PNG, VIEW]),
    "delta.images": (_line(_chunk({"content": "", "images": [_DATA]})) + b"data: [DONE]\n\n", [PNG]),
    "a data URL in the text": (_whole(f"![image](data:image/png;base64,{PNG})"), [PNG]),
    "gemini": (_body({"candidates": [{"content": {"parts": [{"text": "A cat"}, {"inlineData": _INLINE}]}}]}), [PNG]),
    "gemini, snake case": (_body({"candidates": [{"content": {"parts": [{"inline_data": _INLINE}]}}]}), [PNG]),
    "gemini, streamed": (
        _line({"candidates": [{"content": {"parts": None}}]})
        + _line({"candidates": [{"content": {"parts": [{"inlineData": _INLINE}]}, "finishReason": "STOP"}]}),
        [PNG],
    ),
    "images, url": (_body({"created": 1, "data": [{"url": VIEW}]}), [VIEW]),
    "images, base64": (_body({"created": 1, "data": [{"b64_json": PNG}]}), [PNG]),
    "images, base64 with a prefix": (_body({"data": [{"b64_json": f"data:image/png;base64,{PNG}"}]}), [PNG]),
    "images, base64 in the URL alphabet": (_body({"data": [{"b64_json": "ab-_" * 40}]}), ["ab-_" * 40]),
    "images, base64 without padding": (_body({"data": [{"b64_json": PNG.rstrip("=")}]}), [PNG.rstrip("=")]),
    "images, both: the link wins": (_body({"data": [{"url": VIEW, "b64_json": PNG}]}), [VIEW]),
    "images, a data URL as url": (_body({"data": [{"url": f"data:image/png;base64,{PNG}"}]}), [PNG]),
    "images, one item failed": (_body({"data": [{"error": {"code": "x"}}, {"url": VIEW}]}), [VIEW]),
    "images, a link in a text item": (_body({"data": [{"text": f"![a]({VIEW})"}]}), [VIEW]),
    "images, several": (_body({"data": [{"url": VIEW}, {"b64_json": PNG}, {"url": VIEW}]}), [VIEW, PNG, VIEW]),
    "images, the same drawn twice": (_body({"data": [{"b64_json": PNG}, {"b64_json": PNG}]}), [PNG, PNG]),
    "images, streamed": (
        b"event: image_generation.partial_image\n"
        + _line({"type": "image_generation.partial_image", "b64_json": "QUJD" * 40, "partial_image_index": 0})
        + b"event: image_generation.completed\n"
        + _line({"type": "image_generation.completed", "b64_json": PNG, "usage": USAGE}),
        [PNG],
    ),
    "edits, streamed": (_line({"type": "image_edit.completed", "b64_json": PNG}), [PNG]),
    "seedream, streamed": (
        _line({"type": "image_generation.partial_succeeded", "url": VIEW})
        + _line({"type": "image_generation.partial_failed", "error": {"code": "x", "message": "no"}})
        + _line({"type": "image_generation.completed", "usage": USAGE}),
        [VIEW],
    ),
    "images, a film beside it": (_body({"data": [{"url": "https://x.test/a.mp4"}, {"url": VIEW}]}), [VIEW]),
    "a stream without a last line end": (_stream(f"![a]({VIEW})", 1000, end=False).rstrip(), [VIEW]),
    "two answers after another": (_whole(f"![a]({VIEW})") + b"\ndata: [DONE]\n", [VIEW]),
    "a byte order mark first": (b"\xef\xbb\xbf" + _whole(f"![a]({VIEW})"), [VIEW]),
    "a finished task": (_body({"id": TASK, "status": "succeeded", "generations": [{"url": VIEW}]}), [VIEW]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read_at_either_door_under_either_content_type(shape: str) -> None:
    data, links = SHAPES[shape]
    for door in Endpoint:
        for kind in (JSON, SSE):
            assert _links(_answer(data, kind, door)) == links


def test_an_answer_that_is_only_the_text_counts_when_it_holds_an_image() -> None:
    assert _links(_answer(f"![a]({VIEW})".encode(), "text/plain")) == [VIEW]


# --- no image -----------------------------------------------------------------------------------

_FULL: Json = {"error": {"message": "当前分组上游负载已饱和，请稍后再试", "type": "new_api_error"}}
FAILURES: dict[str, tuple[bytes, type[JobError]]] = {
    "empty body": (b"", Unreadable),
    "blanks": (b" \r\n\r\n", Unreadable),
    "empty content": (_whole(""), EmptyReply),
    "content null": (_whole(None), EmptyReply),
    "no choices": (_body({"choices": []}), EmptyReply),
    "only [DONE]": (b"data: [DONE]\n\n", Unreadable),
    "a stream of nothing": (_stream(""), EmptyReply),
    "base64 that is none": (_body({"data": [{"b64_json": "!!!!"}]}), Unreadable),
    "empty data": (_body({"created": 1, "data": []}), EmptyReply),
    "a web page": (b"<!DOCTYPE html><html><title>Welcome</title></html>", Unreadable),
    "cut JSON": (_whole("Hello there")[:60], Unreadable),
    "not JSON": (b"\x00\x01\x02\x03", Unreadable),
    "an unknown object": (_body({"hello": "world"}), Unreadable),
    "an error object": (_body(_FULL), Saturated),
    "an error text": (_body({"error": "insufficient credits"}), QuotaSpent),
    "an error without its envelope": (_body({"message": "insufficient credits"}), QuotaSpent),
    "grsai, money": (_body({"code": -1, "data": None, "msg": "insufficient credits"}), QuotaSpent),
    "grsai, moderation": (
        _body({"code": 0, "data": {"status": "failed", "failure_reason": "output_moderation"}}),
        Refused,
    ),
    "grsai, a dead worker": (_body({"code": 0, "data": {"status": "failed", "failure_reason": "oom"}}), TaskFailed),
    "an error line in a stream": (_line(_chunk({"content": "."})) + _line(_FULL), Saturated),
    "a named error line": (b"event: error\n" + _line(_FULL), Saturated),
    "a named error without envelope": (
        b"event: error\n" + _line({"message": "x", "code": "sensitive_words_detected"}),
        Refused,
    ),
    "a named error with a type alone": (
        b"event: error\n" + _line({"type": "server_error", "message": "against our content policy"}),
        Refused,
    ),
    "a link that is cut": (_stream("https://x.test/a.png?sig=ab", end=False), Interrupted),
    "an error line in words": (b"event: error\ndata: upstream exploded\n\n", ServerError),
    "a stream that breaks off": (_stream("Let me see", end=False), Interrupted),
    "a log that stops": (_stream("> 排队中.\n> 生成中.\n"), Interrupted),
    "a task that goes on": (_whole(f"> ID: `{TASK}`\n> 排队中.\n"), Unfinished),
    "a task, and the channel is full": (_line(_chunk({"content": f"> ID: `{TASK}`\n"})) + _line(_FULL), Unfinished),
    "a refusal": (_whole("I can’t assist with that request."), Refused),
    "a refusal of its own field": (_whole(None, refusal="No."), Refused),
    "stopped by the filter": (
        _body({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
        Refused,
    ),
    "gemini, blocked prompt": (_body({"promptFeedback": {"blockReason": "SAFETY"}}), Refused),
    "gemini, blocked image": (
        _body({"candidates": [{"content": {"parts": None}, "finishReason": "IMAGE_SAFETY"}]}),
        Refused,
    ),
    "gemini, no image": (_body({"candidates": [{"content": {"parts": None}, "finishReason": "NO_IMAGE"}]}), EmptyReply),
    "gemini, a thought": (
        _body({"candidates": [{"content": {"parts": [{"text": "x", "thought": True}]}}]}),
        EmptyReply,
    ),
    "a promise": (_whole("Here is the image you asked for."), NoImage),
    "images, a refusal in words": (_body({"data": [{"text": "I can't help with that."}]}), Refused),
    "images, each item failed": (
        _body({"data": [{"error": {"code": "OutputImageSensitiveContentDetected", "message": "no"}}]}),
        Refused,
    ),
    "images, only a partial one": (_line({"type": "image_generation.partial_image", "b64_json": PNG}), Interrupted),
    "images, failed in the stream": (
        _line({"type": "image_generation.failed", "error": {"code": "invalid_value", "message": "no"}}),
        BadRequest,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_200_without_an_image_is_the_error_it_means_also_byte_by_byte(name: str) -> None:
    data, leaf = FAILURES[name]
    error = _error(data, SSE if data.startswith((b"data:", b"event:", b":")) else JSON)
    assert type(error) is leaf
    assert len(error.message) <= 800
    decoder, _ = _fed([data[at : at + 1] for at in range(len(data))], "")
    with pytest.raises(leaf):
        decoder.finish()


def test_a_cut_answer_that_names_a_task_can_be_recovered() -> None:
    decoder, _ = _fed([_whole(LOG)[:300]], JSON)
    with pytest.raises(Unfinished):
        decoder.finish()
    assert decoder.task_id == TASK


# --- what is kept -------------------------------------------------------------------------------

KEPT = {name: data for name, (data, _) in SHAPES.items()} | WIRES


@pytest.mark.parametrize("name", KEPT)
def test_the_kept_text_has_no_base64_and_gives_the_same_links_again(name: str) -> None:
    decoder, _ = _fed([KEPT[name]], "")
    links = [link for link in _links(decoder.finish()) if link.startswith("https:")]
    kept = decoder.kept()
    assert "AAAAAAAA" not in kept
    assert "QUJDQUJD" not in kept
    again, _ = _fed([kept.encode()], "")
    try:
        assert _links(again.finish()) == links
    except JobError:
        assert not links


@pytest.mark.parametrize("data", [_whole("好" * 100_000), _stream("好" * 100_000, 1000), b"<html>" + b"x " * 100_000])
def test_the_kept_text_is_at_most_64_kibibytes_of_valid_text(data: bytes) -> None:
    decoder, _ = _fed([data], "")
    assert 0 < len(decoder.kept().encode()) <= KEPT_BYTES


def test_a_long_stream_keeps_the_links_at_its_end() -> None:
    decoder, _ = _fed([_stream(". " * 3000 + f"![a]({VIEW})", 2)], SSE)
    assert _links(decoder.finish()) == [VIEW]
    again, _ = _fed([decoder.kept().encode()], "")
    assert _links(again.finish()) == [VIEW]


def test_a_key_in_a_reply_is_not_kept() -> None:
    for data in (_whole("your key sk-abcdefghijkl1234567890"), _stream("your key sk-abcdefghijkl1234567890", 100)):
        decoder, _ = _fed([data], "")
        assert "abcdefghijkl" not in decoder.kept()
