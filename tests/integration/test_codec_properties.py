"""The codecs on input nobody wrote by hand: never an exception, never a different answer, never slow."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchgen import codecs
from batchgen.codecs.base import Answer, Decoder, Fact
from batchgen.codecs.content import Watch, read
from batchgen.codecs.faults import classify
from batchgen.codecs.inline import KEPT_BYTES
from batchgen.errors import JobError
from batchgen.events import Progress, TaskSeen
from batchgen.expiry import expires_at
from batchgen.model import Endpoint, Json

TASK = "task_01jqwtd9rvev28cr2kechxszq1"
PNG = "iVBORw0KGgoAAAANSUhEUg" + "A" * 200 + "=="
SPELLS = (
    "![a](https://x.test/a.png)",
    "[100](https://x.test/p.webp?s=1)",
    "[点击下载](https://filesystem.site/cdn/download/1/a.png)",
    f"data:image/png;base64,{PNG}",
    f"> ID: `{TASK}`\n",
    "> 进度 14%.",
    "..44..",
    "生成失败 ❌\n失败原因：input_moderation\n",
    '```json\n{"prompt": "',
    '"}\n```\n',
    '{"prompt": "x"}',
    "I can't help",
    "https://x.test/b.jpg",
    "](",
    "(",
    ")",
    "```",
    "\n",
    "🐮",
    "\ud83d",
)
texts = st.lists(st.one_of(st.sampled_from(SPELLS), st.text(max_size=8)), max_size=12).map("".join)
NAMES = (
    *("choices", "message", "delta", "content", "text", "finish_reason", "index", "usage", "task_id", "progress"),
    *("data", "url", "b64_json", "images", "image_url", "type", "error", "code", "msg", "detail"),
    *("status", "urls", "generations", "candidates", "parts", "inlineData"),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 700), st.sampled_from(SPELLS), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)

TASK = "task_01jqwtd9rvev28cr2kechxszq1"


def _finish(decoder: Decoder) -> Answer | tuple[type[JobError], str]:
    try:
        return decoder.finish()
    except JobError as error:
        return type(error), error.message


def _read(data: bytes, cuts: list[int], kind: str = "") -> tuple[list[Fact], object, str, str | None]:
    decoder = codecs.decoder(Endpoint.CHAT, kind)
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    facts = [fact for a, b in pairwise(marks) for fact in decoder.feed(data[a:b])]
    return facts, _finish(decoder), decoder.kept(), decoder.task_id


def _sse(pieces: list[str]) -> bytes:
    lines = [json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in pieces]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def _whole(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


@settings(max_examples=150, deadline=None)
@given(value=values, cuts=st.lists(st.integers(0, 400), max_size=6), form=st.sampled_from(["json", "sse", "cut"]))
def test_any_reply_however_cut_has_one_answer_and_a_bounded_copy(value: Json, cuts: list[int], form: str) -> None:
    data = json.dumps(value).encode()
    data = {"json": data, "sse": b"data: " + data + b"\n\n", "cut": data[: len(data) // 2]}[form]
    whole = _read(data, [])
    assert _read(data, cuts) == whole
    assert len(whole[2].encode()) <= KEPT_BYTES


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), kind=st.sampled_from(["", "application/json", "text/event-stream"]))
def test_any_bytes_are_read_without_an_exception(data: bytes, kind: str) -> None:
    _read(data, [1, 2, 3, 50], kind)
    for status in (200, 400, 429, 500, 524, 999):
        assert isinstance(classify(status, {}, data, now=0.0), JobError)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(texts, min_size=1, max_size=6))
@example(pieces=['![a](https://x.test/a.png)```json\n{"prompt": "{"prompt": "x"}', f"> ID: `{TASK}`\n"])
@example(pieces=['{"prompt": "{"prompt": "x"}', "\n", f"> ID: `{TASK}`\n"])
def test_a_streamed_text_means_what_the_same_text_means_whole(pieces: list[str]) -> None:
    facts, streamed, _, task = _read(_sse(pieces), [])
    _, whole, _, _ = _read(_whole("".join(pieces)), [])
    assert streamed == whole
    assert sum(isinstance(fact, TaskSeen) for fact in facts) == (TaskSeen(task or "") in facts)
    told = [fact.percent for fact in facts if isinstance(fact, Progress)]
    assert told == sorted(set(told))


@settings(max_examples=150, deadline=None)
@given(text=texts)
@example(text="![a](https://x.test/a.png)\n" * 3)
def test_a_kept_reply_gives_the_same_links_when_it_is_read_again(text: str) -> None:
    _, answer, kept, _ = _read(_whole(text), [])
    links = [image.url for image in answer.images if image.url] if isinstance(answer, Answer) else []
    _, again, twice, _ = _read(kept.encode(), [])
    assert ([image.url for image in again.images] if isinstance(again, Answer) else []) == links
    assert "A" * 100 not in kept
    assert twice == kept


@settings(max_examples=100, deadline=None)
@given(text=texts, size=st.integers(0, 100))
def test_a_cut_link_is_never_a_shorter_link(text: str, size: int) -> None:
    begun = read(text + "\n![a](https://x.test/the-last.png"[: 5 + size % 28], whole=False)
    assert not any((image.url or "").startswith("https://x.test/t") for image in begun.images)


@settings(max_examples=150, deadline=None)
@given(query=st.text(alphabet="seExpirsX-AmzDatke=&;%0123456789TZ:", max_size=60))
def test_any_link_has_some_end(query: str) -> None:
    assert expires_at(f"https://x.test/a.png?{query}", received=5.0, link_ttl=7.0) > 0


HOSTILE = [
    *("![", "(((", "[](", "](", "![](<", "[](http://x (", "![a](http://x/", "<img ", "<img src=", "https://a.b/"),
    *("data:image/png;base64,", "data:image/png;", ";base64", "```", "{", '{"prompt":', '{"prompt": "', '"prompt"'),
    *("进度 1 ", "Progress ", "失败原因：", "生成失败", "\n> ID", "ID: `", "ID: task_", "gen_id: ", "/task_", "violat"),
    *('"', "'", "“", "「", " ", "\n", "hit the ", "again ", "limit ", "https://a.a.asyncdata.net/", "&amp;", "[1"),
]


def _in_one_pass(work: Callable[[str], object], text: str, seconds: float) -> None:
    """It took less than so long; where the machine is slow, no more than goes with the length of the text."""

    def cost(part: str) -> float:
        began = process_time()
        work(part)
        return process_time() - began

    whole = cost(text)
    if whole >= seconds:
        # Eight times an eighth, were it not for chance; what looks back at each step takes 64 times as long.
        assert whole < 24 * min(cost(text[: len(text) // 8]) for _ in range(3))


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_megabyte_is_read_in_well_under_a_second(piece: str) -> None:
    def refused(text: str) -> object:
        return classify(400, {}, json.dumps({"error": {"message": text}}).encode(), now=0.0)

    text = piece * (1_000_000 // len(piece))
    _in_one_pass(read, text, 1.0)
    _in_one_pass(refused, text[:200_000], 0.5)


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_stream_costs_each_piece_the_same(piece: str) -> None:
    def fed(text: str) -> None:
        watch = Watch()
        for at in range(0, len(text), 200):
            watch.feed(text[at : at + 200])

    _in_one_pass(fed, piece * (100_000 // len(piece)), 1.0)
