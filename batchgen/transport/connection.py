"""One connection to one host, made with its first request: an exchange at a time, used again only after a whole answer.

It stands where the HTTP library's own connection would, with the same requests and the same errors, at half the
processor time. It repeats nothing.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import AsyncIterator
from typing import Final

import httpcore2

from batchgen.transport.answer import Answer, NoAnswer
from batchgen.transport.exchange import CONNECT_SECONDS, Request, Response, Route
from batchgen.transport.wire import Network, Stream

_READ: Final = 64 * 1024


class _State(enum.Enum):
    NEW = enum.auto()
    ACTIVE = enum.auto()
    IDLE = enum.auto()
    CLOSED = enum.auto()


class Connection:
    """A way to the host of `route`, with TLS if its scheme says so. See `Line`."""

    def __init__(self, route: Route, *, ssl_context: ssl.SSLContext) -> None:
        self._route = route
        self._ssl_context = ssl_context
        self._stream: Stream | None = None
        self._answer = Answer()
        self._state = _State.NEW

    @property
    def idle(self) -> bool:
        """Whether its last exchange came to a good end, so that another may follow."""
        return self._state is _State.IDLE

    @property
    def alive(self) -> bool:
        """Whether it is idle, and the other side has neither closed it nor sent what nobody asked for."""
        return self.idle and self._stream is not None and not self._stream.get_extra_info("is_readable")

    async def exchange(self, request: Request) -> Response:
        """Send it and wait for the head of the answer. Raises the library's errors."""
        if self._state not in (_State.NEW, _State.IDLE):
            raise httpcore2.ConnectionNotAvailable
        self._state = _State.ACTIVE
        answer, head = self._answer, _head(request)
        if self._stream is None:
            self._stream = await self._connected()
        answer.begin()
        await _send(self._stream, head, request)
        while not answer.head:
            await self.read(request.timeout)
        return Response(answer.status, answer.headers, _Body(self, answer, request.timeout))

    async def read(self, timeout: float) -> None:  # noqa: ASYNC109 - counted between bytes
        """Let the answer have what comes next. Raises the library's errors."""
        assert self._stream is not None
        data = await self._stream.read(_READ, timeout)
        try:
            if data:
                self._answer.feed(data)
            else:
                self._answer.end()
        except NoAnswer as error:
            raise httpcore2.RemoteProtocolError(str(error)) from error

    async def release(self) -> None:
        """The exchange is over."""
        if self._state is _State.ACTIVE and self._answer.reusable:
            self._state = _State.IDLE

    async def aclose(self) -> None:
        """Close at once, also when cancelled."""
        self._state = _State.CLOSED
        if self._stream is not None:
            await self._stream.aclose()

    async def _connected(self) -> Stream:
        stream = await Network().connect_tcp(self._route.address, self._route.port, CONNECT_SECONDS)
        if self._route.scheme == "http":
            return stream
        return await stream.start_tls(self._ssl_context, self._route.name, CONNECT_SECONDS)


class _Body(AsyncIterator[bytes]):
    """The body as it arrives."""

    def __init__(self, connection: Connection, answer: Answer, patience: float) -> None:
        self._connection = connection
        self._answer = answer
        self._patience = patience

    async def __anext__(self) -> bytes:
        while not self._answer.pieces:
            if self._answer.whole:
                raise StopAsyncIteration
            await self._connection.read(self._patience)
        return self._answer.pieces.popleft()


def _head(request: Request) -> bytes:
    """The request line and the headers. Raises `LocalProtocolError` for what they can't carry."""
    lines = [f"{request.method} {request.target} HTTP/1.1", *map(": ".join, request.headers.items())]
    head = "\r\n".join((*lines, "", ""))
    if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1 or "\0" in head:
        raise httpcore2.LocalProtocolError("a line break in a header")
    return head.encode()


async def _send(stream: Stream, head: bytes, request: Request) -> None:
    content, timeout = request.content, request.timeout
    try:
        await stream.write(head, timeout)
        if not isinstance(content, bytes):
            async for piece in content:
                await stream.write(piece, timeout)
        elif content:
            await stream.write(content, timeout)
    except httpcore2.WriteError:
        pass  # a server may answer, and close, before it has read everything: its answer counts
