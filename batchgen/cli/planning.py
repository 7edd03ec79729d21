"""Makes the plan of a manifest over its workspace, for `plan` and for the head of `run`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from batchgen.budget import no_late_price
from batchgen.errors import UsageError
from batchgen.intake import require_same_shard, unchanged
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Change, Difference, Outstanding, Standing, Unpriced
from batchgen.manifest.load import Manifest
from batchgen.model import OutputState
from batchgen.plan import Plan, Planner, Share
from batchgen.progress import duration
from batchgen.providers.prices import currency, millionths, money_text
from batchgen.providers.profile import Profile
from batchgen.shards.division import Shard
from batchgen.summary import Commands, counted, link_warning


def set_keys(profiles: Iterable[Profile]) -> Mapping[str, str]:
    """The key variables that these profiles name and the environment has, with their values."""
    names = {name for profile in profiles for name in profile.api_key_env}
    return {name: value for name in sorted(names) if (value := os.environ.get(name))}


def _amount(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else currency(millionths(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no amount of money such as 5 or 2.50") from None


max_cost_option = click.option(
    "--max-cost",
    callback=_amount,
    metavar="AMOUNT",
    help="Never let the batch cost more, over all of its runs; what may be billed counts.",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The run's own limits, from the command line; None leaves the manifest's."""

    concurrency: int | None = None
    max_cost: float | None = None


async def make_plan(manifest: Manifest, workspace: Path, limits: Limits) -> Plan:
    """The plan of a manifest over its workspace, if there is one; the jobs are read only when they must be.

    Raises `ManifestError`, `WorkspaceError`, and what `Draft.finish` raises.
    """
    draft = await Draft.of(manifest, workspace, limits)
    if not (workspace / LEDGER).exists():
        jobs = 0
        for entry in manifest.entries():
            draft.planner.add(Standing(entry=entry, change=Change.NEW, state=None, missing=entry.like.n))
            jobs += 1
        return draft.finish(Difference(new=jobs))
    async with Reader.open(workspace) as reader:
        if await unchanged(reader, manifest) is None:
            return draft.finish(await reader.compare(manifest.entries(), draft.planner.add))
        return draft.finish(await reader.review(draft.take))


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that only lacks the jobs: what earlier runs left is in it. `late`: what they sent without a price."""

    manifest: Manifest
    planner: Planner
    late: tuple[Unpriced, ...] = ()

    @classmethod
    async def of(cls, manifest: Manifest, workspace: Path, limits: Limits) -> Draft:
        """Begin a plan. Raises `WorkspaceError`."""
        settings = manifest.settings_with(concurrency=limits.concurrency, max_cost=limits.max_cost)
        max_cost = settings.max_cost
        planner = Planner(manifest.profiles, settings.concurrency, max_cost)
        if not (workspace / LEDGER).exists():
            return cls(manifest, planner)
        async with Reader.open(workspace) as reader:
            await require_same_shard(reader, manifest, workspace)
            await _earlier(reader, planner, manifest, workspace)
            late = () if max_cost is None else tuple([one async for one in reader.unpriced()])
        return cls(manifest, planner, late)

    def take(self, _: Difference, outstanding: Iterable[Outstanding]) -> None:
        """Take all that there is to send."""
        for one in outstanding:
            self.planner.send(one)

    def finish(self, jobs: Difference) -> Plan:
        """The plan. Raises `UsageError` for a budget that can't be kept because something has no price."""
        lines = [no_late_price(self.manifest.profiles, late) for late in self.late]
        self.planner.unpriced(filter(None, lines))
        plan = self.planner.finish(jobs, set_keys(self.manifest.profiles.values()))
        if plan.unpriced:
            raise UsageError("\n".join(f"{self.manifest.path}: {line}" for line in plan.unpriced))
        return replace(plan, shard=self.manifest.shard)


async def _earlier(reader: Reader, planner: Planner, manifest: Manifest, workspace: Path) -> None:
    """Tell the planner what earlier runs left."""
    status = await reader.status(time.time())
    learned = {name: await reader.typical_seconds(name) for name in status.providers}
    seconds = {name: value for name, value in learned.items() if value is not None}
    planner.earlier(status.cost + status.unsettled_cost, seconds)
    made_by = await reader.note("manifest")
    if made_by is not None and made_by != manifest.path.name:
        planner.warn(
            f"{workspace} was made by {made_by}: its jobs that {manifest.path.name} does not list are "
            "set aside; --workspace DIR keeps two manifests apart"
        )
    earlier = json.loads(await reader.note("output") or "{}").get("store")
    if earlier != manifest.output.store and status.outputs.get(OutputState.SAVED, 0):
        before, now = (place or "the workspace" for place in (earlier, manifest.output.store))
        planner.warn(f"images go to {now} from now on; those that were saved in {before} stay there")
    if links := link_warning(status, Commands(str(workspace))):
        planner.warn(links)


def plan_text(plan: Plan, *, table: bool = False) -> str:
    """The plan for people, a few lines; `table`: also what goes to which provider and model."""
    jobs = plan.jobs
    lines = [] if plan.shard is None else [f"shard     {_shard_text(plan.shard)}"]
    lines += [
        f"jobs      {jobs.new} new, {jobs.changed} changed, {jobs.unchanged} unchanged, "
        f"{jobs.removed} removed",
        f"to send   {counted(plan.requests, 'request')} for {counted(plan.images, 'image')}",
    ]
    if plan.requests:
        lines.append(f"cost      {cost_text(plan)}")
        lines.append(f"time      {duration(plan.seconds)}, {_basis(plan)}")
    if plan.max_cost is not None:
        what = "the whole batch" if plan.shard is None else "this shard"
        spent = f"{money_text(plan.spent)} is spent or may have been billed"
        lines.append(f"budget    {money_text(plan.max_cost)} for {what}; {spent}")
    lines += [f"warning   {warning}" for warning in plan.warnings]
    if table and plan.shares:
        lines += ["", *_table(plan.shares)]
    return "\n".join(lines)


def _shard_text(shard: Shard) -> str:
    return f"{shard} of the batch; it keeps to its part of max_cost, concurrency and the providers' limits"


def cost_text(plan: Plan) -> str:
    """What a plan costs, for people: about how much, from the least to the most, and what has no price."""
    known = ""
    if plan.cost or not plan.unpriced_models:
        known = f"about {money_text(plan.cost)} by the price list"
        least, most = money_text(plan.low), money_text(plan.high)
        known += f", from {least} to {most}" if least != most else ""
    unknown = f"no price known for {', '.join(plan.unpriced_models)}" if plan.unpriced_models else ""
    return "; ".join(filter(None, (known, unknown)))


def _basis(plan: Plan) -> str:
    return "as fast as the latest requests here" if plan.learned else "an estimate"


def _table(shares: Iterable[Share]) -> Iterator[str]:
    rows = [("provider", "model", "jobs", "requests", "images", "cost")]
    for share in shares:
        cost = span_text(share.low, share.high) if share.priced else "no price"
        rows.append((share.provider, share.model, str(share.jobs), str(share.requests), str(share.images), cost))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = (f"{cell:<{width}}" for cell, width in zip(row[:2], widths, strict=False))
        numbers = (f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        yield "  ".join((*words, *numbers))


def span_text(low: int, high: int) -> str:
    """`0.30`, or `0.30 to 0.60`, from millionths."""
    least, most = money_text(currency(low)), money_text(currency(high))
    return least if least == most else f"{least} to {most}"
