"""`batchgen status`: the whole batch in numbers, at any time, also while a run goes on."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from batchgen.answers import status_answer
from batchgen.cli.colours import lively, say
from batchgen.cli.workspaces import continued, existing_workspace, workspace_argument
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import ProviderStatus, Status
from batchgen.model import END_STATES, JobState, OutputState
from batchgen.progress import wait_text
from batchgen.providers.prices import money_text
from batchgen.summary import Commands, cost_words, counts, link_warning, store_words

_LOOK = 1.0
"""Seconds between two looks of `--watch`; the run notes its traffic as often."""


@click.command("status")
@workspace_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--watch", is_flag=True, help="Show it anew whenever it changes, until the run ends.")
def command(place: Path, folder: Path | None, as_json: bool, watch: bool) -> None:
    """Show how the jobs of WORKSPACE stand: the folder of a batch, or the manifest that made it."""
    workspace = existing_workspace(place, folder)

    async def show(reader: Reader) -> str:
        status = await reader.status(time.time())
        if as_json:
            return json.dumps(status_answer(status), ensure_ascii=False)
        return "\n".join((*_lines(status, workspace), *await _next(reader, status, workspace)))

    asyncio.run(_watch(workspace, show) if watch else _once(workspace, show))


async def _once(workspace: Path, show: Callable[[Reader], Awaitable[str]]) -> None:
    async with Reader.open(workspace) as reader:
        say(await show(reader))


async def _watch(workspace: Path, show: Callable[[Reader], Awaitable[str]]) -> None:
    """On a terminal each picture takes the place of the one before; elsewhere they follow each other."""
    last = None
    async with Reader.open(workspace) as reader:
        while True:
            run = await reader.last_run()
            if (text := await show(reader)) != last:
                if lively(sys.stdout):
                    click.clear()
                say(text)
                last = text
            if run is None or not run.alive:
                return
            await asyncio.sleep(_LOOK)


def _lines(status: Status, workspace: Path) -> list[str]:
    lines = [
        f"jobs      {counts(status.jobs, JobState)} (of {sum(status.jobs.values())})",
        f"images    {counts(status.outputs, OutputState)}",
        f"attempts  {status.attempts}",
        f"cost      {cost_words(status)}",
    ]
    if status.shard:
        lines.insert(0, f"shard     {status.shard} of the batch")
    lines += [f"provider  {name}: {_traffic(one, time.time())}" for name, one in status.providers.items()]
    if store := store_words(status, str(workspace)):
        lines.append(f"store     {store}")
    if warning := link_warning(status, Commands(str(workspace))):
        lines.append(f"links     {warning}")
    return lines


async def _next(reader: Reader, status: Status, workspace: Path) -> list[str]:
    """What to do about jobs that are not done, when no run is at it."""
    run = await reader.last_run()
    if run is not None and run.alive:
        return []
    jobs = {state: count for state, count in status.jobs.items() if count and state is not JobState.DONE}
    commands = []
    if jobs.keys() & {JobState.PENDING, JobState.RUNNING}:
        commands.append(await continued(reader, workspace))
    elif JobState.GENERATED in jobs:
        commands.append(f"batchgen fetch {workspace}")
    if lost := [state for state in jobs if state in END_STATES]:
        commands.append(f"batchgen jobs {workspace} --state {','.join(lost)}")
    return [f"next      {command}" for command in commands]


def _traffic(provider: ProviderStatus, now: float) -> str:
    limit = f" of {provider.limit}" if provider.limit is not None else ""
    text = f"{provider.in_flight}{limit} in flight"
    if provider.cost:
        text += f", cost {money_text(provider.cost)}"
    if provider.waiting_until is not None:
        text += f", waiting{wait_text(provider.waiting_until, now)}"
    return f"{text}: {provider.reason}" if provider.reason else text
