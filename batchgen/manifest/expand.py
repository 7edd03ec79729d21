"""From checked rows to jobs: defaults, content fingerprints and derived ids. Pure.

Ids and fingerprints depend on the content alone, never on the order of the file, except for the
count that tells identical rows apart.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import TypeVar

from batchgen.manifest.schema import JobRow
from batchgen.model import Job, Json

_SLUG = re.compile(r"[^a-z0-9]+")
_SENT = ("ratio", "size", "quality", "output_format", "output_compression", "background")
_COMPACT = (",", ":")
_T = TypeVar("_T")


def join_job(row: JobRow, defaults: JobRow, provider: tuple[str, ...]) -> Job:
    """One job from its row, the `defaults` and the manifest's own `provider`, the nearer one winning.

    `meta` and `params` are joined key by key; a `model` by provider is in `models`. A key written as
    null takes back its default. What is not known yet is empty: `id`, `prompt` and `model` may be "", `provider` ().
    """
    written = row.model_fields_set

    def pick(key: str, own: _T, default: _T) -> _T:
        return own if key in written else default

    model = pick("model", row.model, defaults.model)
    parent = pick("after", row.after, defaults.after)
    return Job(
        id=pick("id", row.id, defaults.id) or "",
        prompt=pick("prompt", row.prompt, defaults.prompt) or "",
        provider=pick("provider", row.provider, defaults.provider) or provider,
        model=model if isinstance(model, str) else "",
        models=model if isinstance(model, dict) else {},
        ratio=pick("ratio", row.ratio, defaults.ratio),
        size=pick("size", row.size, defaults.size),
        quality=pick("quality", row.quality, defaults.quality),
        output_format=pick("output_format", row.output_format, defaults.output_format),
        output_compression=pick("output_compression", row.output_compression, defaults.output_compression),
        background=pick("background", row.background, defaults.background),
        n=pick("n", row.n, defaults.n) or 1,
        references=pick("references", row.references, defaults.references),
        mask=pick("mask", row.mask, defaults.mask),
        after=parent.id if parent else None,
        after_image=parent.image if parent else 0,
        meta={**(defaults.meta or {}), **(row.meta or {})},
        params={**(defaults.params or {}), **(row.params or {})},
    )


@dataclass(frozen=True, slots=True)
class Content:
    """What is sent of a job, spelt out around the prompt: jobs that differ in prompt and parent alone share it."""

    before: str
    after: str

    def fingerprint(self, prompt: str, parent: str | None = None) -> str:
        """32 hex characters that change exactly when something that is sent changes. `parent`: the job's `after`."""
        return self._hash(prompt, parent)[:32]

    def derived_id(self, prompt: str, parent: str | None = None) -> str:
        """A readable id: up to 32 letters of the prompt and 12 hex characters.

        Twelve, because a matrix makes a million jobs whose prompts begin alike.
        """
        plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
        slug = _SLUG.sub("-", plain).strip("-")[:32].rstrip("-") or "job"
        return f"{slug}-{self._hash(prompt, parent)[:12]}"

    def _hash(self, prompt: str, parent: str | None) -> str:
        # Escaped ASCII: one spelling for one content.
        text = f'{self.before}"prompt":{encode_basestring_ascii(prompt)}{self.after}'
        if parent is not None:
            text += encode_basestring_ascii(parent)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def sent(job: Job, simulated: bool, digests: Mapping[str, str]) -> Content:
    """What a fingerprint is made of. Neither `meta` nor the provider's name is sent.

    `digests` gives the content of local pictures by path, so that a moved folder changes nothing
    and a redrawn picture does. A simulated result never stands for a real one.
    """
    return _around_prompt({**_content(job, digests), "simulated": simulated})


def asked(job: Job, digests: Mapping[str, str]) -> Content:
    """What a derived id is made of: the request, and whom it goes to first.

    Those that may take over from the first leave it alone: who adds one has nothing made anew.
    """
    return _around_prompt({**_content(job, digests), "provider": list(job.provider[:1])})


def descended(content: str, parent: str) -> str:
    """The fingerprint of a job that edits another's image: its own, and with it that of the other."""
    return hashlib.sha256(f"{content} after {parent}".encode()).hexdigest()[:32]


def numbered(base: str, count: int) -> str:
    """The id of the `count`th identical row, from 1: `cat-1a2b3c4d5e6f`, `cat-1a2b3c4d5e6f-2`, …"""
    return base if count == 1 else f"{base}-{count}"


def _content(job: Job, digests: Mapping[str, str]) -> dict[str, Json]:
    content: dict[str, Json] = {"model": job.model, "n": job.n}
    for key in _SENT:
        value: Json = getattr(job, key)
        if value is not None:
            content[key] = value
    if job.after_image:
        content["after_image"] = job.after_image
    if job.references:
        content["references"] = _contents(job.references, digests)
    if job.mask:
        content["mask"] = _contents((job.mask,), digests)
    if job.params:
        content["params"] = job.params
    return content


def _contents(references: Sequence[str], digests: Mapping[str, str]) -> list[Json]:
    return [digests.get(reference, reference) for reference in references]


def _around_prompt(content: dict[str, Json]) -> Content:
    # Sorted keys, the prompt among them: some are always before it.
    before = json.dumps({key: content[key] for key in content if key < "prompt"}, sort_keys=True, separators=_COMPACT)
    after = json.dumps({key: content[key] for key in content if key > "prompt"}, sort_keys=True, separators=_COMPACT)
    return Content(before[:-1] + ",", "}" if after == "{}" else "," + after[1:])
