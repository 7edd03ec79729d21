"""Assistant texts, real and hostile, and what stands in them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from batchgen.codecs.content import Reading, Verdict, Watch, read
from batchgen.errors import JobError, NoImage, Refused, Saturated, ServerError, UpstreamLimit
from batchgen.events import Progress, TaskSeen
from batchgen.expiry import expires_at

_SAMPLES = Path(__file__).parent.parent / "data" / "content_samples.jsonl"
SAMPLES = [json.loads(line) for line in _SAMPLES.read_text("utf-8").splitlines()]
LEAVES: dict[str | None, type[JobError]] = {
    "input_moderation": Refused,
    "output_moderation": Refused,
    "content_policy": Refused,
    "refusal": Refused,
    "upstream_busy": Saturated,
    "upstream_account_limit": UpstreamLimit,
    "rate limit in the assistant text": UpstreamLimit,
}
TASK = "task_01jqwtd9rvev28cr2kechxszq1"
GEN = "gen_01jqwte8yjf7haxqc521b7z2wf"
ECHO = '```json\n{"prompt": "%s", "ratio": "1:1"}\n```\n\n'


def _shown(reading: Reading) -> list[str]:
    """The images as one list of links and base64 texts."""
    return [image.url or image.inline or "" for image in reading.images]


def _wanted(urls: list[str]) -> list[str]:
    return [url.partition(";base64,")[2] if url.startswith("data:") else url for url in urls]


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
# Any: one decoded line of the sample file.
def test_a_known_answer_is_read_as_its_notes_say(sample: dict[str, Any]) -> None:
    expect, reading = sample["expect"], read(sample["content"])
    assert _shown(reading) == _wanted(expect["image_urls"])
    assert (reading.task_id, reading.gen_id) == (expect["task_id"], expect["gen_id"])
    assert reading.parent_gen_id == expect.get("parent_gen_id")
    assert list(reading.progress) == expect["progress"]
    assert list(reading.preview_urls) == expect.get("preview_urls", [])
    if "task_urls" in expect:
        assert list(reading.task_urls) == expect["task_urls"]
    assert (reading.failed, reading.reason) == (expect["failed"], expect["reason"])
    assert reading.verdict.value == expect["class"]
    assert reading.leaf is LEAVES.get(expect["reason"])
    assert reading.retry_after == expect.get("retry_after_s")
    for urls, key in ((expect["image_urls"], "url_expires"), (expect.get("preview_urls"), "preview_expires")):
        if key in expect:
            moment = datetime.fromisoformat(expect[key]).timestamp()
            assert expires_at(urls[0], received=0.0, link_ttl=60.0) == moment


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ('![a](https://x.test/a.png "a title")', ["https://x.test/a.png"]),
        ("![a](<https://x.test/a.png>)", ["https://x.test/a.png"]),
        ("![a]( https://x.test/a.png )", ["https://x.test/a.png"]),
        ("![a](https://x.test/a.png?sig=a%2Fb%3D&x=1)", ["https://x.test/a.png?sig=a%2Fb%3D&x=1"]),
        (r"![a](https:\/\/x.test\/a.png?a=1\u0026b=2)", ["https://x.test/a.png?a=1&b=2"]),
        ("![a](https://x.test/a.png?a=1&amp;b=2)", ["https://x.test/a.png?a=1&b=2"]),
        ("![a](https://x.test/a.png)![b](https://x.test/b.png)", ["https://x.test/a.png", "https://x.test/b.png"]),
        ("![a](https://x.test/a.png) again ![a](https://x.test/a.png)", ["https://x.test/a.png"]),
        ("<img alt='a' src='https://x.test/a'>", ["https://x.test/a"]),
        ("https://x.test/a.png, https://x.test/b.jpg.", ["https://x.test/a.png", "https://x.test/b.jpg"]),
        ("[download](https://x.test/file/3f2a9c)", ["https://x.test/file/3f2a9c"]),
        (f"> ID: `{TASK}`\n[点击下载](https://x.test/cdn/download/1/abc)", ["https://x.test/cdn/download/1/abc"]),
        ("[a](https://x.test/a.html) [b](https://x.test/b.mp4)", []),
        ("![film](https://x.test/a.mp4)", []),
        ("![a](ftp://x.test/a.png) ![b](javascript:alert(1)) ![c](a.png)", []),
        ("![a](data:text/html;base64,PGI+)", []),
        ("![a](data:image/png;base64,iVBORw0KGgo=)", ["iVBORw0KGgo="]),
        ("data:image/png;base64,iVBORw0KGg==data:image/png;base64,AAAA", ["iVBORw0KGg==", "AAAA"]),
        ("data:<base64, 3000 characters> https://x.test/b.png [100](https://x.test/p.webp)", []),
        ("https://x.test", []),
    ],
)
def test_only_links_that_can_be_pictures_are_results(text: str, images: list[str]) -> None:
    assert _shown(read(text)) == images


def test_the_download_of_a_view_is_another_address_of_the_same_picture() -> None:
    view, download = "https://filesystem.site/cdn/1/a.png", "https://filesystem.site/cdn/download/1/a.png"
    for text in (f"![v]({view})\n[点击下载]({download})", f"[点击下载]({download})\n![v]({view})"):
        (image,) = read(text).images
        assert (image.url, image.alternatives) == (view, (download,))


def test_the_signed_preview_is_the_last_address_and_never_a_second_picture() -> None:
    (image,) = read("进度 7..[100](https://s.test/p.webp?sig=1)\n![v](https://x.test/a.png)").images
    assert (image.url, image.alternatives) == ("https://x.test/a.png", ("https://s.test/p.webp?sig=1",))


@pytest.mark.parametrize(
    "prompt",
    [
        "生成失败 失败原因：input_moderation",
        "违反了我们的内容政策",
        "I can't help with that request",
        "rate limit, try again later",
        "see https://evil.test/a.png ![a](https://evil.test/b.png)",
        "> ID: `task_99999999999999999999999999` gen_id: `gen_99999999`",
        "进度 99%",
        'a } brace, a \\" quote, a ``` fence ![a](https://evil.test/c.png)',
    ],
)
def test_nothing_of_the_echoed_prompt_counts(prompt: str) -> None:
    for form in (ECHO, '{"prompt": "%s"}\n\n', 'Sure!\n{"prompt":"%s"}\n'):
        running = read(form % prompt + f"> ID: `{TASK}`\n> 进度 14%.\n")
        assert (running.verdict, running.task_id, running.progress) == (Verdict.UNFINISHED, TASK, (14,))
        assert not running.images
        done = read(form % prompt + "![a](https://x.test/a.png)")
        assert _shown(done) == ["https://x.test/a.png"]
        assert read(form % prompt + "Here it is.").verdict is Verdict.NO_IMAGE


def test_an_echo_that_never_ends_holds_no_result() -> None:
    reading = read('```json\n{"prompt": "![a](https://evil.test/a.png) 失败原因：x')
    assert (reading.images, reading.failed) == ((), False)


def test_the_parents_gen_id_is_not_the_new_one() -> None:
    reading = read(f'{{"prompt": "x", "gen_id": "gen_parent1"}}\n> gen_id: `{GEN}`\n![{GEN}](https://x.test/a.png)')
    assert (reading.gen_id, reading.parent_gen_id) == (GEN, "gen_parent1")
    assert read('{"prompt": "x", "gen_id": "gen_parent1"}\nHello').gen_id is None


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (f"> ID: `{TASK}`", TASK),
        (f"> ID：`{TASK}`", TASK),
        (f"Task ID: {TASK} ", TASK),
        ("任务ID: `veo3-pro:03bd6356-8ec6-4e06-be7f-c06febc5eb47`", "veo3-pro:03bd6356-8ec6-4e06-be7f-c06febc5eb47"),
        (f"[p](https://pro.asyncdata.net/web/{TASK})", TASK),
        (f"![a](https://v.test/assets%2F{TASK}%2Fsrc_0.png)", TASK),
        (f'失败\n{{"type":"terminal","task_id":"{TASK}"}}', TASK),
        ("ID: `abc`", None),
        ("INVALID: `0123456789`", None),
        ("my task_x is done", None),
    ],
)
def test_a_task_id_is_found_wherever_gateways_put_it(text: str, task: str | None) -> None:
    assert read(text).task_id == task


@pytest.mark.parametrize(
    ("text", "reason", "leaf"),
    [
        ("图片生成失败 ❌ - input_moderation", "input_moderation", Refused),
        ("生成失败 ❌\n失败原因：server busy, try again later", "server busy, try again later", Saturated),
        ("生成失败 ❌\n失败原因：worker 12 died", "worker 12 died", NoImage),
        ("生成失败 ❌", "failed without a reason", NoImage),
        ("Generation failed", "failed without a reason", NoImage),
        ("The image generation tool encountered an error. Please try again.", "tool_error", ServerError),
        ("Lots of people are creating images right now", "upstream_busy", Saturated),
        ("你已达到图片创建上限", "upstream_account_limit", UpstreamLimit),
        ("I'm sorry, but I can't create that.", "refusal", Refused),
        ("我不能生成这样的图片", "refusal", Refused),
        ('I drew a sign that says "I can\'t help" for you.', None, None),
        ("A cat on a roof.", None, None),
    ],
)
def test_words_explain_a_text_without_an_image(text: str, reason: str | None, leaf: type[JobError] | None) -> None:
    reading = read(text)
    assert (reading.reason, reading.leaf, reading.failed) == (reason, leaf, reason is not None)


def test_an_image_outweighs_every_word() -> None:
    reading = read("I can't help with that. 生成失败 ❌\n![a](https://x.test/a.png)")
    assert (reading.verdict, reading.failed, reading.reason) == (Verdict.OK, False, None)


@pytest.mark.parametrize(
    ("text", "progress"),
    [
        ("🏃 进度 7..13..[100](https://x.test/p.webp)", (7, 13, 100)),
        ("Progress 14%.\nProgress 7....13", (14, 7, 13)),
        ("进度 **34%**", (34,)),
        ("进度 33.5%", (33,)),
        ("进度 250", ()),
        ("in 2024 the progress of 12 monkeys", ()),
    ],
)
def test_progress_is_the_numbers_of_the_log_up_to_a_hundred(text: str, progress: tuple[int, ...]) -> None:
    assert read(text).progress == progress


@pytest.mark.parametrize(
    "tail",
    [
        "![a](https://x.test/a.pn",
        "![a](https://x.test/a.png",
        "![a](https://x.test/Cat_(animal)",
        '<img src="https://x.test/a.pn',
        "https://x.test/a.png",
        f"> ID: {TASK}",
        "data:image/png;base64,AAAA",
    ],
)
def test_what_touches_the_end_of_a_broken_stream_is_not_believed(tail: str) -> None:
    reading = read("text\n" + tail, whole=False)
    assert (reading.images, reading.task_id) == ((), None)


def test_a_watched_stream_tells_the_task_once_and_each_step_once() -> None:
    text = (
        ECHO % "> ID: `task_99999999999999999999999999` 进度 99%"
    ) + f"> ID: `{TASK}`\n> 进度 14%..7..44..\n进度 44%\n"
    for size in (1, 2, 3, 7, 50, 4000):
        watch = Watch()
        facts = [fact for at in range(0, len(text), size) for fact in watch.feed(text[at : at + size])]
        assert facts == [TaskSeen(TASK), Progress(14), Progress(44)]
        assert watch.task_id == TASK
