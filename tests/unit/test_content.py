"""Assistant texts, real and hostile, and what must be read out of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.codecs.content import Reading, Verdict, Watch, read
from batchgen.errors import NoImage, Refused, Saturated, UpstreamLimit
from batchgen.events import Progress, TaskSeen

SAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "content_samples.jsonl").read_text("utf-8").splitlines()
]
TASK = "task_01jqwtd9rvev28cr2kechxszq1"
LOG = SAMPLES[3]["content"]


def urls(reading: Reading) -> list[str]:
    return [image.url or image.inline or "" for image in reading.images]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["source"][:40])
def test_every_sample_is_read_as_its_expectation_says(sample: dict[str, Any]) -> None:
    want, got = sample["expect"], read(sample["content"])
    assert urls(got) == [url.partition("base64,")[2] or url for url in want["image_urls"]]
    assert got.verdict.value == want["class"]
    assert (got.task_id, got.gen_id) == (want["task_id"], want["gen_id"])
    assert (got.failed, got.reason) == (want["failed"], want["reason"])
    assert list(got.progress) == want["progress"]
    assert got.parent_gen_id == want.get("parent_gen_id")
    for name in ("preview_urls", "task_urls"):
        assert name not in want or list(getattr(got, name)) == want[name]
    assert got.retry_after == want.get("retry_after_s")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('![a](https://x.io/a.png "title")', ["https://x.io/a.png"]),
        ("![a](<https://x.io/a.png>)", ["https://x.io/a.png"]),
        ("![a]( https://x.io/a.png )", ["https://x.io/a.png"]),
        ("[![t](https://x.io/t.png)](https://x.io/page)", ["https://x.io/t.png"]),
        ("![a](https:\\/\\/x.io\\/a.png?x=1\\u0026y=2)", ["https://x.io/a.png?x=1&y=2"]),
        ("<img alt='x' src='https://x.io/a?b=1&amp;c=2'/>", ["https://x.io/a?b=1&c=2"]),
        ("见 https://x.io/a.png，谢谢", ["https://x.io/a.png"]),
        ("**https://x.io/a.png**", ["https://x.io/a.png"]),
        ("[点击下载](https://x.io/file/9f3a)", ["https://x.io/file/9f3a"]),
        ("[原图](https://x.io/a.JPEG?sig=a%2Fb%2Bc)", ["https://x.io/a.JPEG?sig=a%2Fb%2Bc"]),
        ("![1](https://x.io/a.png)\n![2](https://x.io/b.png)", ["https://x.io/a.png", "https://x.io/b.png"]),
        ("![a](https://x.io/a.png)![a](https://x.io/a.png)", ["https://x.io/a.png"]),
        ("![v](https://x.io/a.mp4)", []),
        ("See https://x.io/help.html or https://x.io/", []),
        ("I can't help with that, see https://openai.com/policies/usage", []),
        ('{"prompt": "like https://x.io/mine.png"}\nDone', []),
        ("![a](data:text/plain;base64,AAAA)", []),
    ],
)
def test_links_are_taken_in_every_way_they_are_written(text: str, want: list[str]) -> None:
    assert urls(read(text)) == want


def test_a_download_of_the_same_file_is_an_alternative_of_its_view() -> None:
    view, download = "https://filesystem.site/cdn/1/a.png", "https://filesystem.site/cdn/download/1/a.png"
    [image] = read(f"![gen_01abcdef]({view})\n[点击下载]({download})").images
    assert (image.url, image.alternatives) == (view, (download,))


def test_the_signed_preview_is_the_last_alternative_of_a_single_image() -> None:
    text = ">🏃 进度 7..[100](https://v.io/p.webp?sig=1)\n![a](https://x.io/a.png)\n"
    assert read(text).images[0].alternatives == ("https://v.io/p.webp?sig=1",)
    two = read(text + "![b](https://x.io/b.png)")
    assert [image.alternatives for image in two.images] == [(), ()]


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"prompt": "draw: 生成失败 ❌ 失败原因：input_moderation"}\n```\n> ID: `%s`\n> 生成中.' % TASK,
        '{"prompt":"a note: I can\'t assist with that request"}\n\n> ID: `%s`\n' % TASK,
        '```json\n{"prompt": "a "broken" echo 违反了我们的内容政策"}\n```\n> ID: `%s`\n> 排队中' % TASK,
    ],
)
def test_words_of_the_echoed_prompt_decide_nothing(text: str) -> None:
    reading = read(text)
    assert (reading.verdict, reading.failed, reading.task_id) == (Verdict.UNFINISHED, False, TASK)


def test_a_task_id_in_the_echoed_prompt_is_not_the_provider_s() -> None:
    assert read('{"prompt": "see > ID: `task_99999999999999999999999999`"}\n> 排队中').task_id is None


def test_an_echo_that_never_ends_hides_the_rest() -> None:
    assert read('```json\n{"prompt": "![x](https://x.io/a.png) ').images == ()


@pytest.mark.parametrize(
    ("text", "leaf", "verdict"),
    [
        ("生成失败 ❌\n失败原因：output_moderation", Refused, Verdict.JOB_FATAL),
        ("图片生成失败 ❌ - 内容违规", Refused, Verdict.JOB_FATAL),
        ("生成失败 ❌\n失败原因：internal oddity", NoImage, Verdict.NO_IMAGE),
        ("Lots of people are creating images right now, so this might take a bit.", Saturated, Verdict.RETRY_LATER),
        ("你已达到图片创建上限。请在 5 小时后重试", UpstreamLimit, Verdict.RETRY_LATER),
        ("我不能帮助生成这张图片。", Refused, Verdict.JOB_FATAL),
        ("I'm sorry, but I can't create that image.", Refused, Verdict.JOB_FATAL),
        ("I’m unable to generate images of that person.", Refused, Verdict.JOB_FATAL),
        ('Here is "I can\'t help with that", as asked.', None, Verdict.NO_IMAGE),
    ],
)
def test_words_without_an_image_are_explained(text: str, leaf: type | None, verdict: Verdict) -> None:
    reading = read(text)
    assert (reading.leaf, reading.verdict) == (leaf, verdict)


def test_a_wait_in_chinese_is_read() -> None:
    assert read("你已达到图片创建上限。请在 5 小时后重试").retry_after == 5 * 3600


def test_an_image_outweighs_every_word() -> None:
    reading = read("生成失败 ❌ 失败原因：input_moderation\n重试…\n![a](https://x.io/a.png)")
    assert (reading.verdict, reading.failed, reading.reason) == (Verdict.OK, False, None)


@pytest.mark.parametrize(
    "tail", ["https://x.io/a.png?sig=ab", "![a](https://x.io/a.png?sig=ab", "data:image/png;base64,iVBORw0KG"]
)
def test_what_a_broken_stream_ends_in_is_not_trusted(tail: str) -> None:
    assert read(f"done: {tail}").images != ()
    assert read(f"done: {tail}", whole=False).images == ()


@pytest.mark.parametrize(
    "unit",
    ["(((", "![", "](", "](https://x(", "[a](http://x", "<img ", "{", '{"prompt":', "`", ">ID:", "进度 1",
     "data:image/", "data:image/png;base64,", '"', "https://", "生成失败:", "\\u0026", "1m", "((a)", "“", "'a "],
)  # fmt: skip
def test_a_megabyte_of_hostile_text_is_read_in_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.perf_counter()
    read(text)
    read(text, whole=False)
    assert time.perf_counter() - started < 5


@given(st.text())
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read(text)


@given(st.lists(st.integers(0, len(LOG)), max_size=30))
def test_a_log_in_pieces_tells_the_same_facts_as_the_whole(cuts: list[int]) -> None:
    watch, edges = Watch(), [0, *sorted(cuts), len(LOG)]
    facts = [fact for a, b in zip(edges, edges[1:], strict=False) for fact in watch.feed(LOG[a:b])]
    assert facts == [TaskSeen("task_01kctyffzxen691hatw9fvvq52"), Progress(48), Progress(100)]


@pytest.mark.parametrize("text", [f"> ID: `{TASK}`", f"> ID: {TASK} ", f"[s](https://asyncdata.net/web/{TASK})"])
def test_a_task_id_is_told_with_the_character_that_completes_it_and_not_before(text: str) -> None:
    watch = Watch()
    for index, character in enumerate(text):
        facts = watch.feed(character)
        assert facts == ([TaskSeen(TASK)] if index == len(text) - 1 else [])


def test_megabytes_of_base64_pieces_pass_the_watch_quickly() -> None:
    watch, started = Watch(), time.perf_counter()
    for _ in range(60_000):
        watch.feed("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ")
    assert watch.feed(f"\n> ID: `{TASK}`\n") == [TaskSeen(TASK)]
    assert time.perf_counter() - started < 3
