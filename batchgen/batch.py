"""One invocation over one workspace: puts manifest, ledger, simulator, worker and runner together.

What the command line and the library both call. Reads no environment, prints nothing: keys, sink
and stop signal come in as options.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from batchgen.engines.local import LocalEngine
from batchgen.errors import UsageError
from batchgen.images.addresses import AddressGuard
from batchgen.images.fetch import clean_leftovers
from batchgen.lanes.context import Context, Scope
from batchgen.ledger.records import Difference, Status
from batchgen.ledger.store import Ledger
from batchgen.manifest.load import Manifest
from batchgen.model import JobState, OnUnknown, Settings
from batchgen.providers.keys import chosen_key, missing_key, needs_key
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.runner import Runner
from batchgen.simulator.settings import parse_settings
from batchgen.simulator.serve import simulate
from batchgen.sinks import NullSink, Report, Sink
from batchgen.stop import StopSignal
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run. `keys` maps names of environment variables to their secrets; only those that the
    manifest's profiles name are looked at. What is None leaves the manifest's own setting."""

    workspace: Path
    concurrency: int | None = None
    limit: int | None = None
    id_glob: str | None = None
    on_unknown: OnUnknown | None = None
    download: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    sink: Sink = field(default_factory=NullSink)
    stop: StopSignal = field(default_factory=StopSignal)
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch: downloads at once, and who watches."""

    concurrency: int | None = None
    sink: Sink = field(default_factory=NullSink)
    stop: StopSignal = field(default_factory=StopSignal)
    now: Callable[[], float] = time.time


def default_workspace(manifest: Path) -> Path:
    """`out/demo` below the current folder, for `jobs/demo.yaml`."""
    return Path("out") / manifest.stem


async def run_batch(manifest: Manifest, options: RunOptions) -> Report:
    """Send what is not finished and download it. Raises UserError before anything is sent, WorkspaceError."""
    began = time.monotonic()
    settings = _settings(manifest.settings, options)
    async with Ledger.open(options.workspace, now=options.now) as ledger:
        await ledger.sync(manifest.entries())
        keys = await _keys(ledger, manifest.profiles, options.keys)
        await ledger.note("profiles", _dump_profiles(manifest.profiles))
        await ledger.note("settings", json.dumps(dataclasses.asdict(settings)))
        run = await ledger.begin_run(options.now(), os.getpid(), _describe(options))
        clean_leftovers(options.workspace)
        async with _context(ledger, manifest.profiles, settings, options, keys=keys) as context:
            context.scope = Scope(limit=options.limit, id_glob=options.id_glob)
            options.sink.started(*await _standing(ledger))
            simulated = frozenset(n for n, p in manifest.profiles.items() if p.base_url == SIMULATED)
            runner = Runner(context, simulated=simulated, download=options.download)
            reason = await runner.run()
        status = await ledger.status()
        reason = reason or _scope_reason(options, status)
        code = run_exit_code(status, download=options.download, interrupted=options.stop.interrupted)
        await ledger.end_run(run, options.now(), code, reason)
        complaints = await ledger.check()
    if complaints:
        raise AssertionError("the ledger contradicts itself: " + "; ".join(complaints))
    report = Report(
        exit_code=code,
        reason=reason if code in (3, 130) else None,
        status=status,
        run_seconds=time.monotonic() - began,
        requests=context.requests,
        images=context.images,
    )
    options.sink.finished(report)
    return report


async def fetch_batch(workspace: Path, options: FetchOptions) -> Report:
    """Only download what is generated and not on disk; never sends a generation request."""
    began = time.monotonic()
    async with Ledger.open(workspace, now=options.now, create=False) as ledger:
        profiles = _load_profiles(await ledger.get_note("profiles"))
        settings = Settings(**json.loads(await ledger.get_note("settings") or "{}"))
        run = await ledger.begin_run(options.now(), os.getpid(), "fetch")
        clean_leftovers(workspace)
        run_options = RunOptions(workspace=workspace, sink=options.sink, stop=options.stop, now=options.now)
        async with _context(ledger, profiles, settings, run_options, keys={}) as context:
            options.sink.started(*await _standing(ledger))
            reason = await Runner(
                context,
                simulated=frozenset(),
                submit=False,
                downloads_at_once=options.concurrency,
            ).run()
        status = await ledger.status()
        code = fetch_exit_code(status, interrupted=options.stop.interrupted)
        await ledger.end_run(run, options.now(), code, reason)
    report = Report(
        exit_code=code,
        reason=reason,
        status=status,
        run_seconds=time.monotonic() - began,
        requests=0,
        images=0,
    )
    options.sink.finished(report)
    return report


def run_exit_code(status: Status, *, download: bool, interrupted: bool) -> int:
    """The exit code of `run`, from how the jobs stand at its end."""
    left = status.jobs.get(JobState.PENDING, 0) + status.jobs.get(JobState.RUNNING, 0)
    if download:
        left += status.jobs.get(JobState.GENERATED, 0)
    if left:
        return 130 if interrupted else 3
    fine = (JobState.DONE, JobState.GENERATED)
    return 0 if all(state in fine for state, count in status.jobs.items() if count) else 1


def fetch_exit_code(status: Status, *, interrupted: bool) -> int:
    """The exit code of `fetch`: 0 when nothing is outstanding and no link has died."""
    outputs = {str(state): count for state, count in status.outputs.items()}
    if outputs.get("remote", 0):
        return 130 if interrupted else 3
    return 1 if outputs.get("expired", 0) or outputs.get("bad", 0) else 0


@asynccontextmanager
async def _context(
    ledger: Ledger,
    profiles: Mapping[str, Profile],
    settings: Settings,
    options: RunOptions,
    *,
    keys: Mapping[str, str],
) -> AsyncGenerator[Context, None]:
    lineage = await ledger.get_note("lineage") or uuid.uuid4().hex
    await ledger.note("lineage", lineage)
    async with _simulated(profiles, options.workspace) as live, Transport() as transport:
        worker = Worker(
            WorkerSettings(
                workspace=options.workspace,
                profiles=live,
                keys=keys,
                guards={name: _guard(profile) for name, profile in live.items()},
                max_image_bytes=settings.max_image_bytes,
                task_patience=settings.task_patience,
            ),
            transport,
            now=options.now,
        )
        yield Context(
            ledger=ledger,
            engine=LocalEngine(worker),
            profiles=live,
            settings=settings,
            scope=Scope(),
            sink=options.sink,
            stop=options.stop,
            now=options.now,
            jitter=random.random,
            lineage=lineage,
        )


@asynccontextmanager
async def _simulated(
    profiles: Mapping[str, Profile], workspace: Path
) -> AsyncGenerator[Mapping[str, Profile], None]:
    """Start the embedded simulator when a profile asks for it, and put its address in."""
    wanted = {name: profile for name, profile in profiles.items() if profile.base_url == SIMULATED}
    if not wanted:
        yield profiles
        return
    settings = {name: parse_settings(profile.simulate) for name, profile in wanted.items()}
    async with simulate(settings, memory=workspace / "simulator.jsonl") as server:
        live = dict(profiles)
        for name, profile in wanted.items():
            root = f"http://127.0.0.1:{server.port}/{profile.dialect}/{name}"
            asks = profile.task_url is not None or profile.dialect == SIMULATED
            live[name] = dataclasses.replace(
                profile, base_url=f"{root}/v1", task_url=f"{root}/source/{{task_id}}" if asks else None
            )
        yield live


def _settings(settings: Settings, options: RunOptions) -> Settings:
    return dataclasses.replace(
        settings,
        concurrency=options.concurrency or settings.concurrency,
        on_unknown=options.on_unknown or settings.on_unknown,
    )


def _guard(profile: Profile) -> AddressGuard:
    hosts = {urlsplit(profile.base_url).hostname, urlsplit(profile.task_url or "").hostname}
    return AddressGuard(
        own_hosts=frozenset(host for host in hosts if host),
        allow_private=profile.allow_private_downloads,
    )


async def _keys(
    ledger: Ledger, profiles: Mapping[str, Profile], given: Mapping[str, str]
) -> dict[str, str]:
    """The secret of each provider that has something to send; a missing one is the user's mistake."""
    keys = {}
    missing = []
    for name, profile in profiles.items():
        key = chosen_key(profile, given)
        if key is not None:
            keys[name] = key
        elif needs_key(profile) and await ledger.next_due(name) is not None:
            missing.append(missing_key(profile))
    if missing:
        raise UsageError("\n".join(missing))
    return keys


def _scope_reason(options: RunOptions, status: Status) -> str | None:
    if not status.jobs.get(JobState.PENDING, 0):
        return None
    if options.limit is not None:
        return f"--limit {options.limit} was reached"
    return f"--id {options.id_glob} leaves other jobs out" if options.id_glob else None


def _describe(options: RunOptions) -> str:
    chosen = {
        "concurrency": options.concurrency,
        "limit": options.limit,
        "id": options.id_glob,
        "on_unknown": options.on_unknown,
        "download": options.download,
    }
    return json.dumps({key: value for key, value in chosen.items() if value is not None})


async def _standing(ledger: Ledger) -> tuple[int, Status]:
    status = await ledger.status()
    return sum(status.jobs.values()), status


def _dump_profiles(profiles: Mapping[str, Profile]) -> str:
    """What `fetch` must know later, without the manifest: hosts, task address, link life. No secrets."""
    kept = ("name", "base_url", "task_url", "link_ttl", "allow_private_downloads", "dialect", "timeout")
    return json.dumps(
        {
            name: {key: getattr(profile, key) for key in kept} | {"simulate": dict(profile.simulate)}
            for name, profile in profiles.items()
        }
    )


def _load_profiles(text: str | None) -> dict[str, Profile]:
    return {name: Profile(**fields) for name, fields in json.loads(text or "{}").items()}
