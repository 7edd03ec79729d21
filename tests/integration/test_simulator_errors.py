"""The faults of answers and of the wire, limits and counts, as a client of the simulator meets them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx2 as httpx
import pytest

from batchgen.simulator.faults import ANSWER, Chance
from batchgen.simulator.serve import Simulator, simulate
from batchgen.simulator.settings import SimulatorSettings
from tests.integration.simulated import (
    CHAT,
    GENERATIONS,
    QUICK,
    client,
    content,
    events,
    links,
    serving,
    streamed,
    turn,
)

STATUSES = {
    200: "saturated_stream refusal_text refusal_log busy_text account_limit_text empty_content no_image_text "
    "error_in_stream grsai_envelope html_200 json_truncated async_only unfinished_cut",
    400: "bad_request sensitive_words refusal invalid_image",
    401: "key_quota bad_key",
    403: "quota banned",
    404: "unknown_model wrong_path",
    413: "too_large_413",
    429: "rate_limit rate_limit_header empty_429 saturated hidden_quota insufficient_quota bad_parameter_429",
    500: "saturated_500 bad_request_500 server_error do_request_failed bad_response_status image_safety "
    "channel_block",
    502: "saturated_502 cloudflare_502",
    503: "saturated_503 no_channel",
    504: "gateway_504",
    524: "cloudflare_524",
}
STATUS_OF = {fault: status for status, faults in STATUSES.items() for fault in faults.split()}


@pytest.mark.parametrize("dialect", ["tu-zi", "apiyi", "openai"])
async def test_every_answer_fault_that_a_prompt_names_comes_every_time(dialect: str) -> None:
    chat = dialect != "openai"
    async with serving() as (simulator, http):
        for fault in ANSWER:
            for _ in range(2):
                prompt = f"a cat simulate:{fault}"
                body = turn(prompt) if chat else {"model": "gpt-image-1", "prompt": prompt}
                reply = await http.post(simulator.url(dialect) + (CHAT if chat else GENERATIONS), json=body)
                assert reply.status_code == STATUS_OF.get(fault, reply.status_code), fault
                assert (
                    reply.status_code != 200
                    or not re.search(r"!\[gen|b64_json", reply.text)
                    or fault in ("json_truncated",)
                ), fault
        assert simulator.counts.faults == dict.fromkeys(ANSWER, 2)


async def answer_to(fault: str, *, dialect: str = "tu-zi", **fields: Any) -> httpx.Response:
    async with serving() as (simulator, http):
        return await http.post(simulator.url(dialect) + CHAT, json=turn(f"a cat simulate:{fault}", **fields))


async def test_a_rate_limit_says_its_wait_in_words_and_only_one_kind_in_a_header() -> None:
    reply = await answer_to("rate_limit")
    assert "Please try again in 467ms" in reply.json()["error"]["message"]
    assert "retry-after" not in reply.headers
    assert (await answer_to("rate_limit_header")).headers["retry-after"] == "1"
    assert (await answer_to("empty_429")).content == b""


async def test_gateways_put_their_request_id_into_header_and_message() -> None:
    reply = await answer_to("saturated")
    request_id = reply.headers["x-oneapi-request-id"]
    assert (
        reply.json()["error"]["message"] == f"当前分组上游负载已饱和，请稍后再试 (request id: {request_id})"
    )
    assert reply.json()["error"]["type"] == "new_api_error"


async def test_errors_inside_a_stream_are_its_only_event() -> None:
    reply = await answer_to("saturated_stream", stream=True)
    assert reply.status_code == 200
    assert [set(event) for event in events(reply.text)] == [{"error"}]


async def test_a_refused_log_has_the_echo_before_its_verdict() -> None:
    text = content(await answer_to("refusal_log"))
    assert text.index("simulate:refusal_log") < text.index("失败原因：input_moderation")
    assert '"is_output_rejection": true' in content(await answer_to("refusal_output"))


async def test_half_a_json_text_is_complete_on_the_wire() -> None:
    reply = await answer_to("json_truncated")
    with pytest.raises(json.JSONDecodeError):
        reply.json()


async def test_faults_by_rate_and_by_count_come_as_often_as_set() -> None:
    settings = SimulatorSettings(latency=0, image_side=64, faults={"server_error": Chance(times=3)})
    async with serving(settings) as (simulator, http):
        statuses = [
            (await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat"))).status_code
            for _ in range(12)
        ]
    assert statuses.count(500) == 3
    assert statuses.count(200) == 9


async def test_settings_follow_the_name_in_the_path() -> None:
    settings = {"poor": SimulatorSettings(latency=0, faults={"quota": Chance(1.0)}), "tu-zi": QUICK}
    async with simulate(settings) as simulator, client() as http:
        poor = await http.post(simulator.url("tu-zi", "poor") + CHAT, json=turn("a cat"))
        rich = await http.post(simulator.url("tu-zi", "rich") + CHAT, json=turn("a cat"))
        assert (poor.status_code, rich.status_code) == (403, 200)
        assert f"{simulator.port}/tu-zi/rich/" in links(content(rich))[0]
        assert (await http.get(links(content(rich))[0])).status_code == 200


async def test_more_than_the_allowed_concurrency_is_answered_with_429() -> None:
    async with serving(SimulatorSettings(latency=1, image_side=64, concurrency=2)) as (simulator, http):
        replies = await asyncio.gather(
            *(http.post(simulator.url("tu-zi") + CHAT, json=turn(f"cat {n}")) for n in range(5))
        )
        assert sorted(reply.status_code for reply in replies) == [200, 200, 429, 429, 429]
        assert simulator.counts.peak == 3


async def test_more_than_the_allowed_rate_is_answered_with_429_and_a_wait() -> None:
    async with serving(SimulatorSettings(latency=0, image_side=64, rpm=2)) as (simulator, http):
        replies = [await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat")) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert re.search(r"try again in \d+\.\d+s", replies[2].json()["error"]["message"])


@pytest.mark.parametrize("fault", ["refuse", "close_before_headers", "reset_before_headers"])
async def test_a_connection_may_end_before_the_headers(fault: str) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await answer_to(fault)


async def test_a_connection_may_be_refused_by_chance_without_being_billed() -> None:
    settings = SimulatorSettings(latency=0, faults={"refuse": Chance(1.0)})
    async with serving(settings) as (simulator, http):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
            await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat " * 100_000))
        assert (simulator.counts.posts, simulator.counts.billed) == (1, 0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["close_after_headers", "cut_body", "cut_after_task_id"])
async def test_a_reply_may_be_cut(fault: str, stream: bool) -> None:
    async with serving() as (simulator, http):
        received = bytearray()

        async def read() -> None:
            body = turn(f"a cat simulate:{fault}", stream=stream)
            async with http.stream("POST", simulator.url("tu-zi") + CHAT, json=body) as reply:
                assert reply.status_code == 200
                async for data in reply.aiter_raw():
                    received.extend(data)

        with pytest.raises(httpx.RemoteProtocolError):
            await read()
        text = received.decode(errors="replace")
        assert not links(text)
        assert bool(text) == (fault != "close_after_headers")
        assert fault != "cut_after_task_id" or re.search(r"> ID: `task_\w{26}`", text)
        assert simulator.counts.billed == 1


async def in_flight(simulator: Simulator, number: int) -> None:
    """Return as soon as so many requests are in flight."""
    while simulator.counts.in_flight != number:  # noqa: ASYNC110 - the server has no event for its tests
        await asyncio.sleep(0)


@pytest.mark.parametrize("fault", ["stall", "stall_before_headers"])
async def test_a_stalled_reply_lasts_until_the_client_leaves(fault: str) -> None:
    async with serving() as (simulator, http):
        with pytest.raises(httpx.ReadTimeout):
            await http.post(
                simulator.url("tu-zi") + CHAT,
                json=turn(f"a cat simulate:{fault}"),
                timeout=httpx.Timeout(100, read=0.1),
            )
        await in_flight(simulator, 0)


async def test_leaving_the_context_ends_stalled_connections_at_once() -> None:
    async with client() as http:
        async with simulate(QUICK) as simulator:
            waiting = asyncio.create_task(
                http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat simulate:stall_before_headers"))
            )
            await in_flight(simulator, 1)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await waiting


@pytest.mark.parametrize("fault", ["drip", "split_utf8", "ping", "empty_choices", "no_done"])
async def test_a_noisy_or_crumbled_stream_says_the_same(fault: str) -> None:
    reply = await answer_to(fault, stream=True)
    text = streamed(reply.text)
    assert re.search(r"> ID: `task_\w{26}`.*!\[gen_\w{26}\]\(http\S+\)$", text, re.S)
    assert reply.text.endswith("[DONE]\n\n") == (fault in ("drip", "split_utf8"))
    if fault == "split_utf8":
        pieces = [
            event["choices"][0]["delta"].get("content", "")
            for event in events(reply.text)
            if event["choices"]
        ]
        assert max(map(len, pieces)) <= 3


@pytest.mark.parametrize("honoured", [True, False])
async def test_a_repeated_key_is_counted_and_when_honoured_brings_the_same_task(honoured: bool) -> None:
    settings = SimulatorSettings(latency=0, image_side=64, honour_idempotency=honoured)
    async with serving(settings) as (simulator, http):
        tasks = set()
        for _ in range(2):
            reply = await http.post(
                simulator.url("tu-zi") + CHAT, json=turn("a cat"), headers={"Idempotency-Key": "k1"}
            )
            tasks.add(re.findall(r"> ID: `(task_\w+)`", content(reply))[0])
        assert len(tasks) == (1 if honoured else 2)
        counts = (await http.get(f"http://127.0.0.1:{simulator.port}/_counts")).json()
        assert counts["repeated_keys"] == {"k1": 2}
        assert counts["billed"] == len(tasks)
        assert counts["posts"] == 2
        assert counts["paths"]["/tu-zi/v1/chat/completions"] == 2


async def test_unknown_paths_and_doors_are_404_in_the_providers_words() -> None:
    async with serving() as (simulator, http):
        reply = await http.post(simulator.url("tu-zi") + "/nonsense", json={})
        assert reply.status_code == 404
        assert reply.json()["error"]["message"].startswith("Invalid URL (POST /v1/nonsense)")
        assert (await http.post(simulator.url("modelverse") + CHAT, json=turn("a cat"))).status_code == 404
        assert (
            await http.get(f"http://127.0.0.1:{simulator.port}/tu-zi/source/task_none")
        ).status_code == 404
        assert (await http.get(f"http://127.0.0.1:{simulator.port}/")).status_code == 404


async def test_what_is_no_http_is_answered_by_closing() -> None:
    async with simulate(QUICK) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
