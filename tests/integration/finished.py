"""A workspace as a run leaves it: a real ledger and real, small pictures, without any provider."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from batchgen.errors import JobError
from batchgen.events import Generated, RemoteImage, Saved
from batchgen.images.inspect import extension
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, Job, JobState, Json, Outcome

NOW = 1_763_000_000.0
"""2025-11-13T02:13:20Z, when the first job starts; each job takes a minute."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """One job and what became of it: pictures, or an error and the state it left."""

    id: str
    prompt: str = "a cat"
    model: str = "m"
    provider: str = "tu-zi"
    ratio: str | None = "1:1"
    colours: Sequence[str] = ("red",)
    format: str = "png"
    size: tuple[int, int] = (8, 8)
    path: str | None = None
    cost: float | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    params: Mapping[str, Json] = field(default_factory=dict)
    error: JobError | None = None
    state: JobState = JobState.DONE


def picture(colour: str, format: str, size: tuple[int, int]) -> bytes:
    """A file of one colour."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, format.upper())
    return data.getvalue()


def finished(workspace: Path, *jobs: Made) -> Path:
    """Make the workspace; returns it."""
    workspace.mkdir(parents=True, exist_ok=True)
    asyncio.run(_make(workspace, jobs))
    return workspace


async def _make(workspace: Path, jobs: Sequence[Made]) -> None:
    entries = [Entry(made.id, made.prompt, _job(made), made.prompt, f"a.yaml:{made.id}") for made in jobs]
    async with Ledger.open(workspace, now=lambda: NOW) as ledger:
        await ledger.sync(entries)
        for number, made in enumerate(jobs):
            if made.state is not JobState.PENDING:
                await _carry(ledger, workspace, made, NOW + 60 * number)


def _job(made: Made) -> Job:
    return Job(
        id=made.id,
        prompt=made.prompt,
        provider=(made.provider,),
        model=made.model,
        ratio=made.ratio,
        n=len(made.colours),
        meta=made.meta,
        params=made.params,
    )


async def _carry(ledger: Ledger, workspace: Path, made: Made, begun: float) -> None:
    (job,) = [one for one in await ledger.pending(made.provider, begun, 10_000, exclude=()) if one.job.id == made.id]
    attempt = await ledger.begin_attempt(job.key, made.provider, begun, f"key-{made.id}")
    await ledger.task_seen(attempt, f"task_{made.id}")
    if made.error is not None:
        outcome = Outcome.REFUSED if made.error.refused else Outcome.FAILED
        await ledger.settle(
            attempt, outcome, made.error, begun + 30, state=made.state, not_before=None, counted=True
        )
        return
    links = tuple(RemoteImage(url=f"https://a.example/{made.id}/{n}") for n in range(len(made.colours)))
    await ledger.generated(attempt, Generated(images=links), begun + 30, made.cost)
    due = [one for one in await ledger.due_outputs(begun + 31, 10_000, exclude=()) if one.job.id == made.id]
    for output, colour in zip(due, made.colours, strict=True):
        data = picture(colour, made.format, made.size)
        mark = f"~{output.position}" if output.position else ""
        path = f"images/{made.path or made.id}{mark}.{extension(made.format)}"
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_bytes(data)
        saved = Saved(
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            width=made.size[0],
            height=made.size[1],
            format=made.format,
        )
        await ledger.saved(output.output_id, saved, begun + 40)
