"""The worker beside one provider: what becomes of a reply that never comes to its end."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest

from batchgen.errors import Interrupted
from batchgen.events import Event, Failed, Generated, TaskSeen
from batchgen.images.addresses import AddressGuard
from batchgen.model import Endpoint, Job, Submission
from batchgen.providers.profile import Profile
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings
from tests.integration.loopback import Answer, Loopback, http

TASK = "task_01jqwtd9rvev28cr2kechxszq1"
NAMED = f'data: {{"choices": [{{"delta": {{"content": "> ID: `{TASK}`\\n"}}}}]}}\n\n'


async def events(workspace: Path, answer: Answer, step: int = 0) -> list[Event]:
    """What is told of a submission that gets this answer; the clock goes on by `step` seconds at each look."""
    seconds = count(0, step)
    async with Loopback([answer]) as provider, Transport(proxies={}) as transport:
        profile = Profile(name="p", base_url=provider.url("/v1"), endpoint=Endpoint.CHAT, stream=True)
        settings = WorkerSettings(
            workspace=workspace,
            profiles={"p": profile},
            keys={},
            guards={"p": AddressGuard(frozenset({"127.0.0.1"}), False)},
            max_image_bytes=1 << 20,
            task_patience=1800,
        )
        worker = Worker(settings, transport, now=lambda: float(next(seconds)))
        job = Job(id="a", prompt="x", provider=("p",), model="m")
        work = Submission(attempt_id=1, job=job, provider="p", ask=1, idempotency_key="k", key=None)
        async with asyncio.timeout(30):
            return [event async for event in worker.run(work)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"choices": [{"message": {"content": "![a](https://cdn.example.com/a.png)"}}]}'),
        (400, b'{"error": {"message": "no such size"}}'),
    ],
)
async def test_a_whole_reply_is_told_together_with_what_came_of_it(tmp_path: Path, status: int, body: bytes) -> None:
    (told,) = await events(tmp_path, http(status, body, Content_Type="application/json"))
    assert isinstance(told, Generated if status == 200 else Failed)
    assert (told.reply and told.reply.status) == status


@pytest.mark.parametrize("named", [False, True])
async def test_a_stream_that_only_keeps_itself_alive_is_given_up_and_its_task_is_known(
    tmp_path: Path, named: bool
) -> None:
    async def pinging(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        writer.write(NAMED.encode() if named else b"")
        while not writer.is_closing():
            writer.write(b": PING\n\n")
            await writer.drain()

    told = await events(tmp_path, Answer(pinging), step=600)
    assert isinstance(told[-1], Failed)
    assert isinstance(told[-1].error, Interrupted)
    assert "the answer did not end within" in told[-1].error.message
    assert [event for event in told if isinstance(event, TaskSeen)] == ([TaskSeen(TASK)] if named else [])
