"""The library: run a manifest from Python, and go through the results. The command line does no more.

Nothing here reads the environment: pass `keys=os.environ` (or any mapping of variable to secret).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

from batchgen.batch import RunOptions, default_workspace, rehearsal_of, run_batch
from batchgen.errors import UsageError
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter, JobRecord
from batchgen.manifest.load import Manifest, open_manifest
from batchgen.manifest.words import did_you_mean
from batchgen.model import END_STATES, JobState, OnUnknown
from batchgen.providers.twins import Night
from batchgen.shards.division import Shard
from batchgen.sinks import NullSink, Report
from batchgen.stop import StopSignal


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run. `async for job in result` goes through every job of the batch, in manifest order."""

    report: Report
    workspace: Path

    @property
    def exit_code(self) -> int:
        """What `batchgen run` would have exited with: 0 when every job is done."""
        return self.report.exit_code

    async def __aiter__(self) -> AsyncIterator[JobRecord]:
        place = None
        while True:
            # Whoever leaves the loop leaves this generator where it is: nothing may be open at a yield.
            async with Reader.open(self.workspace) as reader:
                place, records = await reader.page(Filter(), place)
            for record in records:
                yield record
            if place is None:
                return


class Options(TypedDict, total=False):
    """How a manifest is run from Python; the names are those of the command line's options.

    Another name is a `TypeError`. `keys` maps environment variable names to secrets. `provider` and
    `model` replace those of every job. `concurrency` is requests at once per provider, `limit` jobs
    sent by this run, both at least 1. `max_cost` is what the batch may cost over all of its runs.
    `shard="2/8"` runs that part of the batch in a workspace of its own, with its part of all limits.
    `rehearse=True` plays it through with simulated providers in a workspace of its own, on an
    "ordinary" `night` or a "bad" one. `download=False` leaves the images where they are, for
    `batchgen fetch`. `stop` lets another task drain or abort the run.
    """

    workspace: str | Path
    provider: str
    model: str
    concurrency: int
    limit: int
    id_glob: str
    on_unknown: OnUnknown
    max_cost: float
    shard: str
    rehearse: bool
    night: str
    download: bool
    keys: Mapping[str, str]
    stop: StopSignal


async def run(manifest: str | Path, **options: Unpack[Options]) -> Result:
    """Run a manifest until every job is at an end state, and return how it went.

    Running again does only what is not finished. Raises `ManifestError` or `UsageError` before
    anything is sent, and `WorkspaceError` when another run holds the workspace or its disk is full.
    """
    opened, chosen = _open(manifest, options)
    report = await run_batch(opened, chosen)
    return Result(report, chosen.workspace)


async def iterate(manifest: str | Path, **options: Unpack[Options]) -> AsyncGenerator[JobRecord, None]:
    """Run a manifest and yield each job when it reaches an end state, as it happens.

    Jobs that were at an end state before this run are not yielded. Leaving the loop early stops
    the run as a second Ctrl-C would: what is in flight is recorded as unknown. Python closes a
    generator that was left only some time later; to have the run stopped and the workspace free
    when the loop is left, wrap it:

        async with contextlib.aclosing(batchgen.iterate("jobs.yaml")) as jobs:
            async for job in jobs: ...

    Raises as `run`, when the first job is asked for.
    """
    opened, chosen = _open(manifest, options)
    ended: asyncio.Queue[str | None] = asyncio.Queue()
    run_task = asyncio.create_task(run_batch(opened, replace(chosen, sink=_EndSink(ended))))
    run_task.add_done_callback(lambda _: ended.put_nowait(None))
    try:
        while (job_id := await ended.get()) is not None:
            async with Reader.open(chosen.workspace) as reader:
                record = await reader.job(job_id)
            if record is not None:
                yield record
    finally:
        if not run_task.done():
            chosen.stop.abort()
        await run_task


def _open(manifest: str | Path, options: Options) -> tuple[Manifest, RunOptions]:
    _check(options)
    path = Path(manifest)
    provider, model = options.get("provider"), options.get("model")
    night = Night(options.get("night", Night.ORDINARY)) if options.get("rehearse") else None
    shard = Shard.parse(options["shard"]) if "shard" in options else None
    opened = open_manifest(path, provider=provider, model=model, night=night, shard=shard)
    workspace = Path(options.get("workspace") or default_workspace(path, shard))
    chosen = RunOptions(
        workspace=workspace if night is None else rehearsal_of(workspace),
        concurrency=options.get("concurrency"),
        limit=options.get("limit"),
        id_glob=options.get("id_glob"),
        on_unknown=options.get("on_unknown"),
        max_cost=options.get("max_cost"),
        download=options.get("download", True),
        keys=options.get("keys", {}),
        stop=options.get("stop") or StopSignal(),
    )
    return opened, chosen


def _check(options: Options) -> None:
    """What a type checker finds, for those who don't use one: to ignore an option could cost money."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"there is no option '{name}'{did_you_mean(name, Options.__annotations__)}")
    for name in ("concurrency", "limit"):
        number = options.get(name)
        if isinstance(number, int) and number < 1:
            raise UsageError(f"{name} must be at least 1, not {number}")
    if not options.get("max_cost", 0.0) >= 0:
        raise UsageError(f"max_cost must be zero or more, not {options['max_cost']}")
    if "night" in options and (options["night"] not in list(Night) or not options.get("rehearse")):
        raise UsageError(f"night is {' or '.join(Night)}, and goes with rehearse=True")


class _EndSink(NullSink):
    """Passes on the ids of the jobs that reach an end state."""

    def __init__(self, ended: asyncio.Queue[str | None]) -> None:
        self._ended = ended

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """A job came to its end."""
        if new in END_STATES:
            self._ended.put_nowait(job_id)
