"""What `run` and `fetch` share: who watches, Ctrl-C, the log, and the closing summary."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from batchgen.alike import NAMED
from batchgen.cli import CRASHED, first_of, own_error
from batchgen.cli.colours import lively
from batchgen.cli.runlog import RUN_LOG, run_log
from batchgen.clock import Steady
from batchgen.errors import BatchgenError
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter
from batchgen.model import JobState
from batchgen.notice import Messenger, Notice
from batchgen.progress import Bar, PlainLines, Tally
from batchgen.providers.stored import load_profiles
from batchgen.sinks import Report
from batchgen.stop import StopSignal
from batchgen.summary import Commands, Unfinished, closing

Command = TypeVar("Command", bound=Callable[..., Any])

_COLLECT = (10_000, 20, 20)
"""Rarer searches for garbage than Python's own choice: these took a tenth of a run's processor time."""

_PENDING = frozenset({JobState.PENDING})
_BEGUN = frozenset(JobState) - _PENDING - {JobState.DONE}


def watcher(quiet: bool, downloads: bool = True) -> Tally:
    """A bar for a terminal, plain lines for anything else, nothing for `--quiet`."""
    if quiet:
        return Tally(Steady(), downloads=downloads)
    face = Bar if lively(sys.stderr) else PlainLines
    return face(Steady(), sys.stderr, downloads=downloads)


@contextmanager
def interruptible(stop: StopSignal, watch: Tally) -> Iterator[None]:
    """Within: the first SIGINT or SIGTERM drains, the second aborts."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.interrupted:
            stop.abort()
            return
        stop.drain()
        watch.say(f"stopping: waiting for {watch.in_flight} in flight, press Ctrl-C again to abort now")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def notify_option(command: Command) -> Command:
    """Give a command `--notify`; it reaches it as `notify`."""
    option = click.option(
        "--notify",
        multiple=True,
        envvar="BATCHGEN_NOTIFY",
        metavar="URL",
        help="Tell this webhook, or service that apprise knows, how it ended. Also $BATCHGEN_NOTIFY.",
    )
    return option(command)


async def tell(addresses: Messenger, notice: Notice | None) -> None:
    """Deliver a notice, and say where that failed."""
    for complaint in await addresses.tell(notice) if notice is not None else ():
        click.echo(complaint, err=True)


def run_logged(workspace: Path, secrets: Collection[str], work: Callable[[], Awaitable[Report]]) -> Report:
    """Run the work with the log open; an error of our own goes there with its traceback (exit 4)."""

    async def main() -> Report:
        return await work()

    with run_log(workspace, secrets) as log:
        # What is loaded by now stays; of what comes, almost nothing is garbage that only a search finds.
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        try:
            return asyncio.run(main())
        except Exception as error:  # whatever it is, the log is to hold where it came from
            if isinstance(first_of(error), BatchgenError | OSError):
                raise
            log.exception("stopped on an error of our own")
            click.echo(f"{own_error(error)} (traceback in {workspace / RUN_LOG})", err=True)
            raise click.exceptions.Exit(CRASHED) from error


async def summarise(name: str, report: Report, commands: Commands) -> str:
    """The closing words, with every job that is not done."""
    async with Reader.open(Path(commands.workspace)) as reader:
        profiles = load_profiles(await reader.note("profiles"))
        unfinished = Unfinished({one for one, profile in profiles.items() if profile.task_url}, time.time())
        pending = report.status.jobs.get(JobState.PENDING, 0)
        for states, error in ((_BEGUN, None), (_PENDING, "*")):
            async for record in reader.jobs(Filter(states=states, error=error)):
                unfinished.add(record)
                pending -= record.state is JobState.PENDING
        await _add_never_sent(reader, unfinished, pending)
        unfinished.warned = await reader.warned()
    return closing(name, report, unfinished, commands)


async def _add_never_sent(reader: Reader, unfinished: Unfinished, count: int) -> None:
    """Pending jobs without an error; a few are looked at and stand for all, for there may be a million."""
    left = count
    async for record in reader.jobs(Filter(states=_PENDING)):
        if left <= max(0, count - NAMED - 1):
            break
        if record.error is None:
            unfinished.add(record)
            left -= 1
    if left > 0:
        unfinished.more(JobState.PENDING, left)

