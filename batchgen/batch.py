"""One invocation over one workspace: what `batchgen run`, `batchgen fetch` and the library call.

Syncs the manifest into the ledger, runs the runner, and says how it ended. Reads no environment and
prints nothing: keys, sink and stop signal come in as options.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from batchgen.assembly import Around, assembled
from batchgen.budget import prepare
from batchgen.clock import Steady
from batchgen.engines.ray import Cluster
from batchgen.errors import UsageError, WorkspaceError
from batchgen.images.fetch import clean_leftovers
from batchgen.images.references import forget
from batchgen.intake import ReadingStopped, accept, claim_shard, take_in
from batchgen.lanes.context import Context, Scope
from batchgen.later import Later
from batchgen.ledger.records import Status
from batchgen.ledger.rows import STORE_DOWN
from batchgen.ledger.store import Ledger
from batchgen.ledger.sync import Review
from batchgen.manifest.load import Manifest
from batchgen.model import JobState, OnUnknown, OutputRules, OutputState, Settings
from batchgen.providers.keys import keys_of, missing_key, needs_key
from batchgen.providers.prices import currency
from batchgen.providers.profile import Profile
from batchgen.providers.stored import dump_profiles, load_profiles
from batchgen.runner import Runner
from batchgen.shards.division import Shard, folder_name
from batchgen.sinks import NullSink, Report, Sink
from batchgen.stock import clean_delivered, missing_objects, require_store
from batchgen.stop import INTERRUPTED, StopSignal

log = logging.getLogger(__name__)

_CONTRADICTION = (
    "the ledger contradicts itself; the images are safe, but keep a copy of the workspace and report this: "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run. `keys` maps names of environment variables to their secrets; only those that the
    manifest's profiles name are looked at. `begins` and `ends` are epoch seconds: nothing is sent
    before the one and after the other. What is None leaves the manifest's own setting."""

    workspace: Path
    concurrency: int | None = None
    limit: int | None = None
    id_glob: str | None = None
    begins: float | None = None
    ends: float | None = None
    on_unknown: OnUnknown | None = None
    max_cost: float | None = None
    download: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    sink: Sink = field(default_factory=NullSink)
    stop: StopSignal = field(default_factory=StopSignal)
    now: Callable[[], float] = field(default_factory=Steady)
    cluster: Cluster | None = None
    """Where the work is done; None: in this process."""
    review: Review = accept
    """Told what the manifest changes and what there is to send, before anything is kept or sent, in another
    thread; what it raises ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch: downloads at once, and who watches."""

    concurrency: int | None = None
    sink: Sink = field(default_factory=NullSink)
    stop: StopSignal = field(default_factory=StopSignal)
    now: Callable[[], float] = field(default_factory=Steady)


def default_workspace(manifest: Path, shard: Shard | None = None) -> Path:
    """`out/demo` below the current folder for `jobs/demo.yaml`, or `out/demo.shard-2-of-8`."""
    return Path("out") / folder_name(manifest.stem, shard)


def rehearsal_of(workspace: Path) -> Path:
    """The workspace of a rehearsal, beside the real one: `out/demo.rehearsal`."""
    place = workspace if workspace.name not in ("", "..") else workspace.resolve()
    return place.with_name(f"{place.name}.rehearsal")


async def run_batch(manifest: Manifest, options: RunOptions) -> Report:
    """Send what is not finished and download it.

    Raises ManifestError and UsageError before anything is sent, and WorkspaceError when the
    workspace can't be used or, at the end, when the ledger contradicts itself.
    """
    began = time.monotonic()
    await require_store(manifest.output.store)
    async with Ledger.open(options.workspace, now=options.now) as ledger:
        await claim_shard(ledger, manifest, options.workspace)
        try:
            await take_in(ledger, manifest, options.workspace, options.review, options.stop)
        except ReadingStopped:
            return await _stopped_reading(ledger, options.stop)
        return await _run_jobs(ledger, manifest, options, began)


async def _run_jobs(ledger: Ledger, manifest: Manifest, options: RunOptions, began: float) -> Report:
    settings, profiles = _settings(manifest, options), manifest.profiles
    keys = await _keys(ledger, profiles, options.keys)
    budget = await prepare(ledger, profiles, settings)
    await ledger.note("manifest", manifest.path.name)
    await ledger.note("manifest_path", str(manifest.path.absolute()))
    await ledger.note("rehearsal", manifest.night or "")
    await ledger.note("profiles", dump_profiles(profiles))
    await ledger.note("settings", json.dumps(dataclasses.asdict(settings)))
    await ledger.note("output", json.dumps(dataclasses.asdict(manifest.output)))
    run = await ledger.begin_run(options.now(), os.getpid(), _describe(options))
    log.info("run %d of %s begins: %s", run, manifest.path.name, _describe(options))
    scope = Scope(limit=options.limit, id_glob=options.id_glob, begins=options.begins, ends=options.ends)
    around = Around(
        sink=options.sink,
        stop=options.stop,
        now=options.now,
        scope=scope,
        rules=manifest.output,
        budget=budget,
        cluster=options.cluster,
    )
    try:
        async with assembled(ledger, options.workspace, profiles, settings, keys=keys, around=around) as context:
            runner = Runner(context, simulated=context.simulated, download=options.download)
            reason = await _run(runner, context, options.workspace)
    except UsageError as error:  # the cluster can't be used: nothing was sent
        await ledger.end_run(run, options.now(), error.exit_code, str(error))
        raise
    status = await ledger.status()
    code = run_exit_code(status, download=options.download, stop=options.stop)
    reason = _with_waiting(reason or _scope_reason(options, status), await ledger.reader.waiting_children(), options)
    await ledger.end_run(run, options.now(), code, reason)
    if complaints := await ledger.check():
        raise WorkspaceError(_CONTRADICTION + "; ".join(complaints))
    await _last_copy(context)
    return _report(context, code, reason, status, time.monotonic() - began)


async def _stopped_reading(ledger: Ledger, stop: StopSignal) -> Report:
    code = INTERRUPTED if stop.interrupted else 3
    reason = stop.reason or "the manifest was still being read, nothing was sent"
    return Report(exit_code=code, reason=reason, status=await ledger.status(), run_seconds=0.0, requests=0, images=0)


async def fetch_batch(workspace: Path, options: FetchOptions) -> Report:
    """Only download what is generated and not on disk; never sends a generation request."""
    began = time.monotonic()
    async with Ledger.open(workspace, now=options.now) as ledger:
        profiles = load_profiles(await ledger.get_note("profiles"))
        settings = Settings(**json.loads(await ledger.get_note("settings") or "{}"))
        rules = OutputRules(**json.loads(await ledger.get_note("output") or "{}"))
        await require_store(rules.store)
        run = await ledger.begin_run(options.now(), os.getpid(), json.dumps({"fetch": True}))
        around = Around(sink=options.sink, stop=options.stop, now=options.now, rules=rules)
        async with assembled(ledger, workspace, profiles, settings, keys={}, around=around) as context:
            at_once = options.concurrency
            runner = Runner(context, simulated=frozenset(), submit=False, downloads_at_once=at_once)
            reason = await _run(runner, context, workspace)
        status = await ledger.status()
        code = fetch_exit_code(status, stop=options.stop)
        await ledger.end_run(run, options.now(), code, reason)
        await _last_copy(context)
    return _report(context, code, reason, status, time.monotonic() - began)


async def fetch_until_done(
    workspace: Path, options: FetchOptions, pause: Callable[[Report], Awaitable[None]] | None
) -> Report:
    """Fetch, and again after each `pause`, until nothing is outstanding or the stop signal drains.

    `pause` None: only once. Raises as `fetch_batch`.
    """
    report = await fetch_batch(workspace, options)
    while pause is not None and report.status.outputs.get(OutputState.REMOTE, 0) and not options.stop.draining:
        await pause(report)
        if not options.stop.draining:
            report = await fetch_batch(workspace, options)
    return report


async def _run(runner: Runner, context: Context, workspace: Path) -> str | None:
    clean_leftovers(workspace)
    forget(workspace)
    reader = context.ledger.reader
    await clean_delivered(reader, workspace)
    for output_id in (*await reader.missing_files(), *await missing_objects(reader, context.rules.store)):
        context.gone += not await context.ledger.lost(output_id)
    await context.ledger.note(STORE_DOWN, "")  # what an earlier run said: this one has tried the store
    status = await context.ledger.status()
    context.sink.started(sum(status.jobs.values()), status)
    try:
        if context.backups is None:
            return await runner.run()
        async with anyio.create_task_group() as group:
            group.start_soon(Later, context.backups.keep)
            reason = await runner.run()
            group.cancel_scope.cancel()
        return reason
    finally:
        forget(workspace)


async def _last_copy(context: Context) -> None:
    """The ledger as the run left it; who aborts does not wait for it."""
    if context.backups is not None and not context.stop.aborting:
        await context.backups.look()


def _report(context: Context, code: int, reason: str | None, status: Status, seconds: float) -> Report:
    report = Report(
        exit_code=code,
        reason=reason if code not in (0, 1) else None,
        status=status,
        run_seconds=seconds,
        requests=context.requests,
        images=context.images,
        cost=currency(context.budget.paid),
        store=context.rules.store,
        remarks=(*context.routing.told(), *_complaints(context)),
    )
    context.sink.finished(report)
    return report


def _complaints(context: Context) -> Iterator[str]:
    if context.gone:
        where = context.workspace
        yield (
            f"saved images that are gone, and that no link brings back: {context.gone}; batchgen verify {where} names "
            f"them, batchgen retry {where} --state done --id JOB makes those of a job anew (paid)"
        )
    if context.backups is not None and context.backups.complaint:
        yield context.backups.complaint


def run_exit_code(status: Status, *, download: bool, stop: StopSignal) -> int:
    """The exit code of `run`, from how the jobs stand at its end."""
    left = status.jobs.get(JobState.PENDING, 0) + status.jobs.get(JobState.RUNNING, 0)
    if download:
        left += status.jobs.get(JobState.GENERATED, 0)
    if stop.fatal:
        return WorkspaceError.exit_code
    if left or stop.aborting:
        return INTERRUPTED if stop.interrupted else 3
    fine = (JobState.DONE, JobState.GENERATED)
    return 0 if all(state in fine for state, count in status.jobs.items() if count) else 1


def fetch_exit_code(status: Status, *, stop: StopSignal) -> int:
    """The exit code of `fetch`: 0 when nothing is outstanding and no link has died."""
    if stop.fatal:
        return WorkspaceError.exit_code
    if status.outputs.get(OutputState.REMOTE, 0):
        return INTERRUPTED if stop.interrupted else 3
    lost = status.outputs.get(OutputState.EXPIRED, 0) + status.outputs.get(OutputState.BAD, 0)
    return 1 if lost else 0


def _settings(manifest: Manifest, options: RunOptions) -> Settings:
    settings = manifest.settings_with(concurrency=options.concurrency, max_cost=options.max_cost)
    return dataclasses.replace(settings, on_unknown=options.on_unknown or settings.on_unknown)


def _scope_reason(options: RunOptions, status: Status) -> str | None:
    if not status.jobs.get(JobState.PENDING, 0):
        return None
    if options.limit is not None:
        return f"--limit {options.limit} was reached"
    return f"--id {options.id_glob} leaves other jobs out" if options.id_glob else None


def _with_waiting(reason: str | None, waiting: int, options: RunOptions) -> str | None:
    """The reason with the jobs that wait for a parent's image; of a run that was stopped that is no news."""
    if not waiting or options.stop.draining:
        return reason
    jobs = "1 job waits for its parent's image" if waiting == 1 else f"{waiting} jobs wait for their parents' images"
    if not options.download:
        jobs += ", which --no-download leaves at the provider"
    return f"{reason}; {jobs}" if reason else jobs


def _describe(options: RunOptions) -> str:
    chosen = {
        "concurrency": options.concurrency,
        "limit": options.limit,
        "id": options.id_glob,
        "on_unknown": options.on_unknown,
        "max_cost": options.max_cost,
        "download": options.download,
        "cluster": None if options.cluster is None else dataclasses.asdict(options.cluster),
    }
    return json.dumps({key: value for key, value in chosen.items() if value is not None})


async def _keys(
    ledger: Ledger, profiles: Mapping[str, Profile], given: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """The secrets of each provider by variable; none at all is the user's mistake, where jobs are sent first."""
    keys = {}
    missing = []
    due = [route[0] for text, route in (await ledger.routes()).items() if await ledger.next_due(text) is not None]
    for name, profile in profiles.items():
        keys[name] = keys_of(profile, given)
        if not keys[name] and needs_key(profile) and name in due:
            missing.append(missing_key(profile))
    if missing:
        raise UsageError("\n".join(missing))
    return keys
