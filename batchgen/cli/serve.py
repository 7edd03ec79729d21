"""`batchgen serve`: the live page of a batch, on this machine alone unless told otherwise; `run --ui` shows it too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.errors import UsageError
from batchgen.ledger.reader import Reader
from batchgen.sinks import Both, Sink

if TYPE_CHECKING:  # an extra
    from batchgen.web.server import Server

Command = TypeVar("Command", bound=Callable[..., Any])

port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Of the live page: 8765, or any that is free when that is taken; 0: any that is free.",
)


@click.command("serve")
@workspace_argument
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Others than you may look and order then.")
@port_option
def command(place: Path, folder: Path | None, host: str, port: int | None) -> None:
    """Show WORKSPACE live in a browser: progress, pictures, every job; retry, fetch again, cancel, pause.

    Ctrl-C ends it. The run goes on without it, and it goes on without a run.
    """
    workspace = existing_workspace(place, folder)
    asyncio.run(_look_into(workspace))
    server = page_of(workspace, host, port, "serve")
    click.echo(server.address)
    click.echo(f"{workspace} is shown there until Ctrl-C", err=True)
    server.serve()


async def _look_into(workspace: Path) -> None:
    """A ledger that can't be read is told before an address is. Raises `WorkspaceError`."""
    async with Reader.open(workspace):
        pass


def ui_option(command: Command) -> Command:
    """Give a command `--ui` and `--port`; they reach it as `ui` and `port`."""
    ui = click.option("--ui", is_flag=True, help="Show it live in a browser as long as it goes on (see `serve`).")
    return ui(port_option(command))


@contextmanager
def shown(workspace: Path, ui: bool, port: int | None, watch: Sink) -> Iterator[Sink]:
    """Who watches a run: `watch` and, with `--ui`, a page whose address is said when the run begins."""
    if not ui:
        if port is not None:
            raise UsageError("--port goes with --ui")
        yield watch
        return
    server = page_of(workspace, "127.0.0.1", port, "run --ui")
    from batchgen.web.server import Beside

    page = Beside(server, lambda: click.echo(f"live page: {server.address} (until the run ends)", err=True))
    try:
        yield Both(page, watch)
    finally:
        page.close()


def page_of(workspace: Path, host: str, port: int | None, command: str) -> Server:
    """The server of the page, its address taken. Raises `UsageError`; `command` is named in it."""
    try:
        from batchgen.web.server import Server, listen
    except ImportError as error:
        raise UsageError(f"{command} needs the extra 'web': pip install 'batchgen[web]'") from error
    try:
        return Server(workspace, listen(host, port), host)
    except OSError as error:
        where = f"{host}:{port}" if port else host
        raise UsageError(f"can't listen on {where}: {error.strerror or error}; choose another --port") from error
