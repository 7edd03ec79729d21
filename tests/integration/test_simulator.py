"""What each dialect of the simulated provider answers, over a real socket."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from batchgen.simulator.serve import simulate
from batchgen.simulator.settings import SimulatorSettings
from tests.integration.simulated import (
    CHAT,
    EDITS,
    GENERATIONS,
    QUICK,
    client,
    content,
    links,
    picture,
    serving,
    streamed,
    turn,
)


async def test_tu_zi_streams_a_log_whose_second_fact_is_the_task_id() -> None:
    async with serving() as (simulator, http):
        reply = await http.post(simulator.url("tu-zi") + CHAT, json=turn("画个牛马", stream=True))
        assert reply.headers["content-type"] == "text/event-stream"
        text = streamed(reply.text)
        echo = '```\n{\n  "prompt": "画个牛马",\n  "ratio": "1:1"\n}\n```\n\n\n\n'
        assert re.match(re.escape(echo) + r"> ID: `task_[0-9a-z]{26}`\n", text)
        assert re.search(
            r"> 进度 14%\.\n.*> 生成完成 ✅\n\n> gen_id: `(gen_\w{26})`\n\n!\[\1\]\(http", text, re.S
        )
        assert reply.text.endswith("data: [DONE]\n\n")
        assert picture((await http.get(links(text)[0])).content).size == (64, 64)


async def test_the_task_id_leaves_with_the_headers_long_before_the_picture() -> None:
    async with (
        serving(SimulatorSettings(latency=3600)) as (simulator, http),
        http.stream("POST", simulator.url("tu-zi") + CHAT, json=turn("a cat", stream=True)) as reply,
    ):
        async for text in reply.aiter_text():
            assert "> ID: `task_" in text
            break


async def test_tu_zi_answers_in_one_json_when_no_stream_is_asked_for() -> None:
    async with serving() as (simulator, http):
        reply = await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat 16:9"))
        assert reply.json()["choices"][0]["finish_reason"] == "stop"
        assert '"ratio": "16:9"' in content(reply)
        assert picture((await http.get(links(content(reply))[0])).content).size == (64, 36)


async def test_tu_zi_alternates_between_signed_and_plain_links() -> None:
    async with serving() as (simulator, http):
        found = [
            links(content(await http.post(simulator.url("tu-zi") + CHAT, json=turn(f"cat {n}"))))[-1]
            for n in range(12)
        ]
        signed = [link for link in found if "/vg-assets/assets%2Ftask_" in link and "&sig=" in link]
        assert 0 < len(signed) < 12
        assert all(re.search(r"/cdn/\d{8}/\w{30}\.png$", link) for link in found if link not in signed)


async def test_a_second_turn_echoes_its_parent_and_grows_from_it() -> None:
    async with serving() as (simulator, http):
        first = content(await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cow")))
        parent = re.findall(r"!\[(gen_\w+)\]", first)[0]
        messages = [
            {"role": "user", "content": "a cow"},
            {"role": "assistant", "content": first},
            {"role": "user", "content": "with a hat"},
        ]
        second = content(
            await http.post(
                simulator.url("tu-zi") + CHAT, json={"model": "gpt-image-1-vip", "messages": messages}
            )
        )
        assert f'"gen_id": "{parent}"' in second
        pictures = [picture((await http.get(links(text)[-1])).content) for text in (first, second)]
        corners = [image.convert("RGB").getpixel((0, 0)) for image in pictures]
        assert corners[0] == corners[1]
        assert pictures[0].tobytes() != pictures[1].tobytes()


async def test_every_edit_of_a_line_leaves_its_ring_after_a_restart_too(tmp_path: Path) -> None:
    messages = []
    texts = []
    for prompt in ("a cow", "with a hat", "at night"):
        async with serving(memory=tmp_path / "memory.jsonl") as (simulator, http):
            messages.append({"role": "user", "content": prompt})
            body = {"model": "gpt-image-1-vip", "messages": messages}
            texts.append(content(await http.post(simulator.url("tu-zi") + CHAT, json=body)))
            messages.append({"role": "assistant", "content": texts[-1]})
    async with serving(memory=tmp_path / "memory.jsonl") as (simulator, http):
        cow, hat, night = [
            picture((await http.get(links(text)[-1])).content).convert("RGB") for text in texts
        ]

    def ring(edited: Image.Image, before: Image.Image) -> set[tuple[int, int]]:
        changed = ImageChops.difference(edited, before).convert("L")
        width, height = changed.size
        # The panel with the words is at the foot.
        return {(x, y) for x in range(width) for y in range(height // 2) if changed.getpixel((x, y))}

    first, second = ring(hat, cow), ring(night, hat)
    assert second
    assert len(first - second) > len(first) / 2


async def test_apiyi_chat_never_streams_and_gives_markdown_urls_and_data_urls() -> None:
    async with serving() as (simulator, http):
        texts = []
        for number in range(12):
            reply = await http.post(
                simulator.url("apiyi") + CHAT, json=turn(f"cat {number}", "gpt-image-2-vip", stream=True)
            )
            assert reply.headers["content-type"].startswith("application/json")
            texts.append(content(reply))
        inline = [text for text in texts if text.startswith("![image](data:image/png;base64,")]
        assert 0 < len(inline) < 12
        assert picture(base64.b64decode(inline[0].partition(",")[2][:-1])).format == "PNG"
        link = next(links(text)[0] for text in texts if text not in inline)
        assert "/r2/gpt-image-2/" in link
        assert "X-Amz-Expires=86400" in link
        assert (await http.get(link)).headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("asked", "delivered"),
    [
        ("1920x1080", (1920, 1088)),
        ("512x512", (816, 816)),
        ("1360x2048", (1360, 2048)),
        ("1280x544", (1280, 544)),
    ],
)
async def test_apiyi_moves_sizes_off_its_table_and_makes_one_png(
    asked: str, delivered: tuple[int, int]
) -> None:
    async with serving(SimulatorSettings(latency=0, image_side=0)) as (simulator, http):
        body = {"model": "gpt-image-2-vip", "prompt": "a cat", "size": asked, "n": 3, "output_format": "jpeg"}
        reply = await http.post(simulator.url("apiyi") + GENERATIONS, json={**body, "response_format": "url"})
        (item,) = reply.json()["data"]
        image = picture((await http.get(item["url"])).content)
        assert (image.format, image.size) == ("PNG", delivered)


async def test_apiyi_base64_comes_with_and_without_a_data_prefix() -> None:
    async with serving() as (simulator, http):
        texts = []
        for prompt in ("a", "ab", "abc"):
            body = {"model": "gpt-image-2-vip", "prompt": prompt, "response_format": "b64_json"}
            reply = await http.post(simulator.url("apiyi") + GENERATIONS, json=body)
            texts.append(reply.json()["data"][0]["b64_json"])
        assert [text.startswith("data:image/png;base64,") for text in texts] == [False, False, True]


async def test_apiyi_refuses_an_unknown_quality_with_429() -> None:
    async with serving() as (simulator, http):
        body = {"model": "gpt-image-2-vip", "prompt": "a cat", "quality": "max"}
        reply = await http.post(simulator.url("apiyi") + GENERATIONS, json=body)
        assert reply.status_code == 429
        assert "quality must be one of" in reply.json()["error"]["message"]
        assert reply.json()["error"]["type"] == "shell_api_error"


async def test_apiqik_gives_two_download_links_task_links_and_a_signed_preview() -> None:
    async with serving() as (simulator, http):
        text = content(
            await http.post(simulator.url("apiqik") + CHAT, json=turn("图中形象在喝牛奶", "gpt-image-1.5"))
        )
        assert '"n": 2' in text
        task = re.findall(r"> ID: `(task_\w+)`", text)[0]
        root = simulator.url("apiqik").removesuffix("/v1")
        assert f"[数据预览]({root}/web/{task}) | [原始数据]({root}/source/{task})" in text
        preview = re.findall(r">🏃 进度 48\.\.\[100\]\((\S+)\)", text)[0]
        assert picture((await http.get(preview)).content).format == "WEBP"
        downloads = re.findall(r"\[点击下载\]\((\S+)\)", text)
        assert len(downloads) == 2
        for link in downloads:
            reply = await http.get(link)
            assert reply.headers["content-disposition"].startswith("attachment")
            assert picture(reply.content).format == "PNG"


async def test_modelverse_honours_count_and_format_and_puts_the_request_id_into_param() -> None:
    async with serving() as (simulator, http):
        body: dict[str, Any] = {"model": "gpt-image-1", "prompt": "a flower", "size": "1536x1024"}
        body |= {"quality": "high", "output_format": "jpeg", "output_compression": 40, "n": 2}
        reply = await http.post(simulator.url("modelverse") + GENERATIONS, json=body)
        items = reply.json()["data"]
        assert len(items) == 2
        image = picture(base64.b64decode(items[0]["b64_json"]))
        assert (image.format, image.size) == ("JPEG", (64, 43))
        assert items[0] != items[1]
        bad = await http.post(simulator.url("modelverse") + GENERATIONS, json={**body, "n": 5})
        assert bad.status_code == 400
        assert bad.json()["error"]["param"] == bad.headers["x-request-id"]


async def test_openai_is_always_inline_and_knows_no_response_format() -> None:
    async with serving() as (simulator, http):
        body = {
            "model": "gpt-image-1",
            "prompt": "a cat",
            "background": "transparent",
            "output_format": "webp",
        }
        reply = await http.post(simulator.url("openai") + GENERATIONS, json=body)
        assert reply.headers["x-request-id"]
        assert reply.headers["x-ratelimit-limit-requests"]
        answer = reply.json()
        assert answer["usage"]["output_tokens_details"]["image_tokens"] == 4160
        image = picture(base64.b64decode(answer["data"][0]["b64_json"]))
        assert (image.format, image.mode) == ("WEBP", "RGBA")
        bad = await http.post(simulator.url("openai") + GENERATIONS, json={**body, "response_format": "url"})
        assert bad.status_code == 400
        assert bad.json()["error"]["code"] == "unknown_parameter"


async def test_an_edit_keeps_the_reference_outside_the_mask() -> None:
    green, hole = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (90, 90), (0, 200, 0)).save(green, "PNG")
    mask = Image.new("RGBA", (90, 90), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (45, 0, 90, 90))
    mask.save(hole, "PNG")
    async with serving() as (simulator, http):
        reply = await http.post(
            simulator.url("openai") + EDITS,
            data={"model": "gpt-image-1", "prompt": "a beach ball", "n": "1"},
            files={"image": ("a.png", green.getvalue()), "mask": ("m.png", hole.getvalue())},
        )
        image = picture(base64.b64decode(reply.json()["data"][0]["b64_json"])).convert("RGB")
        left, right = image.getpixel((2, 60)), image.getpixel((61, 60))
        assert isinstance(left, tuple)
        assert isinstance(right, tuple)
        assert abs(left[1] - 200) < 12
        assert max(left[0], left[2]) < 12
        assert max(abs(one - other) for one, other in zip(left, right, strict=True)) > 40


async def test_a_reference_that_is_no_image_is_refused() -> None:
    async with serving() as (simulator, http):
        reply = await http.post(
            simulator.url("openai") + EDITS,
            data={"model": "m", "prompt": "p"},
            files={"image": ("a.png", b"text")},
        )
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "invalid_image_file"


GENERIC = {
    "gpt-image-1": "> 生成完成 ✅",
    "gpt-4o-image": "> 进度 **67%**",
    "sora_image": "[点击下载](http",
    "flux-kontext-pro": "/results/",
    "flux": "图片已生成：http",
    "nano-banana": "![image](data:image/png;base64,",
    "dall-e-3": "[下载1](http",
    "recraftv3": ".webp。",
    "qwen-image": "OSSAccessKeyId=",
    "doubao-seedream-4-0-250828": "X-Tos-Expires=86400",
    "doubao-seedream-3-0-t2i-250415": "X-Tos-Expires=86400",
}


@pytest.mark.parametrize(("model", "mark"), GENERIC.items())
async def test_each_model_of_the_generic_chat_endpoint_has_its_style(model: str, mark: str) -> None:
    async with serving() as (simulator, http):
        text = content(await http.post(simulator.url("openai-chat") + CHAT, json=turn("a cat", model)))
        assert mark in text
        for link in re.findall(r"http[^\s)。]+", text):
            assert (await http.get(link)).status_code == 200


async def test_generic_models_also_answer_with_images_beside_the_text_and_with_parts() -> None:
    async with serving() as (simulator, http):
        url = simulator.url("openai-chat") + CHAT
        message = (await http.post(url, json=turn("a cat", "nano-banana-hd"))).json()["choices"][0]["message"]
        assert message["content"] == ""
        assert message["images"][0]["image_url"]["url"].startswith("data:image/png;base64,")
        parts = content(await http.post(url, json=turn("a cat", "doubao-seededit-3-0-i2i-250628")))
        assert [part["type"] for part in parts] == ["text", "image_url"]


async def test_without_a_dialect_the_model_decides_who_answers() -> None:
    async with serving() as (simulator, http):
        url = f"http://127.0.0.1:{simulator.port}/v1{CHAT}"
        assert "> 进度 14%" in content(await http.post(url, json=turn("a cat")))
        assert "点击下载" in content(await http.post(url, json=turn("a cat", "gpt-image-1.5")))
        assert content(await http.post(url, json=turn("a cat", "gpt-image-2-vip"))).startswith("![image](")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("", 401), ("Bearer", 401), ("Bearer sk-bad1", 401), ("sk-bare", 200), ("Bearer k", 200)],
)
async def test_a_key_is_wanted_and_a_bad_one_refused(authorization: str, status: int) -> None:
    async with simulate(QUICK) as simulator, client(Authorization=authorization) as http:
        assert (await http.post(simulator.url("tu-zi") + CHAT, json=turn("a cat"))).status_code == status


async def test_pictures_are_the_same_for_the_same_request_and_differ_by_prompt_and_position() -> None:
    async with serving() as (simulator, http):

        async def made(prompt: str) -> list[str]:
            body = {"model": "gpt-image-1", "prompt": prompt, "n": 2}
            reply = await http.post(simulator.url("openai") + GENERATIONS, json=body)
            return [item["b64_json"] for item in reply.json()["data"]]

        first, again, other = await made("a cat"), await made("a cat"), await made("a dog")
        assert first == again
        assert len({*first, *other}) == 4
