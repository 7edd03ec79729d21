"""One TCP connection, plain or with TLS, as the HTTP library wants it.

An asyncio protocol of our own beneath, because every layer is paid for with every piece of a body. Errors are
the library's classes, by which the transport tells *not sent* from *perhaps sent*.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import ssl
import sys
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, cast

import anyio
import anyio.abc
import httpcore2
from anyio.lowlevel import cancel_shielded_checkpoint
from anyio.streams.tls import TLSAttribute, TLSStream

_ENOUGH: Final = 1 << 20
"""Bytes that wait to be read, from which on the other side has to wait too."""

_NEXT_ADDRESS: Final = 0.25
"""Seconds before a name's next address is tried beside the first."""


class _Landing(threading.local):
    """Where each thread lets bytes come in: asyncio's own reading takes twice as many calls of the system."""

    def __init__(self) -> None:
        self.place = memoryview(bytearray(_ENOUGH))


_landing: Final = _Landing()


class Wire(asyncio.BufferedProtocol, anyio.abc.ByteStream):
    """The bytes of one connection, for one reader and one writer at a time.

    `patience` is how many seconds a call may wait for the other side before `TimeoutError`.
    """

    def __init__(self) -> None:
        self.patience: float | None = None
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: Exception | None = None
        self._held_back = False
        self._full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def stirs(self) -> bool:
        """Whether bytes, or the end of the connection, came, be it that nobody has noticed yet."""
        if self._ended or self._pieces or self._transport is None:
            return True
        return _readable(self._transport.get_extra_info("socket").fileno())

    async def receive(self, max_bytes: int = 0) -> bytes:
        """All that came since the last call, whatever `max_bytes` says.

        Raises `EndOfStream`, `BrokenResourceError` (a reset), `TimeoutError`.
        """
        if not self._ended and not self._pieces:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._patiently(self._reader)
            finally:
                self._reader = None
        if not self._pieces:
            raise anyio.EndOfStream if self._error is None else anyio.BrokenResourceError from self._error
        whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        if self._held_back and self._transport is not None:
            self._held_back = False
            self._transport.resume_reading()
        return whole

    async def send(self, item: bytes) -> None:
        """Hand bytes over; returns when there is room for more. Raises `BrokenResourceError`, `TimeoutError`."""
        if self._transport is None or self._transport.is_closing():
            raise anyio.BrokenResourceError
        self._transport.write(item)
        if self._full:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._patiently(self._writer)
            finally:
                self._writer = None

    async def send_eof(self) -> None:
        """Never needed: a request ends where its length says."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close at once; what has not left yet is dropped."""
        if self._transport is not None:
            self._transport.abort()
            await cancel_shielded_checkpoint()  # the socket itself is closed in the loop's next turn

    async def _patiently(self, future: asyncio.Future[None]) -> None:
        if self.patience is None:
            await future
            return
        # A timer is a third of the price of a cancel scope, and there are two of them to each request.
        timer = asyncio.get_running_loop().call_later(self.patience, _give_up, future)
        try:
            await future
        finally:
            timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        # Not asserted: that of uvloop is one in all but name.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where bytes may be put. They are taken from there before anybody else is asked."""
        return _landing.place

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes came."""
        self._pieces.append(bytes(_landing.place[:nbytes]))
        self._unread += nbytes
        if self._unread >= _ENOUGH and not self._held_back and self._transport is not None:
            self._held_back = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """asyncio: the other side sends no more. True: it may still read."""
        self._ended = True
        _wake(self._reader)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone; what came before can still be read."""
        self._ended, self._error = True, self._error or exc
        _wake(self._reader)
        if self._writer is not None and not self._writer.done():
            self._writer.set_exception(anyio.BrokenResourceError())

    def pause_writing(self) -> None:
        """asyncio: the other side takes no more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """asyncio: it does again."""
        self._full = False
        _wake(self._writer)


def _readable(descriptor: int) -> bool:
    if descriptor < 0:
        return True  # closed
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _give_up(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


class Stream(httpcore2.AsyncNetworkStream):
    """A wire with the library's errors. The head of a request leaves together with its body."""

    def __init__(self, wire: Wire, tls: TLSStream | None = None) -> None:
        self._wire = wire
        self._ssl: ssl.SSLObject | None = tls.extra(TLSAttribute.ssl_object) if tls is not None else None
        self._bytes: anyio.abc.ByteStream = tls or wire
        self._head: bytes | None = None
        self._begins = True

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the library's
        """Send; the first piece after a `read` is kept for the next call."""
        if self._begins:
            self._begins, self._head = False, buffer
            return
        head, self._head = self._head or b"", None
        self._wire.patience = timeout
        try:
            await self._bytes.send(head + buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout from error
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError) as error:
            raise httpcore2.WriteError from error

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's
        """What there is, at least one byte; nothing at the end."""
        if self._head is not None:
            await self.write(b"", timeout)
        self._begins = True
        self._wire.patience = timeout
        try:
            first = await self._bytes.receive(_ENOUGH)
            return first if self._ssl is None else first + _decrypted(self._ssl)
        except anyio.EndOfStream:
            return b""
        except TimeoutError as error:
            raise httpcore2.ReadTimeout from error
        except (anyio.BrokenResourceError, ssl.SSLError) as error:
            raise httpcore2.ReadError from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
    ) -> Stream:
        """Speak TLS from here on; closes the connection when that fails."""
        self._wire.patience = None
        try:
            with anyio.fail_after(timeout):
                tls = await TLSStream.wrap(
                    self._bytes, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False
                )
            return Stream(self._wire, tls)
        except BaseException as error:  # cancelled too
            await self.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout from error
            if isinstance(error, anyio.BrokenResourceError | anyio.EndOfStream | ssl.SSLError):
                raise httpcore2.ConnectError from error
            raise

    async def aclose(self) -> None:
        """Close at once."""
        await self._wire.aclose()

    def get_extra_info(self, info: str) -> Any:  # Any: the library's own type
        """What the library asks for: `is_readable` and `ssl_object`."""
        if info == "is_readable":
            return self._wire.stirs()
        return self._ssl if info == "ssl_object" else None


def _decrypted(tls: ssl.SSLObject) -> bytes:
    """What else of the bytes that came can be read at once: TLS hands out 16 KB at a time."""
    pieces = []
    try:
        while piece := tls.read(_ENOUGH):
            pieces.append(piece)
    except ssl.SSLWantReadError:
        pass  # the rest of a record is still under way
    return b"".join(pieces)


class Network(httpcore2.AsyncNetworkBackend):
    """The library's way to the network."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> Stream:
        """Connect to a name or an address."""
        loop = asyncio.get_running_loop()
        try:
            with anyio.fail_after(timeout):
                if isinstance(loop, asyncio.BaseEventLoop):
                    _, wire = await loop.create_connection(Wire, host, port, happy_eyeballs_delay=_delay(host))
                else:  # uvloop, on which Ray runs where it is installed, tries one address after the other
                    _, wire = await loop.create_connection(Wire, host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            raise httpcore2.ConnectError from error
        return Stream(wire)


def _delay(host: str) -> float | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _NEXT_ADDRESS
    return None  # there is no other address to try
