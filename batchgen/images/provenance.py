"""Where an image comes from, told in the file itself or in a JSON file beside it.

What is told is the same at every try, so that a run that died between file and ledger makes the same
bytes again. Links are told by their host alone: a query is a signature. Everything here blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from batchgen.errors import BadImage
from batchgen.events import Saved
from batchgen.images.embed import NotEmbedded, embedded
from batchgen.images.inspect import ImageFacts, inspect
from batchgen.ledger.records import DueOutput
from batchgen.model import Json
from batchgen.storage.base import Store
from batchgen.storage.local import TOLD, Aside, remove

SIDECAR: Final = ".json"
"""Added to the whole name of the image."""

_NOT_THE_FILES: Final = ("came", "look", "warnings", "store")
_EMBEDDED: Final = ("prompt", "model", "provider", "job", "position", "task_id", "gen_id", "request_id")


def about(output: DueOutput, made_at: str) -> dict[str, Json]:
    """All that is told of an image; `made_at` in ISO 8601. What nobody knows is left out."""
    job = output.job
    told: dict[str, Json] = {
        "job": job.id,
        "position": output.position,
        "prompt": job.prompt,
        "model": job.model,
        "provider": output.provider,
        "task_id": output.task_id,
        "gen_id": output.gen_id,
        "request_id": output.request_id,
        "host": urlsplit(output.urls[0]).hostname if output.urls else None,
        "made_at": made_at,
    }
    for name in ("ratio", "size", "quality", "output_format", "output_compression", "background", "params", "meta"):
        told[name] = getattr(job, name) or None
    return {name: value for name, value in told.items() if value is not None}


def embed(path: Path, facts: ImageFacts, told: Mapping[str, Json]) -> tuple[Path, str]:
    """A synced copy of the image with its provenance in it, and the copy's SHA-256. Raises `NotEmbedded`."""
    words = {name: str(told[name]) for name in _EMBEDDED if name in told}
    data = embedded(path.read_bytes(), facts.format, words)
    copy = path.with_name(path.name + TOLD)
    remove(copy)
    with Aside(copy) as file:
        file.write([data])
        file.sync()
        sha256 = file.sha256
    try:
        # Our own writing is not trusted with an image that was paid for.
        if inspect(copy) != facts:
            raise BadImage("another picture")
    except BadImage as error:
        remove(copy)
        raise NotEmbedded(f"the file would be damaged by it ({error.message})") from error
    return copy, sha256


def write_sidecar(store: Store, saved: Saved, told: Mapping[str, Json]) -> None:
    """Write `<image>.json` whole. One that tells of the same bytes stays: two jobs may share a file."""
    path = f"{saved.path}{SIDECAR}"
    if described(store, path) == saved.sha256:
        return
    file_facts = {name: value for name, value in asdict(saved).items() if name not in _NOT_THE_FILES}
    text = json.dumps({**told, **file_facts}, ensure_ascii=False, indent=2)
    store.write(path, f"{text}\n".encode())


def described(store: Store, sidecar: str) -> str | None:
    """The SHA-256 that a sidecar tells of; None when there is none, or it can't be read."""
    try:
        file = store.open(sidecar)
        if file is None:
            return None
        with file:
            told = json.loads(file.read())
    except (OSError, ValueError):
        return None
    sha256 = told.get("sha256") if isinstance(told, dict) else None
    return sha256 if isinstance(sha256, str) else None
