"""HTTP: sends one `Call` and hands back the head and then the body as it arrives.

Only this package imports the HTTP library. It follows no redirect, keeps no cookie, repeats
nothing, and turns every error of the library into one of two leaves: `NotSent` (nothing left this
machine) or `Interrupted` (it may have arrived). Which one decides whether a paid request may be repeated.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
import unicodedata
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpcore2
import httpx2 as httpx

from batchgen.codecs.base import Call
from batchgen.errors import BadKey, Interrupted, JobError, NotSent, UsageError
from batchgen.transport.exchange import CONNECT_SECONDS, Line, Request, Response, Route
from batchgen.transport.lines import Lines

_SLICE: Final = 64 * 1024
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_URL: Final = re.compile(r"(?i)(https?)://([^/?#]*)([^#]*)")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@\\\s]+)(?::(\d{1,5}))?")
_HOST: Final = re.compile(r"[a-z0-9._-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")

# The library writes full URLs, and with them signatures, at INFO.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a reply; header names are lower-case, repeated ones joined with commas."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart once, for the check and for the connection alike.

    `host` is ASCII and lower-case, without brackets; `target` (path and query) stands as it was
    written, except that bytes which HTTP cannot carry are percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def netloc(self) -> str:
        """What the Host header says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == self.default_port else f"{host}:{self.port}"

    @property
    def default_port(self) -> int:
        """The port of the scheme."""
        return 443 if self.scheme == "https" else 80


@lru_cache(maxsize=256)
def split_url(url: str) -> Address:
    """Take an http(s) URL apart without changing it. Raises `NotSent` for anything else."""
    whole = _URL.match(url.strip())
    if whole is None:
        raise NotSent("not an http(s) address")
    if "@" in whole[2]:
        raise NotSent("the address holds credentials before the host")
    authority = _AUTHORITY.fullmatch(whole[2])
    if authority is None:
        raise NotSent("the address has no usable host")
    scheme = whole[1].lower()
    port = int(authority[2] or (443 if scheme == "https" else 80))
    if not 0 < port < 65536:
        raise NotSent("the address has no usable port")
    target = quote(whole[3] or "/", safe=_VISIBLE)
    return Address(scheme, _ascii_host(authority[1]), port, target if target[0] == "/" else "/" + target)


def _ascii_host(host: str) -> str:
    # NFKC first, as browsers do: full-width digits and dots are another spelling of the same host.
    plain = unicodedata.normalize("NFKC", host).lower()
    if host.startswith("["):
        return plain[1:-1]
    try:
        if not plain.isascii():
            plain = httpx.URL(scheme="http", host=plain).raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise NotSent("the address has no usable host") from error
    if not _HOST.fullmatch(plain):
        raise NotSent("the address has no usable host")
    return plain


# What happened, in words, by class. Before: the library raises these while it makes the connection
# or builds the request line, and never afterwards.
BEFORE_SENDING: Final[Mapping[type[Exception], str]] = {
    httpcore2.ConnectError: "no connection to {host}",
    httpcore2.ConnectTimeout: f"no connection to {{host}} within {CONNECT_SECONDS:g} s",
    httpcore2.PoolTimeout: "no free connection to {host}",
    httpcore2.ProxyError: "the proxy makes no connection to {host}",
    httpcore2.UnsupportedProtocol: "not an http(s) address",
    httpcore2.ConnectionNotAvailable: "no free connection to {host}",
    httpcore2.LocalProtocolError: "the request to {host} can't be written as HTTP",
}
AFTER_SENDING: Final[Mapping[type[Exception], str]] = {
    httpcore2.ReadTimeout: "{host} sent nothing for {timeout:g} s",
    httpcore2.WriteTimeout: "{host} took nothing for {timeout:g} s",
    httpcore2.ReadError: "the connection to {host} broke",
    httpcore2.WriteError: "the connection to {host} broke",
    httpcore2.RemoteProtocolError: "{host} closed the connection before its answer was whole",
    httpx.DecodingError: "the compressed answer of {host} can't be read",
}


def translate(error: Exception, host: str, timeout: float) -> JobError:
    """The leaf for an error of the HTTP library; one that is not known counts as sent.

    The library's own text is left out: it may quote headers, and with them the key.
    """
    for kind, words in BEFORE_SENDING.items():
        if isinstance(error, kind):
            return NotSent(words.format(host=host) + _reason(error))
    for kind, words in AFTER_SENDING.items():
        if isinstance(error, kind):
            return Interrupted(words.format(host=host, timeout=timeout))
    return Interrupted(f"the exchange with {host} failed: {type(error).__name__}")


def _reason(error: BaseException) -> str:
    """What the operating system or TLS said; these texts hold no header and no URL."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f": {cause.verify_message}"
    return f": {cause.strerror}" if cause is not None and cause.strerror else ""


class _Slices:
    """A body in pieces, so that the write time-out counts between pieces and not over a long upload."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _SLICE):
            yield self._body[start : start + _SLICE]


class _Compressed(httpx.AsyncByteStream):
    """The body of a reply as the library's decoders take it."""

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


def _trusting() -> ssl.SSLContext:
    """TLS with the certificates of this machine, or those that `SSL_CERT_FILE` or `SSL_CERT_DIR` names."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        where = "the certificates that SSL_CERT_FILE or SSL_CERT_DIR names"
        raise UsageError(f"{where} can't be read: {error.strerror or error}") from error


class Transport:
    """Sends calls, each on a connection of its own that is reused only after a whole reply (transport/lines.py).

    `proxies` has the keys `http`, `https`, `all`, `no`; None takes the environment's. Loopback is never
    sent through a proxy. `clock` tells seconds, by which a connection grows old. Raises `UsageError` when the
    certificates can't be read.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | None = None,
        proxies: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxies = dict(urllib.request.getproxies() if proxies is None else proxies)
        self._lines = Lines(verify if verify is not None else _trusting(), clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._lines.aclose()

    def proxied(self, url: str) -> bool:
        """Whether `url` goes through a proxy, which resolves its host by itself."""
        try:
            return self._proxy_for(split_url(url)) is not None
        except NotSent:
            return False

    def _proxy_for(self, address: Address) -> str | None:
        proxy = self._proxies.get(address.scheme) or self._proxies.get("all")
        if not proxy or address.host in ("localhost", "::1") or address.host.startswith("127."):
            return None
        for exempt in self._proxies.get("no", "").lower().split(","):
            name = exempt.strip().removeprefix("*").removeprefix(".")
            if exempt.strip() == "*" or (name and f".{address.host}".endswith(f".{name}")):
                return None
        return proxy if "://" in proxy else f"http://{proxy}"

    async def send(
        self,
        call: Call,
        *,
        timeout: float,  # noqa: ASYNC109 - counted between bytes, which no scope around the call can do
        authorization: str | None = None,
        pin: str | None = None,
    ) -> AsyncGenerator[Head | bytes, None]:
        """Send `call`; yield its `Head`, then the body in pieces of any size, decompressed.

        `timeout` is in seconds and counts between bytes, not over the whole exchange. `authorization` is the
        value of that header. `pin` is the IP address to connect to, while Host and TLS go on naming the
        URL's host; a request that goes through a proxy ignores it. Close the iterator (`aclosing`) when
        you leave it early: its connection is closed then, otherwise kept for the next call. Raises
        `NotSent`, `Interrupted`, `BadKey` (a key that no header can carry), `UsageError` (an unusable proxy).
        """
        if authorization is not None and not _HEADER_VALUE.fullmatch(authorization):
            raise BadKey("the key holds a character that no header can carry, such as a line break")
        address = split_url(call.url)
        proxy = self._proxy_for(address)
        pin = None if proxy else pin
        route = Route(address.scheme, address.host, pin or address.host, address.port, proxy)
        line = await self._lines.take(route)
        try:
            try:
                request = _request(call, address, authorization=authorization, timeout=timeout)
                response = await line.exchange(request)
                head = Head(response.status, _headers(response.headers))
                yield head
                async for piece in _body(head, response):
                    yield piece
            finally:
                await self._end(route, line)
        except Exception as error:  # the library lets some foreign ones through; each must become a leaf
            raise translate(error, address.host, timeout) from error

    async def _end(self, route: Route, line: Line) -> None:
        try:
            await line.release()
        finally:
            for spent in self._lines.give_back(route, line):
                await self._lines.close(spent)


def _request(call: Call, address: Address, *, authorization: str | None, timeout: float) -> Request:
    headers = {"host": address.netloc, "user-agent": "batchgen", "accept": "*/*", "accept-encoding": "identity"}
    headers.update((name.lower(), value) for name, value in call.headers.items())
    content: bytes | AsyncIterable[bytes] = b""
    if call.content_type is not None:
        headers["content-type"] = call.content_type
    if authorization is not None:
        headers["authorization"] = authorization
    if call.body is not None:
        headers["content-length"] = str(len(call.body))
        content = call.body if len(call.body) <= _SLICE else _Slices(call.body)
    elif call.parts:
        files = [(part.name, (part.filename, part.data, part.mime)) for part in call.parts]
        form = httpx.Request(call.method, "http://form", files=files)
        headers.update((name, form.headers[name]) for name in ("content-type", "content-length"))
        assert isinstance(form.stream, httpx.AsyncByteStream)
        content = form.stream
    # The target is handed over raw: a signature covers the query byte for byte.
    return Request(call.method, address.target, headers, content, timeout)


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), _text(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _body(head: Head, response: Response) -> AsyncIterator[bytes]:
    """The body as it arrives, decompressed where it came compressed without being asked."""
    if head.headers.get("content-encoding", "identity") == "identity":
        return response.body
    stream = _Compressed(response.body)
    return httpx.Response(head.status, headers=list(response.headers), stream=stream).aiter_bytes()
