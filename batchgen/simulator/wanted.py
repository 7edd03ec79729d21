"""Read what a request asks for, whichever door it came through: JSON or multipart, words or fields.

Pure. What can't be read raises `Unreadable`, whose text goes into a 400.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchgen.model import Json


class Unreadable(Exception):
    """A request that this door does not take; `code` is the provider's machine word."""

    def __init__(
        self, message: str, code: str = "invalid_request", param: str = "", status: int = 400
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request's meaning. `fields` is its JSON body, or its form's plain fields as text."""

    model: str
    prompt: str
    size: tuple[int, int]
    n: int = 1
    stream: bool = False
    references: tuple[bytes | str, ...] = ()
    """pictures as bytes, or the URLs of those that stay where they are"""
    mask: bytes | None = None
    parent: str | None = None
    """the newest gen_id in the conversation before this turn"""
    fields: Mapping[str, Json]

    @property
    def links(self) -> tuple[str, ...]:
        """The references that came as URLs."""
        return tuple(link for link in self.references if isinstance(link, str))

    @property
    def ratio(self) -> str:
        """The nearest of the usual ratios, as the logs echo it."""
        width, height = self.size
        return min(_RATIOS, key=lambda ratio: abs(math.log(ratio[0] / ratio[1] * height / width)))[2]


_UPRIGHT = ((1, 1), (2, 3), (3, 4), (4, 5), (9, 16), (9, 21), (3, 7), (1, 2), (1, 3))
_RATIOS = tuple((w, h, f"{w}:{h}") for w, h in [*_UPRIGHT, *((h, w) for w, h in _UPRIGHT)])

_SIZE = re.compile(r"(?<![0-9])([1-9][0-9]{1,4})\s*[x×*X]\s*([1-9][0-9]{1,4})(?![0-9])")
_RATIO = re.compile(r"(?<![0-9:])([1-9][0-9]?)\s*[:：]\s*([1-9][0-9]?)(?![0-9:])")
_COUNT = re.compile(r"返回\s*([1-9])\s*张")
_GEN = re.compile(r"!\[(gen_[0-9a-z]+)\]")


def from_chat(body: bytes) -> Wanted:
    """What a chat request wants: the last user turn, pictures among its parts, size from the words."""
    fields = _json_object(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        raise Unreadable("field messages is required")
    turns = [message for message in messages if message.get("role") == "user"]
    if not turns:
        raise Unreadable("messages must hold a user turn")
    texts, pictures = _parts(turns[-1].get("content"))
    prompt = "\n".join(texts)
    said = "\n".join(
        text
        for message in messages
        if message.get("role") == "assistant"
        for text in _parts(message.get("content"))[0]
    )
    gens = _GEN.findall(said)
    count = _COUNT.search(prompt)
    return Wanted(
        model=_model(fields),
        prompt=prompt,
        size=_size_of(fields) or size_in_words(prompt) or (1024, 1024),
        n=int(count[1]) if count else 1,
        stream=fields.get("stream") is True,
        references=tuple(_reference(picture) for picture in pictures),
        parent=gens[-1] if gens else None,
        fields=fields,
    )


def _parts(content: Json) -> tuple[list[str], list[str]]:
    """Texts and picture URLs of a message's content: one string, or a list of parts."""
    if isinstance(content, str):
        return [content], []
    texts: list[str] = []
    pictures: list[str] = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                texts.append(str(part["text"]))
            pictures += _urls(part.get("image_url"))
    return texts, pictures


def from_images(body: bytes, media: str) -> Wanted:
    """What an images request (generations or edits, JSON or multipart) wants."""
    files: list[tuple[str, bytes]] = []
    if media.startswith("multipart/form-data"):
        fields, files = _form(body, media)
    else:
        fields = _json_object(body)
    urls = [url for name in ("image", "images", "image[]") for url in _urls(fields.get(name))]
    masks = [data for name, data in files if name == "mask"]
    masks += [data for url in _urls(fields.get("mask")) if isinstance(data := _reference(url), bytes)]
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Unreadable("field prompt is required")
    count = str(fields.get("n") or 1)
    if not re.fullmatch(r"[0-9]{1,3}", count):
        raise Unreadable(f"Invalid value for 'n': {count!r}", "invalid_value", "n")
    return Wanted(
        model=_model(fields),
        prompt=prompt,
        size=_size_of(fields) or size_in_words(prompt) or (1024, 1024),
        n=int(count),
        references=(*(data for name, data in files if name.startswith("image")), *map(_reference, urls)),
        mask=masks[0] if masks else None,
        fields=fields,
    )


def _json_object(body: bytes) -> dict[str, Json]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("invalid character in the JSON body") from None
    if not isinstance(value, dict):
        raise Unreadable("the JSON body must be an object")
    return value


def _model(fields: Mapping[str, Json]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise Unreadable("未指定模型名称，模型名称不能为空")
    return model


def _urls(value: Json) -> list[str]:
    """Picture URLs in every form seen: text, {url}, {image_url}, and lists of these."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return _urls(value.get("url")) or _urls(value.get("image_url"))
    if isinstance(value, Sequence):
        return [url for item in value for url in _urls(item)]
    return []


def _reference(url: str) -> bytes | str:
    if not url.startswith("data:"):
        return url
    from pybase64 import b64decode  # late: only requests with inline pictures need it

    try:
        return b64decode(url.partition(",")[2], validate=True)
    except ValueError:
        raise Unreadable("Invalid base64 image", "invalid_base64_image") from None


def size_in_words(text: str) -> tuple[int, int] | None:
    """The size that a prompt names: `1024x1536`, `16:9`, `【3:2】`; None when it names none."""
    size = _SIZE.search(text)
    if size:
        return int(size[1]), int(size[2])
    # Only the usual ratios: a clock at 10:30 is none.
    usual = {ratio[2] for ratio in _RATIOS}
    ratios = [(int(w), int(h)) for w, h in _RATIO.findall(text) if f"{w}:{h}" in usual]
    return shape(ratios[0][0] / ratios[0][1]) if ratios else None


def shape(ratio: float) -> tuple[int, int]:
    """About a megapixel at this width to height, in multiples of 16; at most 8 to 1."""
    ratio = min(8.0, max(1 / 8, ratio))
    return (round(1024 * ratio**0.5 / 16) * 16, round(1024 / ratio**0.5 / 16) * 16)


def _size_of(fields: Mapping[str, Json]) -> tuple[int, int] | None:
    """The size that the fields name; None when they leave it open (`auto`, `adaptive`, `2K`)."""
    config = fields.get("image_config")
    if isinstance(config, Mapping):
        fields = {**config, **fields}
    for name in ("size", "aspect_ratio", "ratio"):
        value = fields.get(name)
        if isinstance(value, str) and (found := size_in_words(value)):
            return found
    return None


def _form(body: bytes, media: str) -> tuple[dict[str, Json], list[tuple[str, bytes]]]:
    """Split multipart/form-data into plain fields and files, both in the order sent."""
    boundary = re.search(r'boundary="?([^";]+)"?', media)
    if boundary is None:
        raise Unreadable("no multipart boundary param in Content-Type")
    fields: dict[str, Json] = {}
    files: list[tuple[str, bytes]] = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        head, gap, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        if name is None or not gap:
            raise Unreadable("malformed MIME header")
        if b"filename=" in head:
            files.append((name[1].decode("utf-8", "replace"), data))
        else:
            fields[name[1].decode("utf-8", "replace")] = data.decode("utf-8", "replace")
    return fields, files
