"""The live page as a server: takes an address of this machine, answers there, and ends when it is told to.

Runs in the thread that calls it (`batchgen serve`) or beside a run in one of its own (`run --ui`), where it
harms nobody: a run doesn't wait for it, and what goes wrong in it goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from batchgen.ledger.records import Status
from batchgen.sinks import NullSink
from batchgen.web.app import application
from batchgen.web.guard import Door, owner

PORT: Final = 8765
"""Tried first, where nobody names a port."""

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

_GRACE: Final = 5
"""Seconds that open streams of news get at the end."""

log = logging.getLogger(__name__)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at that address. Without a port: the usual one, or any that is free when it is taken.

    Raises `OSError`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is not None:
        return socket.create_server((host, port), family=family)
    try:
        return socket.create_server((host, PORT), family=family)
    except OSError:
        return socket.create_server((host, 0), family=family)


class Server:
    """The page of one workspace at one socket."""

    def __init__(self, workspace: Path, listening: socket.socket, host: str) -> None:
        port = listening.getsockname()[1]
        self._listening = listening
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        token = secrets.token_urlsafe(24)
        app = application(workspace, _door(host, listening), token, lambda: self._server.should_exit)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                ws="none",
                lifespan="on",
                server_header=False,
                # Whoever asks may not say who he is: the guard goes by the connection.
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    def serve(self) -> None:
        """Answer until `leave` is called or, in the main thread, until Ctrl-C."""
        with self._listening:
            asyncio.run(self._server.serve(sockets=[self._listening]))

    def leave(self) -> None:
        """End soon; from any thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Give the address back, where nothing was ever answered."""
        self._listening.close()


class Beside(NullSink):
    """The page beside a run: there from the run's beginning until the run is over. Watches as a sink."""

    def __init__(self, server: Server, announce: Callable[[], None]) -> None:
        self._server = server
        self._announce = announce
        self._thread = threading.Thread(target=self._serve, name="live page", daemon=True)

    def started(self, total: int, status: Status) -> None:
        """The ledger is there now."""
        if not self._thread.ident:
            self._thread.start()
            self._announce()

    def close(self) -> None:
        """The run is over, or never began."""
        if self._thread.ident:
            self._server.leave()
            self._thread.join(_GRACE + 1)
        else:
            self._server.close()

    def _serve(self) -> None:
        try:
            self._server.serve()
        except Exception:  # whatever it is, the run goes on without a page
            log.exception("the live page ended")


def _door(host: str, listening: socket.socket) -> Door:
    """Who may come in by which name: with an address that others reach, others too."""
    port: int = listening.getsockname()[1]
    if host in LOOPBACK:
        return Door(names=frozenset(LOOPBACK), port=port, uid=_account(listening))
    names = {host, *LOOPBACK, socket.gethostname(), socket.getfqdn()}
    return Door(names=frozenset(name.lower() for name in names), port=port, addresses=True)


def _account(listening: socket.socket) -> int | None:
    """The account of this process, where the system tells whose a connection is; None where it doesn't."""
    with socket.create_connection(listening.getsockname()[:2]) as one:
        told = owner(one.getsockname()[:2], one.getpeername()[:2])
    return told if told == os.geteuid() else None
