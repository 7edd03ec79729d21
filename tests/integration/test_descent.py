"""What a child's request holds: the conversation, the picture, or both, by the provider that gets it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

import batchgen
from batchgen import JobState
from tests.integration.loopback import Answer, Loopback, http

GEN = "gen_01jqwte8yjf7haxqc521b7z2wf"


def picture(shade: int = 0) -> bytes:
    file = BytesIO()
    Image.new("RGB", (30, 20), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def said(text: str, *, stream: bool = False) -> Answer:
    """A chat answer in these words."""
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    if not stream:
        return http(200, json.dumps(whole).encode(), Content_Type="application/json")
    pieces = [text[: len(text) // 2], text[len(text) // 2 :]]
    deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    body = "".join(f"data: {json.dumps(delta)}\n\n" for delta in deltas) + "data: [DONE]\n\n"
    return http(200, body.encode(), Content_Type="text/event-stream")


def log(host: Loopback, gen: str, file: str) -> str:
    """An answer as tu-zi gives it."""
    echo = '```\n\n{\n  "prompt": "x",\n  "ratio": "1:1"\n}\n\n```\n\n'
    return f"{echo}> 生成完成 ✅\n\n> gen_id: `{gen}`\n\n![{gen}]({host.url(file)})"


async def run(folder: Path, host: Loopback, provider: str, jobs: str, extra: str = "") -> batchgen.Result:
    """Run these jobs at one provider that lives at the loopback."""
    section = f"{provider}: {{base_url: '{host.url('/v1')}', limits: {{concurrency: 1}}{extra}}}"
    path = folder / "m.yaml"
    path.write_text(f"provider: {provider}\nproviders:\n  {section}\njobs:\n{jobs}", encoding="utf-8")
    keys = {"TUZI_API_KEY": "sk-x1y2z3", "APIYI_API_KEY": "sk-x1y2z3", "MODELVERSE_API_KEY": "sk-x1y2z3"}
    return await batchgen.run(path, workspace=folder / "w", keys=keys)


def asked(host: Loopback) -> list[Any]:
    """The JSON bodies of the POSTs that came, in order."""
    return [
        json.loads(request.split(b"\r\n\r\n", 1)[1])
        for request in host.requests
        if request.startswith(b"POST") and b"multipart" not in request.split(b"\r\n\r\n", 1)[0]
    ]


def turns(body: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in body["messages"]]


CHAIN = (
    "  - {id: a, prompt: 画个牛马, ratio: '1:1'}\n  - {id: b, prompt: cover its face, after: a}\n"
    "  - {id: c, prompt: now at night, after: b}\n"
)


async def test_tu_zi_gets_the_whole_conversation_word_for_word_and_no_picture(tmp_path: Path) -> None:
    async with Loopback([http(404)]) as host:
        logs = [log(host, f"{GEN}{number}", f"/{number}.png") for number in range(3)]
        host.answers = [
            answer
            for number, text in enumerate(logs)
            for answer in (said(text, stream=True), http(200, picture(number)))
        ]
        result = await run(tmp_path, host, "tu-zi", CHAIN)
        assert result.exit_code == 0
        bodies = asked(host)
    first = [("user", "画个牛马, 1:1")]
    second = [*first, ("assistant", logs[0]), ("user", "cover its face")]
    third = [*second, ("assistant", logs[1]), ("user", "now at night")]
    assert [turns(body) for body in bodies] == [first, second, third]


async def test_a_budget_reckons_with_the_text_of_the_turns_before_where_tokens_are_priced(tmp_path: Path) -> None:
    prices = ", prices: {'*': {per_image: 0.01, tokens: {input: 1000000, output: 1}}}"
    async with Loopback([http(404)]) as host:
        logs = [log(host, f"{GEN}{number}", f"/{number}.png") for number in range(3)]
        host.answers = [
            answer
            for number, text in enumerate(logs)
            for answer in (said(text, stream=True), http(200, picture(number)))
        ]
        await run(tmp_path, host, "tu-zi", CHAIN, prices)
        bodies = asked(host)
    with closing(sqlite3.connect(tmp_path / "w" / "ledger.db")) as db:
        reserved = [most for (most,) in db.execute("SELECT reserved FROM attempts ORDER BY id")]
    # A token costs 1 here, and no text has more tokens than bytes.
    sent = [sum(len(content.encode()) for _, content in turns(body)) for body in bodies]
    assert len(sent) == 3
    assert all(most >= length for most, length in zip(reserved, sent, strict=True))


async def test_an_answer_of_two_pictures_does_not_say_which_so_the_one_meant_is_shown(tmp_path: Path) -> None:
    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: {id: a, image: 1}}\n"
    async with Loopback([http(404)]) as host:
        two = f"{log(host, GEN, '/0.png')}\n\n![gen_02{GEN[6:]}]({host.url('/1.png')})"
        host.answers = [
            *(said(two, stream=True), http(200, picture(1)), http(200, picture(2))),
            *(said(log(host, GEN, "/3.png"), stream=True), http(200, picture(3))),
        ]
        result = await run(tmp_path, host, "tu-zi", jobs)
        saved = {record.id: record async for record in result}
        (_, text, shown) = (message["content"] for message in asked(host)[1]["messages"])
    assert text == two
    path = saved["a"].outputs[1].path
    assert path is not None
    assert shown == [{"type": "text", "text": "y"}, {"type": "image_url", "image_url": {"url": _data(tmp_path, path)}}]


async def test_another_model_is_shown_the_picture(tmp_path: Path) -> None:
    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: a, model: nano-banana}\n"
    async with Loopback([http(404)]) as host:
        answer = said(log(host, GEN, "/0.png"), stream=True)
        host.answers = [answer, http(200, picture(1)), answer, http(200, picture(2))]
        await run(tmp_path, host, "tu-zi", jobs)
        messages = asked(host)[1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[2]["content"][1]["type"] == "image_url"


async def test_apiyi_gets_the_conversation_and_the_picture(tmp_path: Path) -> None:
    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: a}\n"
    async with Loopback([http(404)]) as host:
        text = f"![image]({host.url('/0.png')})"
        host.answers = [said(text), http(200, picture(1)), said(text + " "), http(200, picture(2))]
        await run(tmp_path, host, "apiyi", jobs)
        body = asked(host)[1]
    url = _data(tmp_path, "images/a.png")
    shown = [{"type": "text", "text": "y"}, {"type": "image_url", "image_url": {"url": url}}]
    assert turns(body) == [("user", "x"), ("assistant", text), ("user", shown)]


async def test_an_answer_with_its_picture_inline_is_not_sent_back_with_a_hole_in_it(tmp_path: Path) -> None:
    from base64 import b64encode

    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: a}\n"
    answers = [said(f"![image](data:image/png;base64,{b64encode(picture(shade)).decode()})") for shade in (1, 2)]
    async with Loopback(answers) as host:
        result = await run(tmp_path, host, "apiyi", jobs)
        assert result.exit_code == 0
        body = asked(host)[1]
    ((role, content),) = turns(body)
    assert (role, content[1]["image_url"]["url"]) == ("user", _data(tmp_path, "images/a.png"))


async def test_the_images_door_gets_the_picture_as_the_first_file_of_an_edit(tmp_path: Path) -> None:
    from base64 import b64encode

    (tmp_path / "own.png").write_bytes(picture(99))
    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: a, references: [own.png]}\n"
    found = [
        http(200, json.dumps({"data": [{"b64_json": b64encode(picture(shade)).decode()}]}).encode())
        for shade in (1, 2)
    ]
    async with Loopback(found) as host:
        result = await run(tmp_path, host, "modelverse", jobs)
        assert result.exit_code == 0
        assert [host.target(number) for number in range(2)] == ["/v1/images/generations", "/v1/images/edits"]
        form = host.requests[1]
    mine, own = (tmp_path / "w" / "images" / "a.png").read_bytes(), picture(99)
    assert 0 < form.index(mine) < form.index(own)


async def test_an_image_that_the_parent_does_not_have_fails_the_child_without_a_request(tmp_path: Path) -> None:
    jobs = "  - {id: a, prompt: x}\n  - {id: b, prompt: y, after: {id: a, image: 3}}\n"
    jobs += "  - {id: c, prompt: z, after: b}\n"
    async with Loopback([http(404)]) as host:
        host.answers = [said(log(host, GEN, "/0.png"), stream=True), http(200, picture(1))]
        result = await run(tmp_path, host, "tu-zi", jobs)
        assert len(asked(host)) == 1
    records = {record.id: record async for record in result}
    assert result.exit_code == 1
    assert [records[name].state for name in "abc"] == [JobState.DONE, JobState.FAILED, JobState.CANCELLED]
    lacking, cancelled = records["b"].error, records["c"].error
    assert lacking is not None
    assert cancelled is not None
    assert lacking.message == "its parent 'a' is done, but has no image 3 (they count from 0)"
    assert cancelled.message == f"its parent 'b' failed: {lacking.message}"


async def test_a_cancelled_job_is_told_when_its_parent_ends_and_not_at_the_end_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "provider: tu-zi\nproviders: {tu-zi: {base_url: simulator, simulate: {latency: 0, image_side: 16}}}\n"
        "settings: {concurrency: 1}\njobs:\n  - {id: a, prompt: 'x simulate:refusal'}\n"
        "  - {id: b, prompt: y, after: a}\n  - {id: c, prompt: z}\n"
    )
    seen = [(job.id, job.state) async for job in batchgen.iterate(path, workspace=tmp_path / "w")]
    assert seen == [("a", JobState.REFUSED), ("b", JobState.CANCELLED), ("c", JobState.DONE)]


def _data(folder: Path, path: str) -> str:
    from base64 import b64encode

    return f"data:image/png;base64,{b64encode((folder / 'w' / path).read_bytes()).decode()}"
