"""The worker beside one provider: what becomes of a reply that never comes to its end."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import pytest

from batchgen.errors import Interrupted
from batchgen.events import Event, Failed, TaskSeen
from batchgen.images.addresses import AddressGuard
from batchgen.model import Endpoint, Job, Submission
from batchgen.providers.profile import Profile
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings
from tests.integration.loopback import Answer, Loopback

TASK = "task_01jqwtd9rvev28cr2kechxszq1"
NAMED = f'data: {{"choices": [{{"delta": {{"content": "> ID: `{TASK}`\\n"}}}}]}}\n\n'


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

    hours = count(0, 60)
    async with Loopback([Answer(pinging)]) as provider, Transport(proxies={}) as transport:
        profile = Profile(name="p", base_url=provider.url("/v1"), endpoint=Endpoint.CHAT, stream=True)
        settings = WorkerSettings(
            workspace=tmp_path,
            profiles={"p": profile},
            keys={},
            guards={"p": AddressGuard(frozenset({"127.0.0.1"}), False)},
            max_image_bytes=1 << 20,
            task_patience=1800,
        )
        worker = Worker(settings, transport, now=lambda: float(next(hours)))
        job = Job(id="a", prompt="x", provider=("p",), model="m")
        work = Submission(attempt_id=1, job=job, provider="p", ask=1, idempotency_key="k", key=None)
        async with asyncio.timeout(30):
            told: list[Event] = [event async for event in worker.run(work)]
    assert isinstance(told[-1], Failed)
    assert isinstance(told[-1].error, Interrupted)
    assert "the answer did not end within" in told[-1].error.message
    assert [event for event in told if isinstance(event, TaskSeen)] == ([TaskSeen(TASK)] if named else [])
