"""Small builders for the ledger's tests: entries, answers, files, and a job carried to a state."""

from __future__ import annotations

from batchgen.errors import BadRequest, Interrupted, JobError, LinkDead, Refused
from batchgen.events import Generated, RemoteImage, Saved
from batchgen.ledger.records import DueOutput, PendingJob
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, Job, JobState, Outcome, OutputState

NOW = 1_000_000.0
PROVIDER = "tu-zi"


def clock() -> float:
    """The only time there is in these tests."""
    return NOW


def entry(
    name: str, wording: str = "a cat", *, n: int = 1, after: str | None = None, provider: str = PROVIDER
) -> Entry:
    """A manifest entry whose fingerprint is its wording and count."""
    job = Job(id=name, prompt=wording, provider=(provider,), model="m", n=n, after=after)
    return Entry(job.id, job.prompt, job, fingerprint=f"{wording}/{n}", place=f"a.yaml:{name}")


def entries(*names: str) -> list[Entry]:
    """Plain entries with these ids."""
    return [entry(name) for name in names]


def delivered(count: int = 1, *, expires_at: float | None = None, host: str = "a") -> Generated:
    """An answer with links."""
    images = (RemoteImage(url=f"https://{host}.example/{i}.png", expires_at=expires_at) for i in range(count))
    return Generated(images=tuple(images))


def file(name: str) -> Saved:
    """A saved file of that name."""
    return Saved(path=f"images/{name}.png", sha256="00" * 32, bytes=10, width=4, height=4, format="png")


async def claim(ledger: Ledger, limit: int = 100) -> list[PendingJob]:
    """What may be sent now."""
    return await ledger.pending(PROVIDER, NOW, limit, exclude=())


async def start(ledger: Ledger, name: str) -> int:
    """Open an attempt of a pending job; return its id."""
    (job,) = [one for one in await claim(ledger) if one.job.id == name]
    return await ledger.begin_attempt(job.key, PROVIDER, NOW, f"key-{name}")


async def generate(ledger: Ledger, name: str, count: int = 1, cost: float | None = None) -> JobState:
    """One attempt that brings images."""
    return await ledger.generated(await start(ledger, name), delivered(count), NOW, cost)


async def due(ledger: Ledger, name: str) -> list[DueOutput]:
    """The outputs of a job that may be fetched now."""
    return [one for one in await ledger.due_outputs(NOW, 100, exclude=()) if one.job.id == name]


async def finish(ledger: Ledger, name: str, count: int = 1) -> None:
    """Carry a pending job to `done`."""
    await generate(ledger, name, count)
    for output in await due(ledger, name):
        await ledger.saved(output.output_id, file(f"{name}-{output.round}-{output.position}"), NOW)


async def end(ledger: Ledger, name: str, state: JobState, not_before: float | None = None) -> None:
    """Carry a pending job through one attempt without images into `state`."""
    if state is JobState.EXPIRED:
        await generate(ledger, name)
        for output in await due(ledger, name):
            await ledger.output_failed(
                output.output_id, LinkDead("gone"), NOW, state=OutputState.EXPIRED, not_before=None
            )
        return
    outcome, error = _ENDS[state]
    attempt = await start(ledger, name)
    await ledger.settle(attempt, outcome, error, NOW, state=state, not_before=not_before, counted=True)


_ENDS: dict[JobState, tuple[Outcome, JobError]] = {
    JobState.PENDING: (Outcome.FAILED, BadRequest("no", code="x")),
    JobState.FAILED: (Outcome.FAILED, BadRequest("no", code="x")),
    JobState.REFUSED: (Outcome.REFUSED, Refused("policy", code="moderation")),
    JobState.HELD: (Outcome.UNKNOWN, Interrupted("cut")),
}


async def states(ledger: Ledger) -> dict[JobState, int]:
    """The tally, without the zeroes."""
    return {state: count for state, count in (await ledger.status()).jobs.items() if count}
