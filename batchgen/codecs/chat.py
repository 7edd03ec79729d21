"""The chat door: a request for POST /chat/completions, and how its answers are read.

There is no size field here, so size and ratio are words in the prompt (providers/shape.py). `n` is
never sent: these gateways take a count in words, if at all. Google's native answers are read too.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping

from batchgen.codecs.base import Ask, Call
from batchgen.codecs.harvest import Harvest
from batchgen.errors import BadReference
from batchgen.model import Endpoint, Json, Picture
from batchgen.providers.profile import Profile
from batchgen.providers.shape import shape

_TEXT_PARTS = frozenset({"text", "output_text", "input_text"})


def encode(ask: Ask, profile: Profile) -> Call:
    """The turns so far, then one user message with the references as image parts.

    Raises BadReference for a mask.
    """
    if ask.mask is not None:
        raise BadReference("the chat endpoint takes no mask; endpoint: images does")
    form = shape(ask.job, profile.rule(ask.job.model), Endpoint.CHAT)
    content: Json = form.prompt
    if ask.references:
        pictures: list[Json] = [
            {"type": "image_url", "image_url": {"url": picture_url(picture)}} for picture in ask.references
        ]
        content = [{"type": "text", "text": form.prompt}, *pictures]
    messages: list[Json] = []
    for turn in ask.turns:
        messages += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": turn.answer}]
    body: dict[str, Json] = {
        "model": ask.job.model,
        "stream": profile.stream,
        "messages": [*messages, {"role": "user", "content": content}],
        **form.fields,
        **ask.job.params,
    }
    return Call(
        method="POST",
        url=f"{profile.base_url.rstrip('/')}/chat/completions",
        headers={"Accept": "text/event-stream" if body["stream"] is True else "application/json"},
        body=json.dumps(body, ensure_ascii=False).encode(),
        content_type="application/json",
    )


def picture_url(picture: Picture) -> str:
    """A picture as the chat door takes it: its URL untouched, or its bytes as a data URL."""
    if picture.url is not None:
        return picture.url
    if not picture.data:
        raise BadReference(f"{picture.name} is empty")
    return f"data:{picture.mime};base64,{b64encode(picture.data).decode()}"


def read_choices(value: Mapping[str, Json], harvest: Harvest) -> str:
    """Take the `choices` of a whole answer or of one chunk; returns the new text of the first choice."""
    harvest.known = True
    choices = value.get("choices")
    fresh = ""
    for position, choice in enumerate(choices if isinstance(choices, list) else []):
        if not isinstance(choice, Mapping):
            continue
        index = choice.get("index")
        index = index if isinstance(index, int) else position
        text = ""
        for name in ("message", "delta"):
            if isinstance(message := choice.get(name), Mapping):
                text += _read_message(message, index, harvest)
        if isinstance(plain := choice.get("text"), str):
            text += harvest.say(plain, index)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            harvest.finish = reason
            harvest.ended = True
        if choice.get("error"):
            harvest.error = choice["error"]
        fresh += text if index == 0 else ""
    return fresh


def _read_message(message: Mapping[str, Json], index: int, harvest: Harvest) -> str:
    text = ""
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            text += harvest.say(part, index)
        elif isinstance(part, Mapping):
            text += _read_part(part, index, harvest)
    # OpenRouter puts images beside the content, in whole answers and in deltas.
    harvest.show_any(message.get("images"))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        harvest.refusals.append(refusal)
    return text


def _read_part(part: Mapping[str, Json], index: int, harvest: Harvest) -> str:
    inline = part.get("inlineData") or part.get("inline_data")
    if isinstance(inline, Mapping):
        harvest.show(None, inline.get("data"))
        return ""
    if isinstance(link := part.get("fileData") or part.get("file_data"), Mapping):
        harvest.show(link.get("fileUri") or link.get("file_uri"))
        return ""
    kind, text = part.get("type"), part.get("text")
    if part.get("thought") is True:
        return ""
    if isinstance(text, str) and (kind is None or kind in _TEXT_PARTS):
        return harvest.say(text, index)
    if isinstance(refusal := part.get("refusal"), str):
        harvest.refusals.append(refusal)
    elif kind is None or "image" in str(kind):
        harvest.show_any(part)
    return ""


def read_candidates(value: Mapping[str, Json], harvest: Harvest) -> str:
    """Take Google's native `candidates` and `promptFeedback`; `parts` may be null. Returns new text."""
    harvest.known = True
    candidates = value.get("candidates")
    fresh = ""
    for position, candidate in enumerate(candidates if isinstance(candidates, list) else []):
        if not isinstance(candidate, Mapping):
            continue
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, Mapping) else None
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, Mapping):
                text = _read_part(part, position, harvest)
                fresh += text if position == 0 else ""
        if isinstance(reason := candidate.get("finishReason") or candidate.get("finish_reason"), str):
            harvest.finish = reason
            harvest.ended = True
    feedback = value.get("promptFeedback") or value.get("prompt_feedback")
    if isinstance(feedback, Mapping) and (reason := feedback.get("blockReason") or feedback.get("block_reason")):
        harvest.refusals.append(f"prompt blocked: {reason}")
    return fresh
