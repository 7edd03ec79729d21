"""What a chat provider says when a picture is done: logs, markdown, bare links, parts; one style each.

Pure text. The shapes are those of the providers' own documents and of replies seen in public; which
model speaks in which style stands in the tables at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchgen.model import Json
from batchgen.simulator.memory import Generation


@dataclass(frozen=True, slots=True)
class Told:
    """What a style has to tell: the generation, its links (or data URLs), previews, address of its tasks."""

    generation: Generation
    urls: tuple[str, ...]
    previews: tuple[str, ...]
    base: str


@dataclass(frozen=True, slots=True)
class Said:
    """A reply in pieces; the first goes out with the headers, those from `finish` on hold the pictures."""

    pieces: tuple[str, ...]
    finish: int = 0
    images: tuple[str, ...] = ()
    """URLs that go into `message.images` instead of the text"""
    as_parts: tuple[str, ...] = ()
    """URLs that follow the text as parts of a list of contents"""


@dataclass(frozen=True, slots=True)
class Style:
    """How a model answers: its words, where its pictures lie (`data`: inline), how many it makes."""

    say: Callable[[Told], Said]
    hosts: tuple[str, ...]
    count: int = 1


def _echo(generation: Generation, indent: int, fence: str) -> str:
    echo: dict[str, Json] = {"prompt": generation.prompt, "ratio": generation.ratio}
    if generation.parent is not None:
        echo["gen_id"] = generation.parent
    if len(generation.files) > 1:
        echo["n"] = len(generation.files)
    return f"{fence}\n{json.dumps(echo, ensure_ascii=False, indent=indent)}\n```\n\n"


def _views(told: Told) -> str:
    files = told.generation.files
    return "\n\n".join(f"![{file.gen_id}]({url})" for file, url in zip(files, told.urls, strict=True))


def _downloads(told: Told) -> str:
    return "\n\n\n\n".join(f"[点击下载]({url.replace('/cdn/', '/cdn/download/')})" for url in told.urls)


def plain_log(told: Told) -> Said:
    """As tu-zi documents it: echo, ID line, per cents, gen_id line, markdown picture."""
    generation = told.generation
    head = _echo(generation, 2, "```") + f"\n\n> ID: `{generation.task_id}`\n"
    ticks = (
        "> 排队中.\n",
        "> 生成中",
        ".",
        ".\n",
        "> 进度 14%.\n",
        "> 进度 44%.\n",
        "> 进度 74%.\n",
        "> 进度 83%\n",
    )
    done = f"> 生成完成 ✅\n\n> gen_id: `{generation.files[0].gen_id}`\n\n"
    return Said((head, *ticks, done, _views(told)), finish=len(ticks) + 1)


def _linked_head(told: Told) -> str:
    task = told.generation.task_id
    return (
        _echo(told.generation, 1, "```json")
        + f"> ID: `{task}`\n>[数据预览]({told.base}/web/{task}) | [原始数据]({told.base}/source/{task})\n\n"
    )


def linked_log(told: Told) -> Said:
    """As apiqik documents it: task links, numbers without per cent, a signed preview, download links only."""
    ticks = (">🕐 排队中\n\n", ">⚡ 生成中", ".......", "\n\n>🏃 进度 48", "..")
    done = f"[100]({told.previews[0]})\n\n> ✅ 生成完成\n\n\n\n\n"
    return Said((_linked_head(told), *ticks, done, _downloads(told)), finish=len(ticks) + 1)


def viewed_log(told: Told) -> Said:
    """The same log with a view and a download link of each picture, as sora_image answers."""
    ticks = (">🕐 排队中.\n\n", ">⚡ 生成中.....\n\n", ">🏃 进度 31..", "72..")
    done = f"[100]({told.previews[0]})\n\n> ✅ 生成完成\n\n\n"
    return Said(
        (_linked_head(told), *ticks, done, _views(told) + "\n\n", _downloads(told)), finish=len(ticks) + 1
    )


def bold_log(told: Told) -> Said:
    """gpt-4o-image: a bare JSON echo, bold per cents, views and downloads; no task id at all."""
    echo = json.dumps({"prompt": told.generation.prompt, "n": len(told.urls)}, ensure_ascii=False, indent=2)
    ticks = ("> 进度 **2%**\n\n\n", "> 进度 **34%**\n\n\n", "> 进度 **67%**\n\n\n\n")
    return Said((echo + "\n\n", *ticks, _views(told) + "\n", _downloads(told)), finish=len(ticks) + 1)


def captioned(told: Told) -> Said:
    """dall-e-3 on chat: echo with size, the picture, a numbered download link, a closing sentence."""
    width, height = told.generation.files[0].picture.size
    echo = json.dumps({"prompt": told.generation.prompt, "size": f"{width}x{height}"}, ensure_ascii=False)
    links = "".join(f"![image{index}]({url})" for index, url in enumerate(told.urls, 1))
    downloads = "\t".join(
        f"[下载{index}]({url.replace('/cdn/', '/cdn/download/')})" for index, url in enumerate(told.urls, 1)
    )
    return Said(
        (f"{echo}\n\n", f"{links}\n\n{downloads}\n\n", "Here is the picture you asked for."), finish=1
    )


def markdown(told: Told) -> Said:
    """One markdown picture a line and nothing else: apiyi, and most channels behind generic gateways."""
    return Said(("\n".join(f"![image]({url})" for url in told.urls),))


def bare(told: Told) -> Said:
    """A sentence with the bare link, ended by a Chinese full stop."""
    return Said(("图片已生成：", *(f"{url}。" for url in told.urls)), finish=1)


def in_images(told: Told) -> Said:
    """OpenRouter's way: empty content, the pictures in `message.images`."""
    return Said(("",), images=told.urls)


def in_parts(told: Told) -> Said:
    """A list of parts, text first."""
    return Said(("Done.",), as_parts=told.urls)


STYLES: Mapping[str, Style] = {
    "tu-zi": Style(plain_log, ("videos", "cdn")),
    "apiqik": Style(linked_log, ("cdn",), count=2),
    "apiyi": Style(markdown, ("r2", "data")),
    "gpt-image-1": Style(plain_log, ("videos",)),
    "gpt-4o-image": Style(bold_log, ("cdn",), count=2),
    "sora_image": Style(viewed_log, ("cdn",)),
    "flux-kontext-pro": Style(markdown, ("bfl",)),
    "flux": Style(bare, ("bfl",)),
    "nano-banana": Style(markdown, ("data",)),
    "dall-e-3": Style(captioned, ("cdn-webp",)),
    "recraftv3": Style(bare, ("recraft",)),
    "qwen-image": Style(markdown, ("oss",)),
    "nano-banana-hd": Style(in_images, ("data",)),
    "doubao-seedream-4-0-250828": Style(markdown, ("tos",)),
    "doubao-seededit-3-0-i2i-250628": Style(in_parts, ("tos",)),
    "doubao-seedream-3-0-t2i-250415": Style(markdown, ("tos",)),
}
"""Two kinds of keys: dialects that have one style, and the models of the generic chat endpoint."""


def style_of(dialect: str, model: str) -> Style:
    """The style in which `model` answers at `dialect`; `simulator` goes by the model alone."""
    if dialect in STYLES:
        return STYLES[dialect]
    if model in STYLES:
        return STYLES[model]
    if dialect == "simulator":
        gpt_image = {"gpt-image-1.5": "apiqik", "gpt-image-2": "apiyi"}
        return STYLES[next((style for name, style in gpt_image.items() if model.startswith(name)), "tu-zi")]
    return STYLES[next((name for name in STYLES if model.startswith(name)), "apiyi")]


def refused_log(prompt: str, task_id: str, at_output: bool) -> str:
    """A log that ends in moderation, with the echo that must not be mistaken for the verdict."""
    echo = json.dumps({"prompt": prompt, "ratio": "1:1", "n": 1}, ensure_ascii=False, indent=2)
    running = (
        f"> ID: `{task_id}`\n>🕐 排队中.\n\n>⚡ 生成中.....\n\n>🏃 进度 31..78..\n\n"
        if at_output
        else ">🕐 排队中.\n\n"
    )
    verdict = json.dumps(
        {
            "type": "terminal",
            "results_by_frame_index": {},
            "code": "other",
            "is_output_rejection": at_output,
            "task_id": task_id,
        }
    )
    reason = "output_moderation" if at_output else "input_moderation"
    return (
        f"```json\n{echo}\n```\n\n{running}> 生成失败 ❌\n> 失败原因：{reason}\n\n\n```json\n{verdict}\n```"
    )


def task_links(told: Told) -> str:
    """What an `-async` model says at once: where to look for the task."""
    task = told.generation.task_id
    return f"[preview]({told.base}/web/{task})\n[source]({told.base}/source/{task})"
