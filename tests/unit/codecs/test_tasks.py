"""Task pages in every shape known: running, finished, failed, or no verdict yet."""

from __future__ import annotations

import json

import pytest

from batchgen.codecs.base import Answer, Found
from batchgen.codecs.tasks import Running, read_task, task_address
from batchgen.errors import JobError, NotThereYet, Refused, TaskFailed
from batchgen.model import Json

TASK = "task_01jqwtd9rvev28cr2kechxszq1"
GEN = "gen_01jqwte8yjf7haxqc521b7z2wf"
VIEW, SOURCE = "https://filesystem.site/cdn/1/a.png", "https://videos.openai.com/az/vg-assets/task_x%2Fsrc_0.png?se=1"
INPUT = "https://x.test/input.png"


def _read(value: Json) -> Answer | Running:
    return read_task(json.dumps(value, ensure_ascii=False).encode())


def _links(value: Json) -> list[str]:
    answer = _read(value)
    assert isinstance(answer, Answer)
    return [image.url or image.inline or "" for image in answer.images]


def _raw(status: str, **values: Json) -> dict[str, Json]:
    """The raw task of the page behind the log, as it comes while it is queued."""
    return {
        "id": TASK,
        "user": "u",
        "created_at": "2025-10-09T08:53:20Z",
        "status": status,
        "progress_pct": None,
        "queue_status_message": None,
        "type": "image_gen",
        "prompt": f"like {INPUT}",
        "n_variants": 2,
        "inpaint_items": [{"url": INPUT, "type": "image"}],
        "generations": [],
        "num_unsafe_generations": 0,
        "moderation_result": {"type": "passed", "code": None, "is_output_rejection": False, "task_id": TASK},
        "failure_reason": None,
        **values,
    }


FINISHED: dict[str, tuple[Json, list[str]]] = {
    "a log": ({"content": f"> ID: `{TASK}`\n> 生成完成 ✅\n\n![{GEN}]({VIEW})"}, [VIEW]),
    "urls and a status": ({"status": "completed", "urls": [VIEW, SOURCE]}, [VIEW, SOURCE]),
    "urls without a status": ({"urls": [VIEW]}, [VIEW]),
    "urls as objects": ({"status": "success", "urls": [{"url": VIEW}]}, [VIEW]),
    "generations": ({"status": "completed", "generations": [{"url": VIEW}, {"url": SOURCE}]}, [VIEW, SOURCE]),
    "generations with paths": ({"status": "completed", "generations": [{"img_paths": [VIEW, SOURCE]}]}, [VIEW, SOURCE]),
    "a raw task": (_raw("succeeded", generations=[{"id": GEN, "task_id": TASK, "url": VIEW}]), [VIEW]),
    "a raw task, only encodings": (
        _raw("succeeded", generations=[{"id": GEN, "encodings": {"source": {"path": SOURCE}}}]),
        [SOURCE],
    ),
    "wrapped": (
        {
            "id": f"sora-2:{TASK}",
            "status": "completed",
            "detail": {"id": TASK, "input": {"images": [INPUT]}, "status": "completed", "url": VIEW},
        },
        [VIEW],
    ),
    "wrapped twice": ({"detail": {"pending_info": _raw("succeeded", generations=[{"url": VIEW}])}}, [VIEW]),
    "a request beside it": ({"request": {"images": [INPUT], "url": INPUT}, "status": "done", "url": VIEW}, [VIEW]),
    "a share page": ({"content": {"status": "completed", "progress": 100, "url": VIEW, "gif_url": INPUT}}, [VIEW]),
    "a flat share page": ({"status": "completed", "url": VIEW, "gif_url": INPUT, "draft_info": {"url": INPUT}}, [VIEW]),
    "an envelope": ({"code": 0, "data": {"id": TASK, "status": "succeeded", "results": [{"url": VIEW}]}}, [VIEW]),
    "the same picture twice": ({"status": "completed", "urls": [VIEW, VIEW]}, [VIEW]),
    "a film beside a picture": ({"status": "completed", "urls": ["https://x.test/a.mp4", VIEW]}, [VIEW]),
    "inline": ({"status": "completed", "url": "data:image/png;base64,iVBORw0KGgo="}, ["iVBORw0KGgo="]),
}


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_task_gives_its_pictures_and_never_those_sent_in(name: str) -> None:
    value, links = FINISHED[name]
    assert _links(value) == links


def test_slashes_may_be_escaped() -> None:
    answer = read_task(rb'{"status":"completed","urls":["https:\/\/filesystem.site\/cdn\/1\/a.png?a=1\u0026b=2"]}')
    assert answer == Answer(images=(Found(VIEW + "?a=1&b=2"),))


def test_a_finished_task_tells_its_ids() -> None:
    answer = _read(_raw("succeeded", generations=[{"id": GEN, "url": VIEW, "encodings": {"source": {"path": SOURCE}}}]))
    assert answer == Answer(images=(Found(VIEW, (SOURCE,)),), task_id=TASK, gen_id=GEN)


def test_urls_and_generations_of_one_task_are_the_same_pictures() -> None:
    value: Json = {"status": "completed", "urls": [VIEW], "generations": [{"url": SOURCE}]}
    assert _read(value) == Answer(images=(Found(VIEW, (SOURCE,)),))


WAITING: dict[str, tuple[Json, int | None]] = {
    "queued": (_raw("queued"), None),
    "a share of one": (_raw("running", progress_pct=0.93), 93),
    "a share of all": (_raw("running", progress_pct=1), 100),
    "per cent": (_raw("processing", progress_pct=42.4), 42),
    "wrapped": ({"detail": {"status": "pending", "pending_info": _raw("running", progress_pct=0.5)}}, 50),
    "a share page": ({"content": {"status": "in_progress", "progress": "37%"}}, 37),
    "a log": ({"content": f"> ID: `{TASK}`\n> 进度 14%.\n> 进度 44%.\n"}, 44),
    "a log of a busy channel": ({"content": "当前分组上游负载已饱和，请稍后再试"}, None),
    "only sent pictures": ({"request": {"url": INPUT}, "detail": {"input": {"images": [INPUT]}}}, None),
    "running, with a picture of before": ({"status": "running", "url": VIEW}, None),
    "an unknown status": ({"status": "pondering"}, None),
    "nothing": ({}, None),
    "a list": ([], None),
    "another number": (_raw("running", progress_pct=-4), None),
}


@pytest.mark.parametrize("name", WAITING)
def test_a_task_that_has_not_ended_is_running(name: str) -> None:
    value, progress = WAITING[name]
    assert _read(value) == Running(progress)


@pytest.mark.parametrize("body", [b"", b"pending", b"<html>502</html>", b'{"status": "compl', b"\xff\xfe", b"null"])
def test_a_page_that_is_not_json_is_no_verdict(body: bytes) -> None:
    assert read_task(body) == Running(None)


# As met in the wild; ours may know more.
_RUNNING = ("queued", "pending", "processing", "running", "in_progress", "submitted")
_DONE = ("completed", "succeeded", "success", "done", "finished")
_FAILED = ("failed", "cancelled", "canceled", "error", "fail", "timeout", "rejected")


def test_a_running_word_is_running() -> None:
    for status in (*_RUNNING, "QUEUED", " running "):
        assert _read({"status": status, "message": "x"}) == Running(None)


def test_an_end_without_a_picture_is_a_failed_task() -> None:
    for status in (*_FAILED, *_DONE, "Failed"):
        with pytest.raises(TaskFailed):
            _read({"status": status})
    for status in ("violation", "blocked"):
        with pytest.raises(Refused):
            _read({"status": status})


FAILURES: list[tuple[Json, type[JobError], str]] = [
    ({"status": "failed", "failure_reason": "worker died"}, TaskFailed, "task: worker died"),
    ({"status": "failed", "fail_reason": "output_moderation"}, Refused, "task: output_moderation"),
    ({"status": "failed", "message": "内容违规"}, Refused, "task: 内容违规"),
    ({"status": "failed", "error": {"message": "no memory", "code": 5}}, TaskFailed, "task: no memory"),
    (
        {"status": "failed", "error_message": "out of time", "request": {"prompt": "nsfw"}},
        TaskFailed,
        "task: out of time",
    ),
    (_raw("failed", num_unsafe_generations=2), Refused, "task: failed"),
    (_raw("succeeded", num_unsafe_generations=2), Refused, "task: ended without an image"),
    (_raw("failed", moderation_result={"type": "terminal", "is_output_rejection": True}), Refused, "task: failed"),
    (_raw("failed", failure_reason="input_moderation"), Refused, "task: input_moderation"),
    (_raw("cancelled"), TaskFailed, "task: cancelled"),
    ({"detail": {"pending_info": _raw("failed", failure_reason="worker died")}}, TaskFailed, "task: worker died"),
    (
        {"code": 0, "data": {"status": "failed", "failure_reason": "input_moderation"}},
        Refused,
        "task: input_moderation",
    ),
    ({"content": "生成失败 ❌\n失败原因：input_moderation"}, Refused, "input_moderation"),
    ({"content": "生成失败 ❌\n失败原因：worker died"}, TaskFailed, "worker died"),
    ({"message": "task not found"}, NotThereYet, "task: task not found"),
    ({"error": "任务不存在"}, NotThereYet, "task: 任务不存在"),
    ({"status": "failed", "message": "your key sk-abcdefghijkl1234"}, TaskFailed, "task: your key [key]"),
]


@pytest.mark.parametrize(("value", "leaf", "message"), FAILURES)
def test_a_failed_task_says_why(value: Json, leaf: type[JobError], message: str) -> None:
    with pytest.raises(JobError) as caught:
        _read(value)
    assert (type(caught.value), caught.value.message) == (leaf, message)


def test_a_page_nested_without_end_is_read_no_deeper_than_needed() -> None:
    assert read_task(b'{"data":' * 50_000 + b"}" * 50_000) == Running(None)
    value: Json = {}
    for _ in range(50):
        value = {"data": value, "detail": {"status": "running"}}
    assert _read(value) == Running(None)


@pytest.mark.parametrize(
    ("task", "step"),
    [
        (TASK, TASK),
        ("veo3-pro:03bd6356-8ec6-4e06", "veo3-pro:03bd6356-8ec6-4e06"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("..", "%2E%2E"),
        ("a?b#c d", "a%3Fb%23c%20d"),
    ],
)
def test_an_id_stays_one_step_of_the_address(task: str, step: str) -> None:
    assert task_address("https://asyncdata.net/source/{task_id}", task) == f"https://asyncdata.net/source/{step}"


_WRONG: tuple[Json, ...] = ("", 7, 2.5, False, [], {}, None, [[]], [None, 3], {"url": 5})


@pytest.mark.parametrize("name", ["status", "urls", "url", "generations", "content", "detail", "message", "id"])
def test_a_field_of_the_wrong_kind_breaks_nothing(name: str) -> None:
    for wrong in _WRONG:
        assert _read({name: wrong, "data": [wrong], "task": {name: wrong}}) == Running(None)
