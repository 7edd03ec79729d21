"""What the ledger keeps of a reply: all of it together with what came of it, and nothing that must not be there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import batchgen
from batchgen import JobRecord, JobState
from tests.integration.loopback import Answer, Loopback, Then, http

KEY = "very-secret-words-0123"
TASK = "task_01jqwtd9rvev28cr2kechxszq1"
HALF = "\ud83d"
"""Half of an emoji, as a JSON escape cut in two leaves it: no UTF-8, and nothing that SQLite takes."""


def picture() -> Answer:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return http(200, file.getvalue())


def said(status: int, value: object, **headers: str) -> Answer:
    return http(status, json.dumps(value).encode(), Then.KEEP, Content_Type="application/json", **headers)


async def run(folder: Path, host: Loopback, answers: Sequence[Answer], **profile: object) -> JobRecord:
    """The one job of a batch, after a provider that gives these answers."""
    host.answers = list(answers)
    provider: Mapping[str, object] = {
        "extends": "openai-chat",
        "base_url": host.url("/v1"),
        "endpoint": "images",
        "api_key_env": "K",
        "allow_private_downloads": True,
        **profile,
    }
    batch = {
        "provider": "p",
        "providers": {"p": provider},
        "settings": {"max_attempts": 1},
        "jobs": [{"id": "a", "model": "m", "prompt": "x"}],
    }
    path = folder / "m.yaml"
    path.write_text(json.dumps(batch))
    (record,) = [job async for job in await batchgen.run(path, workspace=folder / "w", keys={"K": KEY})]
    return record


def kept(folder: Path) -> tuple[Any, ...]:
    """Status, request id and text of the one reply."""
    with closing(sqlite3.connect(folder / "w/ledger.db")) as db:
        ((status, request_id, text),) = db.execute(
            "SELECT http_status, request_id, text FROM attempts JOIN replies ON replies.attempt = attempts.id"
        )
    return status, request_id, text


async def test_a_reply_with_an_image_is_kept_with_its_status_and_request_id(tmp_path: Path) -> None:
    async with Loopback([]) as host:
        reply = said(200, {"created": 1, "data": [{"url": host.url()}]}, X_Request_Id="req_1")
        job = await run(tmp_path, host, [reply, picture()])
        assert job.state is JobState.DONE
        status, request_id, text = kept(tmp_path)
        assert (status, request_id, host.url() in text) == (200, "req_1", True)


async def test_a_reply_without_an_image_is_kept_with_its_status_and_request_id(tmp_path: Path) -> None:
    async with Loopback([]) as host:
        reply = said(400, {"error": {"message": "no such size", "code": "bad_size"}}, X_Request_Id="req_1")
        job = await run(tmp_path, host, [reply])
    assert job.state is JobState.FAILED
    status, request_id, text = kept(tmp_path)
    assert (status, request_id, "no such size" in text) == (400, "req_1", True)


async def test_a_cut_reply_is_kept_while_the_task_that_it_names_is_asked_for(tmp_path: Path) -> None:
    piece = json.dumps({"choices": [{"delta": {"content": f"> ID: `{TASK}`\n"}}]})
    async with Loopback([]) as host:
        cut = http(
            200, f"data: {piece}\n\n".encode(), Then.CLOSE, Content_Type="text/event-stream", Content_Length="9999"
        )
        page = said(200, {"status": "completed", "url": host.url()})
        task_url = host.url("/source/{task_id}")
        job = await run(tmp_path, host, [cut, page, picture()], endpoint="chat", stream=True, task_url=task_url)
        assert host.target(1) == f"/source/{TASK}"
    assert (job.state, job.attempts[0].task_id) == (JobState.DONE, TASK)
    assert TASK in kept(tmp_path)[2]


@pytest.mark.parametrize("status", [200, 400])
async def test_a_key_that_a_gateway_quotes_back_is_nowhere_in_the_workspace(tmp_path: Path, status: int) -> None:
    async with Loopback([]) as host:
        delivered = {"created": 1, "data": [{"url": host.url()}], "usage": {"of": KEY}, "note": KEY}
        refused = {"error": {"message": f"{KEY} has no rights", "code": KEY, "request_id": KEY}}
        reply = said(status, delivered if status == 200 else refused, X_Request_Id=f"req-{KEY}")
        await run(tmp_path, host, [reply, picture()])
    assert kept(tmp_path)[1] == "req-[key]"
    for file in (tmp_path / "w").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("where", ["usage", "url"])
async def test_an_image_is_had_though_half_an_emoji_stands_in_the_reply(tmp_path: Path, where: str) -> None:
    async with Loopback([]) as host:
        url = host.url("/a.png?n=" + (HALF if where == "url" else "1"))
        value = {"created": 1, "data": [{"url": url}], "usage": {"n": HALF if where == "usage" else 1}}
        job = await run(tmp_path, host, [said(200, value), picture()])
    assert job.state is JobState.DONE


async def test_an_error_with_half_an_emoji_fails_its_job_and_not_the_run(tmp_path: Path) -> None:
    error = {"message": f"no {HALF}", "code": f"bad{HALF}", "request_id": f"r{HALF}"}
    async with Loopback([]) as host:
        job = await run(tmp_path, host, [said(400, {"error": error})])
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "bad\ufffd")


async def test_a_task_with_half_an_emoji_in_its_id_is_asked_for(tmp_path: Path) -> None:
    async with Loopback([]) as host:
        queued, page = {"task_id": f"task_{HALF}", "status": "queued"}, {"status": "completed", "url": host.url()}
        task_url = host.url("/source/{task_id}")
        job = await run(tmp_path, host, [said(200, queued), said(200, page), picture()], task_url=task_url)
        assert host.target(1) == "/source/task_%EF%BF%BD"
    assert (job.state, job.attempts[0].task_id) == (JobState.DONE, "task_\ufffd")
