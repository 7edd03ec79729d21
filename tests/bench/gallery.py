"""Fills a workspace with a batch that ran all night: `python -m tests.bench.gallery WORKSPACE JOBS`.

For what only shows at a size that takes too long to run. The facts go through the ledger's own calls; the
pictures are those of the simulator, a few dozen of them under as many names as there are jobs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from random import Random

from batchgen.errors import BadRequest, JobError, RateLimited, Refused
from batchgen.events import Generated, RemoteImage, Saved
from batchgen.ledger.records import PendingJob
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, Job, JobState, Outcome
from batchgen.simulator.painting import paint
from batchgen.simulator.picture import Picture

BEGAN = 1_763_000_000.0
"""Epoch seconds: 2025-11-13T02:13:20Z."""
NIGHT = 7.5 * 3600.0
AT_ONCE = 1000

MODELS = (("tu-zi", "gpt-image-1-vip"), ("apiyi", "gpt-image-2-vip"), ("openai-chat", "nano-banana"))
SIZES = {"1:1": (1024, 1024), "3:2": (1248, 832), "2:3": (832, 1248), "16:9": (1360, 768)}
_SUBJECTS = ("A red fox", "An old lighthouse", "A yellow tram", "A paper city", "A heron", "A tea house", "A whale")
_PLACES = ("in fresh snow", "by the sea at dusk", "in the fog", "under lanterns", "on a quiet lake", "above clouds")
_STYLES = ("film photograph", "woodcut in two colours", "loose watercolour", "cutaway illustration", "ink wash")
_REFUSED, _FAILED, _RETRIED = 0.008, 0.004, 0.02
"""Shares of the jobs."""


def entries(jobs: int) -> Iterator[Entry]:
    """Prompts times models times ratios, as a matrix makes them."""
    sets = cycle(product(_STYLES, _PLACES, _SUBJECTS, MODELS, SIZES))
    for number, (style, place, subject, (provider, model), ratio) in zip(range(jobs), sets, strict=False):
        name = f"{subject.split()[-1].lower()}-{number:06}"
        prompt = f"{subject} {place}, {style}, take {number:,} of the series, long shadows and a clear horizon"
        job = Job(id=name, prompt=prompt, provider=(provider,), model=model, ratio=ratio, meta={"style": style})
        yield Entry(name, prompt, job, fingerprint=name, place="night.yaml:1")


def fill(workspace: Path, jobs: int, side: int = 0) -> None:
    """Make the ledger and `images/`; every job is at an end afterwards. `side` caps the pictures."""
    (workspace / "images").mkdir(parents=True)
    asyncio.run(_fill(workspace, jobs, {ratio: _drawn(workspace, ratio, side) for ratio in SIZES}))


async def _fill(workspace: Path, jobs: int, drawn: dict[str, list[Path]]) -> None:
    dice = Random(jobs)
    async with Ledger.open(workspace, now=lambda: BEGAN) as ledger:
        await ledger.sync(entries(jobs))
        for turn, (provider, _) in enumerate(MODELS):
            at, step = BEGAN + turn, NIGHT * len(MODELS) / jobs
            while some := await ledger.pending(provider, BEGAN + NIGHT * 2, AT_ONCE, exclude=()):
                answers = [
                    _answer(ledger, job, at + step * number, dice.random(), dice.uniform(18, 70))
                    for number, job in enumerate(some)
                ]
                at += step * len(some)
                await asyncio.gather(*answers)
                await _save(ledger, workspace, drawn)


async def _answer(ledger: Ledger, pending: PendingJob, begun: float, chance: float, took: float) -> None:
    job, provider = pending.job, pending.job.provider[0]
    attempt = await ledger.begin_attempt(pending.key, provider, at=begun, idempotency_key=f"{job.id}-1")
    if chance < _REFUSED + _FAILED:
        error: JobError = Refused("Your request was rejected by the safety system.", code="moderation_blocked")
        end, state = Outcome.REFUSED, JobState.REFUSED
        if chance > _REFUSED:
            error, end, state = BadRequest("size 4096x4096 is not supported"), Outcome.FAILED, JobState.FAILED
        await ledger.settle(attempt, end, error, begun + 2, state=state, not_before=None, counted=True)
        return
    if chance > 1 - _RETRIED:
        limited = RateLimited("Rate limit reached for requests, try again in 20s.", code="rate_limit_exceeded")
        waiting, due = JobState.PENDING, begun + 21
        await ledger.settle(attempt, Outcome.FAILED, limited, begun + 1, state=waiting, not_before=due, counted=True)
        attempt = await ledger.begin_attempt(pending.key, provider, at=due, idempotency_key=f"{job.id}-2")
        begun = due
    await ledger.task_seen(attempt, f"task_{pending.key:026}")
    image = RemoteImage(url=f"https://files.example.com/{pending.key}.png")
    await ledger.generated(attempt, Generated(images=(image,)), at=begun + took, cost=0.03)


async def _save(ledger: Ledger, workspace: Path, drawn: dict[str, list[Path]]) -> None:
    saves = []
    for due in await ledger.due_outputs(BEGAN + NIGHT * 2, AT_ONCE, exclude=()):
        ratio = due.job.ratio or "1:1"
        source, path = drawn[ratio][due.key % len(drawn[ratio])], f"images/{due.job.id}.png"
        os.link(source, workspace / path)
        width, height = SIZES[ratio]
        # Each counts as a file of its own, so that each gets a small copy of its own.
        saved = Saved(
            path=path, sha256=f"{due.key:064x}", bytes=source.stat().st_size, width=width, height=height, format="png"
        )
        saves.append(ledger.saved(due.output_id, saved, due.delivered_at + 2))
    await asyncio.gather(*saves)


def _drawn(workspace: Path, ratio: str, side: int) -> list[Path]:
    """Nine pictures of that ratio; a file system allows some 60,000 names for each."""
    places = []
    for number, entry in enumerate(entries(9)):
        place = workspace / "images" / f".{ratio.replace(':', 'x')}-{number}.png"
        picture = Picture(prompt=entry.job.prompt, model=f"model {number}", size=SIZES[ratio], side=side)
        place.write_bytes(paint(picture))
        places.append(place)
    return places


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
