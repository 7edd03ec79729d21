"""Turn what is said into wire shapes: chat completions (JSON or stream), image lists, errors.

Pure. The time and ids are arguments; who asks for what is decided in provider.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchgen.model import Json
from batchgen.simulator.chat import Said
from batchgen.simulator.exchange import Headers, Piece, Reply, as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a reply is to be shaped. Times are seconds; `now` since the epoch."""

    request_id: str
    model: str
    now: float
    latency: float
    stream: bool = False
    headers: Headers = ()
    crumbs: bool = False
    """pieces of text that end inside links, ids and characters"""


def completion(said: Said, manner: Manner) -> Reply:
    """A chat answer, in one JSON text or as a stream whose first event leaves with the headers."""
    text = "".join(said.pieces)
    usage: Json = {
        "prompt_tokens": 100,
        "completion_tokens": len(text) // 2,
        "total_tokens": 100 + len(text) // 2,
    }
    if manner.stream:
        return _stream(said, manner, usage)
    content: Json = text
    if said.as_parts:
        content = [{"type": "text", "text": text}, *_image_parts(said.as_parts)]
    message: dict[str, Json] = {"role": "assistant", "content": content}
    if said.images:
        message["images"] = _image_parts(said.images)
    body = {
        "id": f"chatcmpl-{manner.request_id}",
        "object": "chat.completion",
        "created": int(manner.now),
        "model": manner.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    return as_json(body, headers=manner.headers, wait=manner.latency)


def _image_parts(urls: Sequence[str]) -> list[Json]:
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def _stream(said: Said, manner: Manner, usage: Json) -> Reply:
    head, *rest = said.pieces
    deltas: list[Mapping[str, Json]] = [{"content": text} for text in rest]
    if said.images or said.as_parts:
        # A stream has no list of contents, so such pictures come beside the text.
        deltas.append({"images": _image_parts(said.images or said.as_parts)})
    pause = manner.latency / max(1, len(deltas))
    opening = _event(manner, {"role": "assistant", "content": ""}) + _event(manner, {"content": head})
    if manner.crumbs:
        opening = _crumbled(manner, {"role": "assistant", "content": head})
    pieces = [Piece(opening)]
    for delta in deltas:
        pieces.append(Piece(_crumbled(manner, delta) if manner.crumbs else _event(manner, delta), pause))
    pieces.append(Piece(_event(manner, {}, "stop"), 0.0 if deltas else manner.latency))
    pieces.append(Piece(_line({**_chunk(manner), "choices": [], "usage": usage})))
    pieces.append(Piece(b"data: [DONE]\n\n"))
    return _event_stream(pieces, manner)


def _crumbled(manner: Manner, delta: Mapping[str, Json]) -> bytes:
    """The same delta as many, none with more than three characters of text."""
    text = delta.get("content")
    if not isinstance(text, str):
        return _event(manner, delta)
    texts = [text[at : at + 3] for at in range(0, len(text), 3)] or [""]
    return b"".join(_event(manner, {**delta, "content": crumb}) for crumb in texts)


def _chunk(manner: Manner) -> dict[str, Json]:
    return {
        "id": f"chatcmpl-{manner.request_id}",
        "object": "chat.completion.chunk",
        "created": int(manner.now),
        "model": manner.model,
    }


def _event(manner: Manner, delta: Mapping[str, Json], reason: str | None = None) -> bytes:
    return _line({**_chunk(manner), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _line(value: Json) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _event_stream(pieces: Sequence[Piece], manner: Manner) -> Reply:
    headers = (("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no"), *manner.headers)
    return Reply(status=200, headers=headers, pieces=tuple(pieces))


def error_in_200(error: Json, manner: Manner) -> Reply:
    """An error object under status 200: as the only event of a stream, or as the whole JSON."""
    if not manner.stream:
        return as_json(error, headers=manner.headers, wait=manner.latency)
    return _event_stream([Piece(_line(error), manner.latency)], manner)


def image_list(items: Sequence[Mapping[str, Json]], about: Mapping[str, Json], manner: Manner) -> Reply:
    """An images answer: `items` are {url} or {b64_json}, `about` what else this provider reports."""
    body = {"created": int(manner.now), **about, "data": list(items)}
    return as_json(body, headers=manner.headers, wait=manner.latency)


_TOKENS = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
"""output tokens of an image: square, upright, wide (OpenAI's guide to image generation)"""


def image_tokens(quality: str, size: tuple[int, int]) -> int:
    """The output tokens of one image; an unknown quality counts as high, as drawn when none is asked for."""
    square, upright, wide = _TOKENS.get(quality, _TOKENS["high"])
    width, height = size
    return square if width == height else upright if width < height else wide


def image_usage(tokens: int, *, detailed: bool) -> Json:
    """The usage object of the images door for so many output tokens; gateways leave the image tokens out."""
    details: dict[str, Json] = {"text_tokens": 9}
    usage: dict[str, Json] = {
        "total_tokens": 9 + tokens,
        "input_tokens": 9,
        "output_tokens": tokens,
    }
    if detailed:
        details["image_tokens"] = 0
        usage["output_tokens_details"] = {"image_tokens": tokens, "text_tokens": 0}
    return {**usage, "input_tokens_details": details}
