"""Makes the plan of a manifest over its workspace, for `plan` and for the head of `run`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from batchgen.ledger.connection import LEDGER
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Change, Standing
from batchgen.manifest.load import Manifest
from batchgen.plan import Plan, Planner
from batchgen.progress import duration
from batchgen.providers.profile import Profile
from batchgen.summary import counted


def set_keys(profiles: Iterable[Profile]) -> Mapping[str, str]:
    """The key variables that these profiles name and the environment has, with their values."""
    names = {name for profile in profiles for name in profile.api_key_env}
    return {name: value for name in sorted(names) if (value := os.environ.get(name))}


async def make_plan(manifest: Manifest, workspace: Path, concurrency: int | None) -> Plan:
    """Read the whole manifest and the ledger, if there is one. Raises `ManifestError`, `WorkspaceError`."""
    planner = Planner(manifest.profiles, concurrency or manifest.settings.concurrency)
    listed = 0
    if (workspace / LEDGER).exists():
        async with Reader.open(workspace) as reader:
            listed = sum((await reader.status(time.time())).jobs.values())
            made_by = await reader.note("manifest")
            if made_by is not None and made_by != manifest.path.name:
                planner.warn(
                    f"{workspace} was made by {made_by}: its jobs that {manifest.path.name} does not list are "
                    "set aside; --workspace DIR keeps two manifests apart"
                )
            async for standing in reader.standings(manifest.entries()):
                planner.add(standing)
    else:
        for entry in manifest.entries():
            planner.add(Standing(entry=entry, change=Change.NEW, state=None, missing=entry.job.n))
    return planner.finish(listed, set_keys(manifest.profiles.values()))


def plan_text(plan: Plan) -> str:
    """The plan for people, a few lines."""
    jobs = plan.jobs
    lines = [
        f"jobs      {jobs.new} new, {jobs.changed} changed, {jobs.unchanged} unchanged, "
        f"{jobs.removed} removed",
        f"to send   {counted(plan.requests, 'request')} for {counted(plan.images, 'image')}",
    ]
    if plan.requests:
        lines.append(f"cost      {_cost_text(plan)}")
        lines.append(f"time      {duration(plan.seconds)}, an estimate")
    lines += [f"warning   {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def _cost_text(plan: Plan) -> str:
    known = f"about {plan.cost:.2f} by the price list" if plan.cost or not plan.unpriced_models else ""
    unknown = f"no price known for {', '.join(plan.unpriced_models)}" if plan.unpriced_models else ""
    return "; ".join(filter(None, (known, unknown)))
