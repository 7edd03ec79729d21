"""`batchgen retry`: takes up jobs that ended, and says what it will cost. Sends nothing: the next run does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click

from batchgen.cli.filters import FilterOptions, filter_options, make_filter
from batchgen.cli.workspaces import continued, existing_workspace, workspace_argument
from batchgen.errors import UsageError
from batchgen.ledger.records import Filter
from batchgen.ledger.retrying import Retried
from batchgen.ledger.store import Ledger
from batchgen.model import END_STATES, JobState
from batchgen.summary import counted

DEFAULT = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})
"""Without `--state`: neither what was refused nor what may already be paid for."""


@click.command("retry")
@workspace_argument
@filter_options
def command(place: Path, folder: Path | None, **options: Unpack[FilterOptions]) -> None:
    """Take up jobs of WORKSPACE that are at an end state; the next run does what is said here.

    What is free comes first: a task is asked for once more, a failed download is tried again. A second
    retry of the same job sends a new request. Without --state these are failed, expired and cancelled
    jobs. Ask for `refused`, `held` (it may be paid twice) or `done` by name: --state failed,held.
    """
    workspace = existing_workspace(place, folder)
    which = make_filter(DEFAULT, **options)
    if wrong := which.states - END_STATES:
        states = ",".join(sorted(wrong))
        raise UsageError(f"--state {states}: such jobs are not at an end, the next run goes on with them")
    click.echo(asyncio.run(_retry(workspace, which)), err=True)


async def _retry(workspace: Path, which: Filter) -> str:
    async with Ledger.open(workspace, now=time.time) as ledger:
        found = await ledger.put_back(which, time.time())
        if not found.total and not found.left:
            return _nothing(which, await _others(ledger, which))
        if not found.total:
            return f"nothing to retry: {_left(found)}"
        again = await continued(ledger.reader, workspace)
    left = f"; {_left(found)}" if found.left else ""
    return f"{counted(found.total, 'job')}: {_fates(found)}: {again}{left}"


def _left(found: Retried) -> str:
    if found.left == 1:
        return "1 is cancelled because of its parent: retry that one by its own state, and it comes along"
    return f"{found.left} are cancelled because of their parents: retry those by their own states, and they come along"


async def _others(ledger: Ledger, which: Filter) -> Counter[JobState]:
    """Jobs at the other ends but `done` that fit all the same, by state."""
    states = END_STATES - which.states - {JobState.DONE}
    if not states:
        return Counter()
    return Counter([record.state async for record in ledger.reader.jobs(replace(which, states=states))])


def _fates(found: Retried) -> str:
    fates = (
        (found.asked, "asked for at its provider (free)"),
        (found.downloaded, "downloaded again (free)"),
        (found.sent, "sent again (paid)"),
        (found.following, "sent once the parent is done (paid)"),
    )
    return ", ".join(f"{number} {'is' if number == 1 else 'are'} {fate}" for number, fate in fates if number)


def _nothing(which: Filter, others: Counter[JobState]) -> str:
    looked = ", ".join(state for state in JobState if state in which.states)
    words = f"nothing to retry among {looked}"
    if not others:
        return words
    more = ", ".join(f"{n} {'is' if n == 1 else 'are'} {state}" for state, n in others.items())
    return f"{words}; {more}: add --state {','.join(others)}"
