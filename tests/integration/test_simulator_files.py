"""Tasks, links, downloads and what outlives a restart of the simulator."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import httpx2 as httpx
import pytest

from batchgen.simulator.faults import Chance
from batchgen.simulator.memory import Memory
from batchgen.simulator.serve import simulate
from batchgen.simulator.settings import SimulatorSettings
from tests.integration.simulated import (
    CHAT,
    GENERATIONS,
    QUICK,
    content,
    cut_task,
    linked,
    links,
    picture,
    serving,
    turn,
)


async def test_finished_tasks_come_in_four_shapes_without_a_key_and_lead_to_their_pictures() -> None:
    async with serving() as (simulator, http), httpx.AsyncClient(trust_env=False) as keyless:
        shapes = set()
        for number in range(40):
            body = (await keyless.get(await cut_task(simulator, http, f"cat {number}"))).json()
            shapes.add("/".join(sorted(body)))
            found = re.findall(
                r"http://127\.0\.0\.1:[^\s\"\\)]+/(?:vg-assets|cdn)/[^\s\"\\)]+", json.dumps(body)
            )
            results = [link for link in found if "the-users-own-picture" not in link]
            assert picture((await keyless.get(results[0])).content)
        assert len(shapes) == 4


async def test_a_task_is_queued_and_runs_before_it_is_done() -> None:
    async with serving(SimulatorSettings(latency=1800)) as (simulator, http):
        async with http.stream(
            "POST", simulator.url("tu-zi") + CHAT, json=turn("a cat", stream=True)
        ) as reply:
            async for text in reply.aiter_text():
                task = re.findall(r"task_\w{26}", text)[0]
                break
        body = (await http.get(simulator.url("tu-zi").removesuffix("/v1") + f"/source/{task}")).text
        assert "urls" not in body
        assert re.search(r"等待处理中|queued|pending", body)
        page = await http.get(simulator.url("tu-zi").removesuffix("/v1") + f"/web/{task}")
        assert "running" in page.text


async def test_a_task_may_be_unknown_or_failed() -> None:
    async with serving() as (simulator, http):
        unknown = await http.get(await cut_task(simulator, http, "a cat simulate:task_unknown"))
        assert unknown.status_code == 404
        for number in range(12):
            failed = await http.get(await cut_task(simulator, http, f"cat {number} simulate:task_failed"))
            assert "output_moderation" in failed.json().get("content", "") + failed.text
            assert "/cdn/2026" not in failed.text.replace("/cdn/20260101/the-users-own-picture.png", "")


async def test_a_signed_link_must_come_back_byte_for_byte() -> None:
    async with serving() as (simulator, http):
        for number in range(20):
            link = await linked(simulator, http, f"cat {number}")
            assert (await http.get(link)).status_code == 200
            if "%2B" in link:
                altered = await http.get(link.replace("%2B", "+"))
                assert altered.status_code == 403
                assert b"AuthenticationFailed" in altered.content


async def test_links_die_after_the_set_time_signed_and_plain() -> None:
    async with serving(SimulatorSettings(latency=0, link_ttl=0)) as (simulator, http):
        signed = await http.get(await linked(simulator, http, "a cat"))
        assert signed.status_code == 403
        assert b"<Code>AuthenticationFailed</Code>" in signed.content
        text = content(await http.post(simulator.url("apiqik") + CHAT, json=turn("a cat")))
        assert (await http.get(links(text)[-1])).status_code == 404


async def test_files_know_head_range_length_and_etag() -> None:
    async with serving() as (simulator, http):
        link = await linked(simulator, http, "a cat")
        got = await http.get(link)
        head = await http.head(link)
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
        assert head.headers["etag"] == got.headers["etag"]
        part = await http.get(link, headers={"Range": "bytes=10-19"})
        assert part.status_code == 206
        assert part.content == got.content[10:20]
        rest = await http.get(link, headers={"Range": "bytes=10-"})
        assert rest.content == got.content[10:]
        assert (await http.get(link, headers={"Range": "bytes=99999999-"})).status_code == 416
        assert (await http.get(link.replace("src_0", "src_9"))).status_code == 404


@pytest.mark.parametrize(
    ("fault", "first", "then"),
    [
        ("file_404_first", 404, 200),
        ("file_503", 503, 200),
        ("file_403", 403, 403),
        ("file_410", 410, 410),
        ("file_expired", 403, 403),
        ("file_html", 200, 200),
        ("not_image", 200, 200),
        ("file_redirect_loop", 302, 302),
        ("file_redirect_private", 302, 302),
        ("file_redirect", 302, 302),
    ],
)
async def test_a_download_may_go_wrong_once_or_always(fault: str, first: int, then: int) -> None:
    async with serving() as (simulator, http):
        link = await linked(simulator, http, f"a cat simulate:{fault}")
        replies = [await http.get(link) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [first, then]
        if then == 200 and fault not in ("file_html", "not_image"):
            assert picture(replies[1].content)
        elif then == 200:
            assert not replies[0].content.startswith(b"\x89PNG")


async def test_a_redirect_leads_to_the_file_and_keeps_its_query() -> None:
    async with serving() as (simulator, http):
        link = await linked(simulator, http, "a cat simulate:file_redirect")
        assert picture((await http.get(link, follow_redirects=True)).content)


async def test_a_truncated_file_is_whole_the_second_time_and_a_slow_one_is_whole() -> None:
    async with serving() as (simulator, http):
        link = await linked(simulator, http, "a cat simulate:file_truncated")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(link)
        assert picture((await http.get(link)).content)
        assert picture((await http.get(await linked(simulator, http, "a cat simulate:file_slow"))).content)


async def test_inline_pictures_may_be_cut_or_none() -> None:
    async with serving() as (simulator, http):
        for fault in ("file_truncated", "not_image"):
            body = {"model": "gpt-image-1", "prompt": f"a cat simulate:{fault}"}
            reply = await http.post(simulator.url("openai") + GENERATIONS, json=body)
            with pytest.raises(OSError, match=r"truncated|cannot identify"):
                picture(base64.b64decode(reply.json()["data"][0]["b64_json"]))


async def test_links_and_tasks_outlive_the_server_on_the_same_port(tmp_path: Path) -> None:
    memory = tmp_path / "memory.jsonl"
    async with serving(memory=memory) as (simulator, http):
        link, task = await linked(simulator, http, "a cat"), await cut_task(simulator, http, "a dog")
        before = (await http.get(link)).content
    with memory.open("a") as file:
        file.write('{"task_id": "torn')
    async with serving(memory=memory) as (again, http):
        assert again.port == simulator.port
        assert (await http.get(link)).content == before
        assert (await http.get(task)).status_code == 200
        assert again.counts.billed == 2
        assert (await http.post(again.url("tu-zi") + CHAT, json=turn("a cow"))).status_code == 200
    async with serving(memory=memory) as (third, http):
        assert third.counts.billed == 3


async def test_another_port_is_taken_when_the_usual_one_is_not_free(tmp_path: Path) -> None:
    memory = tmp_path / "memory.jsonl"
    async with simulate(QUICK, memory=memory) as first, simulate(QUICK, memory=memory) as second:
        assert first.port != second.port


async def test_counted_faults_are_not_repeated_after_a_restart(tmp_path: Path) -> None:
    settings = SimulatorSettings(latency=0, image_side=64, faults={"server_error": Chance(times=1)})
    statuses = []
    for _ in range(4):
        async with serving(settings, memory=tmp_path / "memory.jsonl") as (simulator, http):
            statuses.append((await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat"))).status_code)
    assert statuses == [200, 500, 200, 200]


def test_the_first_record_after_a_torn_line_is_not_lost_with_it(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text('{"post": "/tu-zi", "key": null}\n{"post": "/tu-')
    for count in (2, 3):
        memory = Memory(path)
        assert memory.post("/tu-zi", None) == count
        memory.close()
