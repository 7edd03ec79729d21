"""Puts the parts of one run together: embedded simulator, transport, worker, engine and their context.

Opened once per run and closed with it. Reads no environment: keys come in as values.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from batchgen.backup import Backups
from batchgen.budget import Budget
from batchgen.engines.base import Engine
from batchgen.engines.crew import Patience, staffed
from batchgen.engines.local import LocalEngine
from batchgen.engines.ray import Cluster, connected
from batchgen.images.addresses import AddressGuard
from batchgen.lanes.context import Context, Scope
from batchgen.ledger.store import Ledger
from batchgen.model import OutputRules, Settings
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.simulator.settings import parse_settings
from batchgen.sinks import Sink
from batchgen.stop import StopSignal
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Who watches a run, who stops it, its clock, which jobs it may start, how files are named, what it may cost."""

    sink: Sink
    stop: StopSignal
    now: Callable[[], float]
    scope: Scope = dataclasses.field(default_factory=Scope)
    rules: OutputRules = dataclasses.field(default_factory=OutputRules)
    budget: Budget = dataclasses.field(default_factory=lambda: Budget(None))
    cluster: Cluster | None = None
    """where the work is done; None: in this process"""


@asynccontextmanager
async def assembled(
    ledger: Ledger,
    workspace: Path,
    profiles: Mapping[str, Profile],
    settings: Settings,
    *,
    keys: Mapping[str, Mapping[str, str]],
    around: Around,
) -> AsyncGenerator[Context, None]:
    """Everything a runner needs, over an open ledger. `keys` are the secrets by provider and variable."""
    simulated = frozenset(name for name, profile in profiles.items() if profile.base_url == SIMULATED)
    async with AsyncExitStack() as opened:
        live = await opened.enter_async_context(_simulated(profiles, workspace))
        worker = WorkerSettings(
            workspace=workspace,
            profiles=live,
            keys=keys,
            guards={name: _guard(profile) for name, profile in live.items()},
            max_image_bytes=settings.max_image_bytes,
            task_patience=settings.task_patience,
        )
        yield Context(
            workspace=workspace,
            ledger=ledger,
            engine=await opened.enter_async_context(_engine(worker, around, settings, here=bool(simulated))),
            profiles=live,
            settings=settings,
            scope=around.scope,
            sink=around.sink,
            stop=around.stop,
            now=around.now,
            jitter=random.random,
            rules=around.rules,
            keys=keys,
            budget=around.budget,
            backups=Backups(ledger, workspace, around.rules.store, around.now) if around.rules.store else None,
            simulated=simulated,
        )


@asynccontextmanager
async def _engine(
    worker: WorkerSettings, around: Around, settings: Settings, *, here: bool
) -> AsyncGenerator[Engine, None]:
    """Whoever does the work. `here`: every worker must be on this machine, where the embedded simulator is."""
    if around.cluster is None:
        async with Transport() as transport:
            yield LocalEngine(Worker(worker, transport, now=around.now))
        return
    patience = Patience(seconds=settings.patience, leave=around.stop.leave)
    async with connected(around.cluster) as yard, staffed(
        yard, worker, workers=around.cluster.workers, patience=patience, here=here
    ) as crew:
        yield crew


@asynccontextmanager
async def _simulated(
    profiles: Mapping[str, Profile], workspace: Path
) -> AsyncGenerator[Mapping[str, Profile], None]:
    """Start the embedded simulator when a profile asks for it, and put its address in."""
    wanted = {name: profile for name, profile in profiles.items() if profile.base_url == SIMULATED}
    if not wanted:
        yield profiles
        return
    # Imported for those who want it: a run that costs money begins sooner without.
    from batchgen.simulator.memory import REMEMBERED
    from batchgen.simulator.serve import simulate

    settings = {name: parse_settings(profile.simulate) for name, profile in wanted.items()}
    async with simulate(settings, memory=workspace / REMEMBERED) as server:
        live = dict(profiles)
        for name, profile in wanted.items():
            root = f"http://127.0.0.1:{server.port}/{profile.dialect}/{name}"
            asks = profile.task_url is not None or profile.dialect == SIMULATED
            live[name] = dataclasses.replace(
                profile, base_url=f"{root}/v1", task_url=f"{root}/source/{{task_id}}" if asks else None
            )
        yield live


def _guard(profile: Profile) -> AddressGuard:
    hosts = {urlsplit(profile.base_url).hostname, urlsplit(profile.task_url or "").hostname}
    return AddressGuard(
        own_hosts=frozenset(host for host in hosts if host),
        allow_private=profile.allow_private_downloads,
    )
