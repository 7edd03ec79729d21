"""`batchgen fetch`: downloads only; what it does can cost nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click

from batchgen.batch import FetchOptions, fetch_until_done
from batchgen.cli.colours import say
from batchgen.cli.durations import seconds
from batchgen.cli.watching import interruptible, notify_option, run_logged, summarise, tell, watcher
from batchgen.cli.workspaces import continued, existing_workspace, workspace_argument
from batchgen.ledger.reader import Reader
from batchgen.notice import Messenger, ended, links_die
from batchgen.progress import Tally, duration
from batchgen.sinks import Report
from batchgen.stop import StopSignal
from batchgen.summary import Commands


@click.command("fetch")
@workspace_argument
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Downloads at once.")
@click.option(
    "--every",
    callback=seconds,
    metavar="TIME",
    help="Try again every 10m (say) until nothing is outstanding.",
)
@notify_option
@click.option("--quiet", is_flag=True, help="No progress, only the summary and errors.")
@click.pass_context
def command(
    ctx: click.Context,
    place: Path,
    folder: Path | None,
    concurrency: int | None,
    every: float | None,
    notify: tuple[str, ...],
    quiet: bool,
) -> None:
    """Download what is generated and not yet on disk in WORKSPACE. Sends no generation request.

    Exit codes: 0 nothing is outstanding; 1 some links died or brought no image; 3 some downloads
    are still outstanding; 4 the workspace can't be used, by a run that is going on for one; 130
    interrupted.
    """
    workspace = existing_workspace(place, folder)
    stop = StopSignal()
    watch = watcher(quiet)
    options = FetchOptions(concurrency=concurrency, sink=watch, stop=stop)
    commands = Commands(str(workspace))
    messenger = Messenger(notify)
    told = False

    async def pause(report: Report) -> None:
        nonlocal told
        if not told and (notice := links_die(workspace.name, report, commands)):
            told = True
            await tell(messenger, notice)
        await _pause(every or 0.0, stop, watch)

    async def work() -> Report:
        with interruptible(stop, watch):
            report = await fetch_until_done(workspace, options, pause if every is not None else None)
        async with Reader.open(workspace) as reader:
            told_all = replace(commands, run=await continued(reader, workspace))
        say(await summarise(workspace.name, report, told_all), err=True)
        await tell(messenger, ended(workspace.name, report, commands))
        return report

    ctx.exit(run_logged(workspace, (), work).exit_code)


async def _pause(pause: float, stop: StopSignal, watch: Tally) -> None:
    """Sleep, or wake at once when somebody wants to leave."""
    watch.say(f"some downloads are outstanding; trying again in {duration(pause)}")
    woken = asyncio.Event()
    stop.listen(woken.set)
    try:
        await asyncio.wait_for(woken.wait(), pause)
    except TimeoutError:
        return
