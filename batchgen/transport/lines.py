"""Connections: one for each exchange, used again only after a whole reply, the one used last first.

The library's shared pool costs time in proportion to its connections, so every connection is a line of its
own. A line that is idle too long, or that the other side has closed, is never handed out again.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import anyio
import httpcore2
import httpx2 as httpx

from batchgen.errors import UsageError

# Shorter than the idle limit of common servers (5 s and more): a connection that the server has just
# closed turns a POST into one with an unknown outcome.
REUSE_SECONDS: Final = 4.0

_READ: Final = 1 << 20
"""At most so many bytes at a time; a socket gives less. The library asks for 64 KB, and pays for each piece."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a line leads: scheme and port, the IP address or host to connect to, and through which proxy.

    Lines to one address are told apart by `name`, the host that TLS has checked the certificate of.
    """

    scheme: str
    name: str
    address: str
    port: int
    proxy: str | None = None


Line: TypeAlias = httpcore2.AsyncHTTPConnection | httpcore2.AsyncHTTPProxy


@dataclass(slots=True)
class _Idle:
    line: Line
    since: float


class Lines:
    """All connections of a transport."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify
        self._idle: dict[Route, list[_Idle]] = {}
        self._open: set[Line] = set()

    async def take(self, route: Route) -> Line:
        """The line used last, which is the likeliest to be alive, or a new one. Raises `UsageError`."""
        while idle := self._idle.get(route):
            line = idle.pop().line
            if not _dead(line):
                return line
            await self._close(line)
        line = self._new(route)
        self._open.add(line)
        return line

    async def give_back(self, route: Route, line: Line) -> None:
        """After an exchange, however it ended; also closes what has been idle for too long."""
        if line not in self._open:
            return
        if isinstance(line, httpcore2.AsyncHTTPConnection) and not line.is_available():
            await self._close(line)
            return
        now = anyio.current_time()
        self._idle.setdefault(route, []).append(_Idle(line, now))
        for key, idle in list(self._idle.items()):
            # The one used last is at the end, so the oldest is in front.
            while idle and now - idle[0].since > REUSE_SECONDS:
                await self._close(idle.pop(0).line)
            if not idle:
                del self._idle[key]

    async def aclose(self) -> None:
        """Close every line, those in use too."""
        self._idle.clear()
        while self._open:
            await self._open.pop().aclose()

    async def _close(self, line: Line) -> None:
        self._open.discard(line)
        await line.aclose()

    def _new(self, route: Route) -> Line:
        if route.proxy is None:
            origin = httpcore2.Origin(route.scheme.encode(), route.address.encode(), route.port)
            return httpcore2.AsyncHTTPConnection(
                origin, ssl_context=self._verify, keepalive_expiry=REUSE_SECONDS, network_backend=_Network()
            )
        try:
            proxy = httpx.Proxy(route.proxy)
            if proxy.url.scheme not in ("http", "https"):
                raise ValueError("another kind of proxy")
        except (ValueError, httpx.InvalidURL) as error:
            raise UsageError("the environment's proxy can't be used, only http and https ones") from error
        return httpcore2.AsyncHTTPProxy(
            httpcore2.URL(scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/"),
            proxy_auth=proxy.raw_auth,
            ssl_context=self._verify,
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=REUSE_SECONDS,
            network_backend=_Network(),
        )


def _dead(line: Line) -> bool:
    """Whether the other side has closed it; a proxy's line finds that out by itself."""
    return isinstance(line, httpcore2.AsyncHTTPConnection) and (line.has_expired() or not line.is_available())


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that sends the head of a request together with its body, and reads all there is."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head: bytes | None = None
        self._begins = True

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the library's
        if self._begins:
            self._begins, self._head = False, buffer
            return
        head, self._head = self._head or b"", None
        await self._stream.write(head + buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's
        if self._head is not None:
            head, self._head = self._head, None
            await self._stream.write(head, timeout)
        self._begins = True
        return await self._stream.read(max(max_bytes, _READ), timeout)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:  # cancelled too: the library closes it after errors only
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:  # Any: the library's own type
        return self._stream.get_extra_info(info)


class _Network(httpcore2.AnyIOBackend):
    """The library's way to the network, with our streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(host, port, timeout, local_address, socket_options))
