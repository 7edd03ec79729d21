"""A simulated provider with a client, and short words for what the tests ask of it and read from it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
from PIL import Image

from batchgen.simulator.serve import Simulator, simulate
from batchgen.simulator.settings import SimulatorSettings

QUICK = SimulatorSettings(latency=0.0, image_side=64)
CHAT = "/chat/completions"
GENERATIONS = "/images/generations"
EDITS = "/images/edits"


@asynccontextmanager
async def client(**headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        trust_env=False, timeout=10, headers={"Authorization": "Bearer sk-test", **headers}
    ) as opened:
        yield opened


@asynccontextmanager
async def serving(
    settings: SimulatorSettings = QUICK, **kwargs: Any
) -> AsyncIterator[tuple[Simulator, httpx.AsyncClient]]:
    async with simulate(settings, **kwargs) as simulator, client() as http:
        yield simulator, http


def turn(prompt: str, model: str = "gpt-image-1-vip", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}


def content(reply: httpx.Response) -> Any:
    return reply.json()["choices"][0]["message"]["content"]


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def streamed(text: str) -> str:
    return "".join(
        choice["delta"].get("content", "") for event in events(text) for choice in event.get("choices", ())
    )


def links(text: str) -> list[str]:
    return re.findall(r"\]\((http[^)]+)\)", text)


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


async def cut_task(simulator: Simulator, http: httpx.AsyncClient, prompt: str) -> str:
    reply = await http.post(simulator.url("tu-zi") + CHAT, json=turn(prompt + " simulate:async_only"))
    found = re.findall(r"/source/(\S+?)\)", content(reply))
    assert found
    return simulator.url("tu-zi").removesuffix("/v1") + f"/source/{found[0]}"


async def linked(simulator: Simulator, http: httpx.AsyncClient, prompt: str) -> str:
    """A link of the kind asked for: `signed` (Azure) or plain, by trying prompts."""
    text = content(await http.post(simulator.url("openai-chat") + CHAT, json=turn(prompt, "gpt-image-1")))
    return links(text)[0]
