"""A server on 127.0.0.1 that answers with exactly the bytes a test gives it, faults included."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self, TypeAlias


class Then(Enum):
    """What the server does after its bytes."""

    KEEP = "keeps the connection for the next request"
    CLOSE = "closes it in good order"
    RESET = "breaks it with a reset"
    HANG = "keeps silent"


Script: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """Bytes to send as they are, or a script that sends them; and what comes after."""

    data: bytes | Script
    then: Then = Then.KEEP


def http(status: int, body: bytes = b"", then: Then = Then.KEEP, **headers: str) -> Answer:
    """A well-formed answer; `_` in a header's name stands for `-`. Content-Length unless given."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if "Transfer-Encoding" not in named:
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return Answer("\r\n".join(lines).encode() + body, then)


@contextmanager
def unheard() -> Iterator[int]:
    """A port of this machine at which nobody listens; nobody else can take it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@dataclass
class Loopback:
    """Answers one request after the other from `answers`; the last one is repeated.

    `requests` are the raw bytes that came, `asked` is set with the first of them.
    """

    answers: list[Answer]
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def url(self, path: str = "/a.png") -> str:
        """An address here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def header(self, number: int, name: str) -> str | None:
        """A header of the request with this number."""
        head = self.requests[number].split(b"\r\n\r\n")[0].decode("latin-1")
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None

    def target(self, number: int) -> str:
        """What stood between method and version."""
        return self.requests[number].split(b"\r\n")[0].decode("latin-1").split(" ")[1]

    async def __aenter__(self) -> Self:
        self._stop = asyncio.Event()
        self.asked = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self._open.discard(task)

    async def disconnected(self) -> None:
        """Until every connection has been closed from this side."""
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.requests.append(head + await reader.readexactly(length))
        self.asked.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer.data, bytes):
            writer.write(answer.data)
            await writer.drain()
        else:
            await answer.data(writer)
        if answer.then is Then.HANG:
            await self._stop.wait()
        if answer.then is Then.RESET:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return answer.then is Then.KEEP
