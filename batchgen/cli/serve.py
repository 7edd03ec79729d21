"""`batchgen serve`: the live page of a batch, on this machine alone unless told otherwise."""

from __future__ import annotations

import asyncio
import secrets
import socket
from pathlib import Path

import click

from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.errors import UsageError

_GRACE = 5
"""Seconds that open streams of news get at the end."""


@click.command("serve")
@workspace_argument
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Others than you may look and order then.")
@click.option("--port", default=8765, type=click.IntRange(0, 65535), metavar="N", help="0: any that is free.")
def command(place: Path, folder: Path | None, host: str, port: int) -> None:
    """Show WORKSPACE live in a browser: progress, pictures, every job; retry, cancel, pause. Ctrl-C ends it.

    The run goes on without it, and it goes on without a run.
    """
    workspace = existing_workspace(place, folder)
    try:
        import uvicorn

        from batchgen.web.app import application
    except ImportError as error:
        raise UsageError("serve needs the extra 'web': pip install 'batchgen[web]'") from error
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise UsageError(f"can't listen on {host}:{port}: {error.strerror}; choose another --port") from error
    with listening:
        bound = listening.getsockname()[1]
        names = {host, "127.0.0.1", "localhost"}
        if host not in ("127.0.0.1", "localhost"):
            names |= {socket.gethostname(), socket.getfqdn()}
        hosts = frozenset(f"{name.lower()}:{bound}" for name in names)
        app = application(workspace, hosts, secrets.token_urlsafe(24), lambda: server.should_exit)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE, server_header=False)
        server = uvicorn.Server(config)
        click.echo(f"http://{host}:{bound}/")
        click.echo(f"{workspace} is shown there until Ctrl-C", err=True)
        asyncio.run(server.serve(sockets=[listening]))
