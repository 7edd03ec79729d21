"""`batchgen run`: plan, submit, record and download, until every job is at an end."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from datetime import time as TimeOfDay
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import click

from batchgen.batch import RunOptions, rehearsal_of, run_batch
from batchgen.cli.cluster import cluster_of, engine_options, settle_environment
from batchgen.cli.colours import say
from batchgen.cli.completing import models, providers
from batchgen.cli.durations import clock
from batchgen.cli.planning import Draft, Limits, max_cost_option, plan_text, set_keys
from batchgen.cli.rehearsing import ending, opening, real_plan
from batchgen.cli.serve import shown, ui_option
from batchgen.cli.watching import interruptible, notify_option, run_logged, summarise, tell, watcher
from batchgen.cli.workspaces import shard_option, workspace_of, workspace_option
from batchgen.errors import BatchgenError, UsageError
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.records import Difference, Outstanding
from batchgen.ledger.store import Ledger
from batchgen.ledger.sync import Review
from batchgen.manifest.load import open_manifest
from batchgen.model import OnUnknown
from batchgen.night import hours
from batchgen.notice import Messenger, broken, ended
from batchgen.plan import missing_keys
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.twins import Night
from batchgen.shards.division import Shard
from batchgen.sinks import Report, Sink
from batchgen.summary import Commands


class _Options(TypedDict):
    """The options as click hands them over; None: not given."""

    folder: Path | None
    provider: str | None
    model: str | None
    concurrency: int | None
    limit: int | None
    id_glob: str | None
    start_at: TimeOfDay | None
    stop_at: TimeOfDay | None
    on_unknown: str | None
    max_cost: float | None
    shard: Shard | None
    no_download: bool
    rehearse: bool
    night: str | None
    engine: str
    address: str | None
    workers: int | None
    ui: bool
    port: int | None
    notify: tuple[str, ...]
    quiet: bool


@click.command("run")
@click.argument("manifest", type=click.Path(path_type=Path))
@workspace_option
@click.option("--provider", metavar="NAME", shell_complete=providers, help="Send every job to this provider.")
@click.option("--model", metavar="NAME", shell_complete=models, help="Use this model for every job.")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most N requests at once.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most N jobs in this run.")
@click.option("--id", "id_glob", metavar="GLOB", help="Send only jobs whose id fits, such as 'cat-*'.")
@click.option("--start-at", callback=clock, metavar="HH:MM", help="Send nothing before this hour (local time).")
@click.option("--stop-at", callback=clock, metavar="HH:MM", help="Send nothing after this hour (local time).")
@click.option(
    "--on-unknown",
    type=click.Choice([choice.value for choice in OnUnknown]),
    help="A request was cut and may have been billed: hold the job, or resend it and perhaps pay twice.",
)
@max_cost_option
@shard_option
@click.option("--no-download", is_flag=True, help="Leave the images at the provider; `fetch` gets them.")
@engine_options
@click.option("--rehearse", is_flag=True, help="Play it through with simulated providers, in DIR.rehearsal.")
@click.option(
    "--night",
    type=click.Choice([night.value for night in Night]),
    help="What to rehearse: an ordinary night, or a bad one with cuts and refusals.",
)
@ui_option
@notify_option
@click.option("--quiet", is_flag=True, help="No progress, only the summary and errors.")
@click.pass_context
def command(ctx: click.Context, manifest: Path, **options: Unpack[_Options]) -> None:
    """Generate every image of MANIFEST (YAML, CSV, TSV or JSONL) into its workspace.

    Run it again after a crash, a Ctrl-C or an extended manifest: only what is not finished is
    sent. Exit codes: 0 all done; 1 some jobs failed, were refused, held, expired or cancelled; 2
    a mistake in the manifest or the command line, nothing sent; 3 stopped early, jobs pending; 4
    the workspace can't be used; 130 interrupted.
    """
    night = _night(options)
    cluster = cluster_of(options["engine"], options["address"], options["workers"])
    messenger = Messenger(options["notify"])
    limits = Limits(options["concurrency"], options["max_cost"])
    shard = options["shard"]
    read = partial(open_manifest, manifest, provider=options["provider"], model=options["model"], shard=shard)
    opened = read()
    workspace = workspace_of(manifest, options["folder"], shard)
    real = None
    if night is not None:
        # The real manifest comes first: what a run would refuse is not rehearsed.
        real = asyncio.run(real_plan(opened, limits))
        opened = read(night=night)
        workspace = rehearsal_of(workspace)
    # A row may name any built-in provider, and no other that is not in the manifest.
    keys = set_keys((*BUILTIN.values(), *opened.profiles.values()))
    watch = watcher(options["quiet"], downloads=not options["no_download"])
    sink = ctx.with_resource(shown(workspace, options["ui"], options["port"], watch))
    chosen = replace(_run_options(options, workspace, keys, sink), cluster=cluster)
    if cluster is not None:
        settle_environment(cluster, keys)
    commands = Commands(str(workspace), _again(manifest, options))

    async def work() -> Report:
        try:
            with interruptible(chosen.stop, watch):
                await _bring_up_to_date(workspace)
                review = _review(await Draft.of(opened, workspace, limits), workspace, night, keys, options["quiet"])
                report = await run_batch(opened, replace(chosen, review=review))
        except BatchgenError as error:
            await tell(messenger, broken(opened.name, error, commands))
            raise
        say(await summarise(opened.name, report, commands), err=True)
        await tell(messenger, ended(opened.name, report, commands))
        if real is not None:
            say(ending(real, report), err=True)
        return report

    ctx.exit(run_logged(workspace, tuple(keys.values()), work).exit_code)


async def _bring_up_to_date(workspace: Path) -> None:
    """Whoever only reads can't bring an older ledger up to date, and a plan only reads."""
    if (workspace / LEDGER).exists():
        async with Ledger.open(workspace, now=time.time):
            pass


def _review(draft: Draft, workspace: Path, night: Night | None, keys: Collection[str], quiet: bool) -> Review:
    """What makes a plan of what the manifest brings, shows it, and refuses what can't be sent."""

    def review(jobs: Difference, outstanding: Iterator[Outstanding]) -> None:
        draft.take(jobs, outstanding)
        plan = draft.finish(jobs)
        if missing := missing_keys(draft.manifest.profiles, plan.providers, keys):
            raise UsageError("\n".join(missing))
        if not quiet:
            head = f"{draft.manifest.name} -> {workspace}\n"
            say(head + (f"{opening(night, plan, workspace)}\n" if night else "") + plan_text(plan), err=True)

    return review


def _night(options: _Options) -> Night | None:
    """The night to rehearse; None for the real thing."""
    if options["night"] and not options["rehearse"]:
        raise UsageError("--night goes with --rehearse: add it, or leave --night out")
    if options["rehearse"] and (options["start_at"] or options["stop_at"]):
        raise UsageError("a rehearsal begins at once and keeps no hours: leave --start-at and --stop-at out")
    return Night(options["night"] or Night.ORDINARY) if options["rehearse"] else None


def _run_options(options: _Options, workspace: Path, keys: Mapping[str, str], watch: Sink) -> RunOptions:
    on_unknown = options["on_unknown"]
    open_hours = hours(datetime.now().astimezone(), options["start_at"], options["stop_at"])
    return RunOptions(
        workspace=workspace,
        concurrency=options["concurrency"],
        limit=options["limit"],
        id_glob=options["id_glob"],
        begins=open_hours.begins.timestamp() if open_hours.begins else None,
        ends=open_hours.ends.timestamp() if open_hours.ends else None,
        on_unknown=OnUnknown(on_unknown) if on_unknown else None,
        max_cost=options["max_cost"],
        download=not options["no_download"],
        keys=keys,
        sink=watch,
    )


def _again(manifest: Path, options: _Options) -> str:
    """The command line that continues this batch."""
    words = ["batchgen", "run", str(manifest)]
    for name, value in (
        ("--workspace", options["folder"]),
        ("--provider", options["provider"]),
        ("--model", options["model"]),
        ("--max-cost", options["max_cost"]),
        ("--shard", options["shard"]),
        ("--night", options["night"]),
        ("--engine", options["engine"] if options["engine"] != "local" else None),
        ("--address", options["address"]),
        ("--workers", options["workers"]),
    ):
        if value is not None:
            words += [name, str(value)]
    return shlex.join([*words, "--rehearse"] if options["rehearse"] else words)
