"""`batchgen status`: the whole batch in numbers, at any time, also while a run goes on."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from batchgen.answers import status_answer
from batchgen.cli.colours import lively, say
from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import ProviderStatus, Status
from batchgen.model import JobState, OutputState
from batchgen.progress import wait_text
from batchgen.providers.prices import money_text
from batchgen.summary import Commands, cost_words, counted, counts, link_warning

_LOOK = 1.0
"""Seconds between two looks of `--watch`; the run notes its traffic as often."""


@click.command("status")
@workspace_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--watch", is_flag=True, help="Show it anew whenever it changes, until the run ends.")
def command(place: Path, folder: Path | None, as_json: bool, watch: bool) -> None:
    """Show how the jobs of WORKSPACE stand: the folder of a batch, or the manifest that made it."""
    workspace = existing_workspace(place, folder)

    def show(status: Status) -> str:
        return json.dumps(status_answer(status), ensure_ascii=False) if as_json else _text(status, workspace)

    asyncio.run(_watch(workspace, show) if watch else _once(workspace, show))


async def _once(workspace: Path, show: Callable[[Status], str]) -> None:
    say(show(await _read(workspace)))


async def _watch(workspace: Path, show: Callable[[Status], str]) -> None:
    """On a terminal each picture takes the place of the one before; elsewhere they follow each other."""
    last = None
    async with Reader.open(workspace) as reader:
        while True:
            run = await reader.last_run()
            if (text := show(await reader.status(time.time()))) != last:
                if lively(sys.stdout):
                    click.clear()
                say(text)
                last = text
            if run is None or not run.alive:
                return
            await asyncio.sleep(_LOOK)


async def _read(workspace: Path) -> Status:
    async with Reader.open(workspace) as reader:
        return await reader.status(time.time())


def _text(status: Status, workspace: Path) -> str:
    lines = [
        f"jobs      {counts(status.jobs, JobState)} (of {sum(status.jobs.values())})",
        f"images    {counts(status.outputs, OutputState)}",
        f"attempts  {status.attempts}",
        f"cost      {cost_words(status)}",
    ]
    lines += [f"provider  {name}: {_traffic(one, time.time())}" for name, one in status.providers.items()]
    if status.store_down:
        waiting = counted(status.outputs.get(OutputState.REMOTE, 0), "image")
        lines.append(f"store     {status.store_down}; {waiting} not there yet, those that came wait in {workspace}")
    if warning := link_warning(status, Commands(str(workspace))):
        lines.append(f"links     {warning}")
    return "\n".join(lines)


def _traffic(provider: ProviderStatus, now: float) -> str:
    limit = f" of {provider.limit}" if provider.limit is not None else ""
    text = f"{provider.in_flight}{limit} in flight"
    if provider.cost:
        text += f", cost {money_text(provider.cost)}"
    if provider.waiting_until is not None:
        text += f", waiting{wait_text(provider.waiting_until, now)}"
    return f"{text}: {provider.reason}" if provider.reason else text
