"""The images door: requests for /images/generations and /images/edits, and how their answers are read.

Only what the job gave is sent. Edits are multipart, the one form that every gateway reads: one file
as `image`, several as `image[]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from batchgen.codecs.base import Ask, Call, Part
from batchgen.codecs.harvest import Harvest
from batchgen.errors import BadReference
from batchgen.model import Endpoint, Json, Picture
from batchgen.providers.profile import ModelRule, Profile
from batchgen.providers.shape import FIELDS, shape

_ANY = ModelRule(pattern="*")


def encode(ask: Ask, profile: Profile) -> Call:
    """A JSON generation, or a multipart edit when there are references or a mask.

    Raises BadReference for a reference that is only a link: a form holds bytes.
    """
    rule = profile.rule(ask.job.model) or _ANY
    mask = ask.mask if "mask" in rule.accepts else None
    fields = _fields(ask, rule)
    base = profile.base_url.rstrip("/")
    headers = {"Accept": "application/json"}
    if not ask.references and mask is None:
        body = json.dumps(fields, ensure_ascii=False).encode()
        return Call(
            method="POST",
            url=f"{base}/images/generations",
            headers=headers,
            body=body,
            content_type="application/json",
        )
    parts = [Part(name, _form_text(value)) for name, value in fields.items()]
    name = "image" if len(ask.references) == 1 else "image[]"
    parts += [_file(name, picture) for picture in ask.references]
    if mask is not None:
        parts.append(_file("mask", mask))
    return Call(method="POST", url=f"{base}/images/edits", headers=headers, parts=tuple(parts))


def _fields(ask: Ask, rule: ModelRule) -> dict[str, Json]:
    job = ask.job
    form = shape(job, rule, Endpoint.IMAGES)
    # The official default model is an old one, and gateways differ about `n`: both are always said.
    fields: dict[str, Json] = {"model": job.model, "prompt": form.prompt, "n": ask.count}
    if form.size is not None:
        fields["size"] = form.size
    for name in FIELDS:
        value: Json = getattr(job, name)
        if value is not None and name in rule.accepts:
            fields[name] = value
    if rule.response_format is not None:
        fields["response_format"] = rule.response_format
    return {**fields, **form.fields, **job.params}


def _form_text(value: Json) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def _file(name: str, picture: Picture) -> Part:
    if picture.data is None:
        raise BadReference(f"{picture.name} is a link, and the edits endpoint takes bytes: give a file or a data URL")
    if not picture.data:
        raise BadReference(f"{picture.name} is empty")
    return Part(name, picture.data, filename=picture.name, mime=picture.mime)


def read_data(items: list[Json], harvest: Harvest) -> str:
    """Take the items of `data[]`: link, base64, both (the link wins), a text, or an error of its own."""
    harvest.known = True
    fresh = ""
    for number, item in enumerate(items):
        if isinstance(item, str):
            harvest.show(item, item=number)
        elif isinstance(item, Mapping):
            if isinstance(text := item.get("text"), str) and text:
                fresh += harvest.say(f"{text}\n")
            if item.get("error"):
                harvest.item_error = item["error"]
            link, inline = item.get("url") or item.get("image_url"), item.get("b64_json") or item.get("base64")
            harvest.show(link, inline, item=number)
    return fresh


def read_event(kind: str, value: Mapping[str, Json], harvest: Harvest) -> None:
    """Take one streamed event (`image_generation.completed` and its kind); a partial image is no image."""
    harvest.known = True
    if kind.endswith("partial_image"):
        return
    if kind.endswith(("partial_failed", ".failed")):
        harvest.item_error = value.get("error") or value.get("message") or kind
        return
    harvest.show(value.get("url"), value.get("b64_json"))
    if kind.endswith(".completed"):
        harvest.ended = True
