"""One connection to one host, made with its first request: an exchange at a time, used again only after a whole answer.

It stands where the HTTP library's own connection would, with the same requests and the same errors, at half the
processor time. It repeats nothing.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import AsyncIterable
from typing import Final, Self

import httpcore2

from batchgen.transport.answer import Answer, NoAnswer
from batchgen.transport.wire import Network, Stream

_READ: Final = 64 * 1024


class _State(enum.Enum):
    NEW = enum.auto()
    ACTIVE = enum.auto()
    IDLE = enum.auto()
    CLOSED = enum.auto()


class Connection:
    """A way to `origin`, with TLS if its scheme says so."""

    def __init__(self, origin: httpcore2.Origin, *, ssl_context: ssl.SSLContext) -> None:
        self._origin = origin
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

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send it and wait for the head of the answer; close the response in any case. Raises the library's errors."""
        if self._state not in (_State.NEW, _State.IDLE):
            raise httpcore2.ConnectionNotAvailable
        self._state = _State.ACTIVE
        patience = request.extensions["timeout"]
        try:
            head = _head(request)
            if self._stream is None:
                self._stream = await self._connected(request, patience["connect"])
            self._answer.begin()
            await _send(self._stream, head, request, patience["write"])
            while not self._answer.head:
                await self.read(patience["read"])
        except BaseException:  # cancelled too
            await self.aclose()
            raise
        body = _Body(self, self._answer, patience["read"])
        return httpcore2.Response(self._answer.status, headers=self._answer.headers, content=body)

    async def read(self, timeout: float | None) -> None:  # noqa: ASYNC109 - counted between bytes
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
        """The exchange is over: ready for the next one, or closed."""
        if self._state is _State.ACTIVE:
            if self._answer.reusable:
                self._state = _State.IDLE
            else:
                await self.aclose()

    async def aclose(self) -> None:
        """Close at once, also when cancelled."""
        self._state = _State.CLOSED
        if self._stream is not None:
            await self._stream.aclose()

    async def _connected(self, request: httpcore2.Request, timeout: float) -> Stream:  # noqa: ASYNC109 - as above
        stream = await Network().connect_tcp(self._origin.host.decode("ascii"), self._origin.port, timeout)
        if self._origin.scheme != b"https":
            return stream
        return await stream.start_tls(self._ssl_context, request.extensions["sni_hostname"], timeout)


class _Body:
    """The body as it arrives."""

    def __init__(self, connection: Connection, answer: Answer, patience: float | None) -> None:
        self._connection = connection
        self._answer = answer
        self._patience = patience

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._answer.pieces:
            if self._answer.whole:
                raise StopAsyncIteration
            await self._connection.read(self._patience)
        return self._answer.pieces.popleft()

    async def aclose(self) -> None:
        """The exchange is over, be it that nobody read to the end."""
        await self._connection.release()


def _head(request: httpcore2.Request) -> bytes:
    """The request line and the headers. Raises `LocalProtocolError` for what they can't carry."""
    lines = [b"%b %b HTTP/1.1" % (request.method, request.url.target)]
    lines += [b"%b: %b" % header for header in request.headers]
    head = b"\r\n".join((*lines, b"", b""))
    if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1 or b"\0" in head:
        raise httpcore2.LocalProtocolError("a line break in a header")
    return head


async def _send(stream: Stream, head: bytes, request: httpcore2.Request, timeout: float) -> None:  # noqa: ASYNC109 - as above
    assert isinstance(request.stream, AsyncIterable)
    try:
        await stream.write(head, timeout)
        async for piece in request.stream:
            await stream.write(piece, timeout)
    except httpcore2.WriteError:
        pass  # a server may answer, and close, before it has read everything: its answer counts
