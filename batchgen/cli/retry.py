"""`batchgen retry`: puts jobs that ended back to pending. Sends nothing: the next run does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Unpack

import click

from batchgen.cli.filters import FilterOptions, filter_options, make_filter
from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.errors import UsageError
from batchgen.ledger.records import Filter
from batchgen.ledger.store import Ledger
from batchgen.model import END_STATES, JobState

DEFAULT = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})
"""Without `--state`: neither what was refused nor what may already be paid for."""


@click.command("retry")
@workspace_argument
@filter_options
def command(place: Path, folder: Path | None, **options: Unpack[FilterOptions]) -> None:
    """Put jobs of WORKSPACE that are at an end state back to pending; the next run sends them.

    Without --state these are failed, expired and cancelled jobs. Ask for `refused`, `held` (it may
    be paid twice) or `done` by name: --state failed,refused,held,expired.
    """
    workspace = existing_workspace(place, folder)
    which = make_filter(DEFAULT, **options)
    if wrong := which.states - END_STATES:
        raise UsageError(f"--state {','.join(sorted(wrong))}: such jobs are not at an end, nothing to retry")
    count = asyncio.run(_retry(workspace, which))
    states = ", ".join(sorted(which.states))
    if count:
        jobs = "1 job is" if count == 1 else f"{count} jobs are"
        click.echo(f"{jobs} pending again: batchgen run MANIFEST", err=True)
    else:
        click.echo(f"no job fits (looked at: {states}); --state names others", err=True)


async def _retry(workspace: Path, which: Filter) -> int:
    async with Ledger.open(workspace, now=time.time) as ledger:
        return await ledger.retry(which, time.time())
