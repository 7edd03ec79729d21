"""The simulated provider on a real socket: connections, HTTP parsing, and replies with all their faults.

What to answer is decided in provider.py; here bytes come and go, in pieces, with pauses, and to the
ending that a reply names. Leaving the context closes everything at once, stalled connections too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import h11

from batchgen.simulator.account import Counts
from batchgen.simulator.exchange import Ending, Reply, Request
from batchgen.simulator.memory import Memory
from batchgen.simulator.pictures import Gallery
from batchgen.simulator.provider import Provider
from batchgen.simulator.settings import SimulatorSettings

_BODY_LIMIT = 128 * 1024 * 1024
_BACKLOG = 4096
_READ = 256 * 1024

_Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running server."""

    host: str
    port: int
    counts: Counts
    """live; the same as JSON at GET /_counts"""

    def url(self, dialect: str, name: str | None = None) -> str:
        """The base URL for a provider of this dialect, and of this name in the settings."""
        return f"http://{self.host}:{self.port}/{dialect}{f'/{name}' if name else ''}/v1"


@asynccontextmanager
async def simulate(
    settings: Mapping[str, SimulatorSettings] | SimulatorSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    memory: Path | None = None,
) -> AsyncIterator[Simulator]:
    """Serve until the context is left.

    `settings` hold for all providers, or each for the provider name (`/dialect/name/v1`) or dialect that
    it stands under. `port` 0 takes any free one; with `memory`, a file of JSON lines, first the one that
    was last used with it, and its tasks and links are known again. Raises OSError when the port is taken.
    """
    remembered = Memory(memory)
    gallery = Gallery()
    everyone = {"": settings} if isinstance(settings, SimulatorSettings) else settings
    desk = _Desk(Provider(everyone, remembered, gallery))
    try:
        server = await _listen(desk.talk, host, port, remembered.port)
        try:
            port = server.sockets[0].getsockname()[1]
            remembered.listening(port)
            desk.provider.origin = f"http://{host}:{port}"
            yield Simulator(host, port, desk.provider.counts)
        finally:
            server.close()
            await desk.close()
            await server.wait_closed()
    finally:
        gallery.close()
        remembered.close()


async def _listen(talk: _Talk, host: str, port: int, usual: int | None) -> asyncio.Server:
    """Listen on `port`; when any will do, on the usual one if it is free."""
    if port == 0 and usual is not None:
        with contextlib.suppress(OSError):
            return await asyncio.start_server(talk, host, usual, backlog=_BACKLOG, limit=_READ)
    return await asyncio.start_server(talk, host, port, backlog=_BACKLOG, limit=_READ)


class _Desk:
    """Keeps count of the open conversations, to be able to end them."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._talks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, in a task of its own."""
        task = asyncio.current_task()
        try:
            if task is not None and not self._closed:
                self._talks.add(task)
                await _Connection(self.provider, reader, writer).run()
        except (ConnectionError, h11.RemoteProtocolError, h11.LocalProtocolError):
            pass  # the client left or speaks no HTTP; there is nobody to tell
        except asyncio.CancelledError:
            # Only close() cancels, and awaits this task; asyncio's own callback would print a traceback.
            pass
        finally:
            if task is not None:
                self._talks.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        """End every conversation now; one that is only just beginning ends itself."""
        self._closed = True
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)


class _Connection:
    """One client's connection, request after request."""

    def __init__(
        self, provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._provider = provider
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Answer until either side ends the connection."""
        while isinstance(head := await self._next_event(), h11.Request):
            request = Request(
                method=head.method.decode(),
                target=head.target.decode("latin-1"),
                headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
            )
            visit = self._provider.arrive(request)
            if "refuse" in visit.faults:
                self._provider.counts.faults["refuse"] += 1
                return self._reset()
            body = await self._body()
            with self._provider.flight(visit):
                alive = await self._send(await self._provider.answer(visit, body), request.method)
            if not alive:
                return None
            if self._http.our_state is h11.MUST_CLOSE:
                return await self._close()
            self._http.start_next_cycle()
        return None

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._writer.write(
                    self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                )
            self._http.receive_data(await self._reader.read(_READ))
        return event

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > _BODY_LIMIT:
                raise h11.RemoteProtocolError("body too large")
        return bytes(body)

    async def _send(self, reply: Reply, method: str) -> bool:
        """Write the reply; tell whether the connection may be used again."""
        if reply.wait and await self._left_within(reply.wait):
            return False
        if not reply.mute:
            framing = [] if reply.length is None else [("Content-Length", str(reply.length))]
            response = h11.Response(status_code=reply.status, headers=[*reply.headers, *framing])
            # Headers wait for the first piece only when that one is ready too.
            unsent = self._http.send(response) or b""
            for piece in reply.pieces if method != "HEAD" else ():
                if piece.pause:
                    await self._write(unsent)
                    unsent = b""
                    if await self._left_within(piece.pause):
                        return False
                await self._write(unsent + (self._http.send(h11.Data(data=piece.data)) or b""))
                unsent = b""
            if reply.ending is Ending.WHOLE:
                unsent += self._http.send(h11.EndOfMessage()) or b""
            await self._write(unsent)
        return await self._end(reply.ending)

    async def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _end(self, ending: Ending) -> bool:
        if ending is Ending.CLOSE:
            await self._close()
        elif ending is Ending.RESET:
            self._reset()
        elif ending is Ending.SILENCE:
            await self._left_within(None)
        return ending is Ending.WHOLE

    async def _close(self) -> None:
        """Send what is left, then FIN."""
        self._writer.close()
        await self._writer.wait_closed()

    def _reset(self) -> None:
        """RST instead of FIN, by a linger time of zero."""
        connected: socket.socket = self._writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _left_within(self, seconds: float | None) -> bool:
        """Wait so long (None: without end) and tell whether the client left meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(_READ):
                    self._http.receive_data(data)  # a request that did not wait for its turn
            return True
        return False
