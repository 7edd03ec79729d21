"""The README's table of what happens when something goes wrong, held against the code row by row.

Each kind of error is made from what a provider really sends, judged, and compared with the words of its row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from batchgen import codecs
from batchgen.codecs.faults import classify
from batchgen.codecs.tasks import read_task
from batchgen.errors import (
    BadImage,
    Blocked,
    DownloadFailed,
    Interrupted,
    JobError,
    NotSent,
    ReferenceLost,
    StoreDown,
    TaskUnknown,
)
from batchgen.images.verdicts import refusal
from batchgen.model import Endpoint, JobState, OnUnknown, Outcome, OutputState
from batchgen.retry import Action, DownloadVerdict, History, Verdict, decide, decide_download
from batchgen.transport import Head

README = Path(__file__).parent.parent / "README.md"
NOW = 1_000_000.0
MOST = 6


def _error(status: int, message: str = "", **fields: str) -> JobError:
    """A gateway's error reply."""
    body = json.dumps({"error": {"message": message, **fields}}).encode() if message else b""
    return classify(status, {}, body, now=NOW)


def _said(content: str) -> JobError:
    """A complete chat reply of status 200 with this text."""
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    return _reply(json.dumps({"choices": [choice]}))


def _reply(body: str) -> JobError:
    decoder = codecs.decoder(Endpoint.CHAT, "application/json")
    decoder.feed(body.encode())
    with pytest.raises(JobError) as caught:
        decoder.finish()
    return caught.value


def _task(**page: str) -> JobError:
    with pytest.raises(JobError) as caught:
        read_task(json.dumps(page).encode())
    return caught.value


def _file(status: int, body: bytes = b"") -> JobError:
    return refusal(Head(status, {}), body, NOW)


WIRE: Mapping[str, list[JobError]] = {
    "rate_limit": [
        classify(429, {"retry-after": "90"}, b"", now=NOW),
        _error(429, "Rate limit reached. Please try again in 467ms.", code="rate_limit_exceeded"),
        _error(429, "您已达到请求数限制：1分钟内最多请求10次", type="new_api_error"),
        _error(429),
    ],
    "saturated": [
        _error(429, "当前分组上游负载已饱和，请稍后再试", type="upstream_error"),
        _error(500, "当前分组上游负载已饱和，请稍后再试 (request id: 2025)", type="new_api_error"),
        _error(429, "No available image quota. Please try again later."),
        _said("目前有很多人在创建图片，图片准备好后我们会通知你"),
    ],
    "server_error": [
        _error(500, "请求上游地址失败", code="do_request_failed"),
        _error(502, "bad response status code 502", code="bad_response_status_code", param="502"),
        classify(520, {}, b"<html><title>520: unknown error</title></html>", now=NOW),
    ],
    "no_channel": [
        _error(503, "当前分组 default 下对于模型 gpt-image-1 无可用渠道"),
        _error(503, "分组 default 下模型 x 无可用渠道（distributor）", code="model_not_found"),
        _error(500, "可用渠道不存在（retry）", code="get_channel_failed"),
    ],
    "upstream_limit": [
        _said(
            "You've hit the plus plan limit for image generations requests. "
            "You can create more images when the limit resets in 23 hours and 28 minutes."
        )
    ],
    "empty_reply": [_said("")],
    "no_image": [_said("A cat is a small animal with fur.")],
    "connection": [NotSent("no connection to api.example: Connection refused")],
    "interrupted": [
        Interrupted("the connection to api.example broke"),
        classify(524, {}, b"<html><title>524: A timeout occurred</title></html>", now=NOW),
        _error(504),
        _error(408),
        _error(499),
        _error(502, "stream disconnected before completion", code="internal_server_error"),
    ],
    "unfinished": [_said("> ID: `task_01jr2x9m6mex7s0t4vrh8g2q3d`\n> 排队中.\n")],
    "task_unknown": [TaskUnknown("the provider does not know this task")],
    "unreadable": [_reply("<html><title>Welcome</title></html>")],
    "refused": [
        _error(400, "Your request was rejected", type="image_generation_user_error", code="moderation_blocked"),
        _error(500, "sensitive words detected", code="sensitive_words_detected"),
        _said("生成失败 ❌\n失败原因：input_moderation"),
        _said("I can’t assist with that request."),
    ],
    "bad_request": [
        _error(400, "invalid request", code="invalid_request"),
        _error(429, "quality must be one of low, medium, high"),
        classify(413, {}, b"<html><title>413 Request Entity Too Large</title></html>", now=NOW),
    ],
    "unknown_model": [
        _error(404, "The model `x` does not exist", code="model_not_found"),
        _error(403, "该令牌无权访问模型 x"),
    ],
    "bad_reference": [_error(400, "Invalid image file or mode for image 1", code="invalid_image_file")],
    "store": [StoreDown("s3://bucket/night: it can't be reached")],
    "reference_lost": [ReferenceLost("reference https://a.example/cat.png can't be fetched now: HTTP 503")],
    "reference_unread": [_error(400, "Error while downloading file. Upstream status code: 407.")],
    "task_failed": [_task(status="failed", failure_reason="internal")],
    "bad_key": [_error(401, "无效的令牌"), _error(401, "Incorrect API key provided", code="invalid_api_key")],
    "quota": [
        _error(403, "用户额度不足, 剩余额度: 0", code="insufficient_user_quota"),
        _error(401, "该令牌额度已用尽 TokenStatusExhausted[sk-abc***xyz]"),
        _error(429, "当前分组上游负载已饱和，请稍后再试", type="insufficient_quota"),
    ],
    "not_allowed": [_error(403, "用户已被封禁"), _error(403, "您的 IP 不在令牌允许访问的列表中")],
    "wrong_address": [_error(404, "Invalid URL (POST /v2)", type="invalid_request_error"), _error(501)],
    "download": [DownloadFailed("the download is cut: 10 of 20 bytes"), _file(503)],
    "not_there_yet": [_file(404)],
    "link_dead": [_file(403), _file(410), _file(403, b"<Error><Code>AuthenticationFailed</Code></Error>")],
    "bad_image": [BadImage("the file is not an image")],
    "blocked": [Blocked("the address is a private one")],
}


def _verdict(error: JobError, tries: int = 0, repeats: int = 0, **known: bool) -> Verdict:
    history = History(
        tries=tries,
        max_attempts=MOST,
        has_task=known.get("has_task", False),
        on_unknown=OnUnknown.RESEND if known.get("resend") else OnUnknown.HOLD,
        repeats=repeats,
    )
    return decide(error, history, now=NOW, jitter=0.5)


def _download(error: JobError, tries: int = 0, can_ask: bool = False) -> DownloadVerdict:
    return decide_download(error, tries=tries, expires_at=None, can_ask=can_ask, now=NOW, jitter=0.5)


def _ends(error: JobError, tries: int) -> bool:
    """The last of so many tries, and no earlier one, ends as `failed`."""
    before = tries < 2 or _verdict(error, tries - 2).action is Action.AGAIN
    return before and _verdict(error, tries - 1).state is JobState.FAILED


def _waits_as_told(error: JobError) -> bool:
    at = _verdict(error).at
    return at is not None and at - NOW >= (0.75 if error.retry_after is None else error.retry_after)


def _asks_for_link(error: JobError) -> bool:
    return any(_download(error, tries, can_ask=True).ask_task for tries in range(8))


def _output_ends(error: JobError, state: OutputState) -> bool:
    last = _download(error, 7)
    return last.state is state and last.at is None and not last.ask_task


SAYS: Mapping[str, Callable[[JobError], bool]] = {
    "waits as told": _waits_as_told,
    "does not wait for hours": lambda e: (_verdict(e).at or 0) - NOW < 60 < 3600 < (e.retry_after or 0),
    "1 s to 3 min": lambda e: e.retry_after is not None or (_verdict(e).at or 0) - NOW == 1.0,
    "5 s to 3 min": lambda e: e.retry_after is not None or (_verdict(e).at or 0) - NOW == 5.0,
    "tries again": lambda e: _verdict(e).action is Action.AGAIN and _verdict(e).state is JobState.PENDING,
    "up to `max_attempts`": lambda e: _ends(e, MOST),
    "four tries": lambda e: _ends(e, 4),
    "three tries": lambda e: _ends(e, 3),
    "two tries": lambda e: _ends(e, 2),
    "the same error came three times": lambda e: (
        _verdict(e, 2, repeats=2).state is JobState.FAILED and _verdict(e, 1, repeats=1).state is JobState.PENDING
    ),
    "cost no attempt": lambda e: not _verdict(e).counted,
    "costs no attempt": lambda e: not _verdict(e).counted,
    "asks for the task": lambda e: _verdict(e, has_task=True).action is Action.RECOVER,
    "`held`": lambda e: (_verdict(e).state, _verdict(e).outcome) == (JobState.HELD, Outcome.UNKNOWN),
    "`on_unknown: resend` sends it again": lambda e: _verdict(e, resend=True).state is JobState.PENDING,
    "`refused` at once": lambda e: _verdict(e).state is JobState.REFUSED,
    "`failed` at once": lambda e: _verdict(e).state is JobState.FAILED,
    "the provider is stopped": lambda e: _verdict(e).action is Action.PARK,
    "stay `pending`": lambda e: _verdict(e).state is JobState.PENDING,
    "the download is tried again": lambda e: _download(e).at is not None,
    "however long that is": lambda e: all(_download(e, n).at for n in range(100)),
    "when its link has died": lambda e: (
        decide_download(e, tries=0, expires_at=NOW - 1, can_ask=True, now=NOW, jitter=0.5).at is not None
    ),
    "about a minute": lambda e: 30 < sum((_download(e, n).at or NOW) - NOW for n in range(8)) < 90,
    "tried again, once": lambda e: _download(e, 1).at is None,
    "left to the next `fetch`": lambda e: _output_ends(e, OutputState.REMOTE),
    "asked for a fresh link": _asks_for_link,
    "`expired`": lambda e: _output_ends(e, OutputState.EXPIRED),
    "`bad`": lambda e: _output_ends(e, OutputState.BAD),
}
"""Words of the table, and what they promise of an error. A word not listed here promises nothing."""


def _rows() -> list[tuple[list[str], str]]:
    """The kinds and the promise of each row."""
    section = README.read_text(encoding="utf-8").split("## Every fault")[1].split("\n#")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    return [(re.findall(r"`(\w+)`", kinds), promise) for _, kinds, promise in cells]


ROWS = _rows()


def _kinds(root: type[JobError]) -> set[str]:
    below = root.__subclasses__()
    return {root.kind} if not below else set().union(*map(_kinds, below))


def test_the_table_has_every_leaf_of_the_error_tree_once() -> None:
    listed = [kind for kinds, _ in ROWS for kind in kinds]
    assert sorted(listed) == sorted(_kinds(JobError)) == sorted(WIRE)


@pytest.mark.parametrize(("kinds", "promise"), ROWS, ids=[" ".join(kinds) for kinds, _ in ROWS])
def test_a_row_says_what_the_code_does(kinds: list[str], promise: str) -> None:
    promised = [words for words in SAYS if words in promise]
    assert promised, f"none of these words is known: {promise}"
    for kind in kinds:
        for error in WIRE[kind]:
            assert error.kind == kind, error
            for words in promised:
                assert SAYS[words](error), f"{kind}: {words!r} does not hold for {error!r}"


def test_every_word_that_promises_something_stands_in_the_table() -> None:
    assert not {words for words in SAYS if not any(words in promise for _, promise in ROWS)}
