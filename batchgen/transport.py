"""HTTP: sends one `Call` and hands back the head and then the body as it arrives.

The only file that imports the HTTP library. It follows no redirect, keeps no cookie, repeats
nothing, and turns every error of the library into one of two leaves: `NotSent` (nothing left this
machine) or `Interrupted` (it may have arrived). Which one decides whether a paid request may be repeated.
"""

from __future__ import annotations

import logging
import re
import ssl
import unicodedata
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import quote

import anyio
import httpx2 as httpx

from batchgen.codecs.base import Call
from batchgen.errors import BadKey, Interrupted, JobError, NotSent, UsageError

CONNECT_SECONDS: Final = 15.0
# Shorter than the idle limit of common servers (5 s and more): a connection that the server has just
# closed turns a POST into one with an unknown outcome.
REUSE_SECONDS: Final = 4.0
_SLICE: Final = 64 * 1024
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_URL: Final = re.compile(r"(?i)(https?)://([^/?#]*)([^#]*)")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@\\\s]+)(?::(\d{1,5}))?")
_HOST: Final = re.compile(r"[a-z0-9._-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_SOCKET: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=REUSE_SECONDS)

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
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


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
    httpx.ConnectError: "no connection to {host}",
    httpx.ConnectTimeout: f"no connection to {{host}} within {CONNECT_SECONDS:g} s",
    httpx.PoolTimeout: "no free connection to {host}",
    httpx.ProxyError: "the proxy makes no connection to {host}",
    httpx.UnsupportedProtocol: "not an http(s) address",
    httpx.InvalidURL: "not a usable address",
    httpx.LocalProtocolError: "the request to {host} can't be written as HTTP",
}
AFTER_SENDING: Final[Mapping[type[Exception], str]] = {
    httpx.ReadTimeout: "{host} sent nothing for {timeout:g} s",
    httpx.WriteTimeout: "{host} took nothing for {timeout:g} s",
    httpx.ReadError: "the connection to {host} broke",
    httpx.WriteError: "the connection to {host} broke",
    httpx.CloseError: "the connection to {host} broke",
    httpx.RemoteProtocolError: "{host} closed the connection before its answer was whole",
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


class _Slices(httpx.AsyncByteStream):
    """A body in pieces, so that the write time-out counts between pieces and not over a long upload."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _SLICE):
            yield self._body[start : start + _SLICE]


_Route: TypeAlias = tuple[str, str, int, str | None, str | None]


@dataclass(slots=True)
class _Idle:
    line: httpx.AsyncHTTPTransport
    since: float


class Transport:
    """Sends calls, each on a connection of its own that is reused only after a whole reply.

    One connection per library transport ("striped"), the last used first: the library's shared pool
    costs time in proportion to its connections. `proxies` has the keys `http`, `https`, `all`, `no`;
    None takes the environment's. Loopback is never sent through a proxy.
    """

    def __init__(
        self, *, verify: ssl.SSLContext | None = None, proxies: Mapping[str, str] | None = None
    ) -> None:
        self._verify = verify if verify is not None else httpx.create_ssl_context()
        self._proxies = dict(urllib.request.getproxies() if proxies is None else proxies)
        self._idle: dict[_Route, list[_Idle]] = {}
        self._lines: set[httpx.AsyncHTTPTransport] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._idle.clear()
        with anyio.CancelScope(shield=True):
            while self._lines:
                await self._lines.pop().aclose()

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
        route: _Route = (address.scheme, address.host, address.port, pin, proxy)
        line = await self._take(route)
        try:
            request = _request(call, address, authorization=authorization, pin=pin, timeout=timeout)
            response = await line.handle_async_request(request)
            try:
                yield Head(response.status_code, dict(response.headers.items()))
                # No chunk size: buffering anew costs 40 % of a download's speed.
                async for piece in response.aiter_bytes():
                    yield piece
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        except Exception as error:  # the library lets some foreign ones through; each must become a leaf
            raise translate(error, address.host, timeout) from error
        finally:
            with anyio.CancelScope(shield=True):
                await self._give_back(route, line)

    async def _take(self, route: _Route) -> httpx.AsyncHTTPTransport:
        """The line used last: the likeliest to be alive. The library checks that before it writes."""
        if idle := self._idle.get(route):
            return idle.pop().line
        proxy = route[4]
        try:
            line = httpx.AsyncHTTPTransport(verify=self._verify, limits=_SOCKET, proxy=proxy)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise UsageError("the environment's proxy can't be used, only http and https ones") from error
        self._lines.add(line)
        return line

    async def _give_back(self, route: _Route, line: httpx.AsyncHTTPTransport) -> None:
        if line not in self._lines:
            return
        now = anyio.current_time()
        self._idle.setdefault(route, []).append(_Idle(line, now))
        old: list[httpx.AsyncHTTPTransport] = []
        for key, idle in list(self._idle.items()):
            young = [entry for entry in idle if now - entry.since <= REUSE_SECONDS]
            if len(young) < len(idle):
                old += [entry.line for entry in idle if now - entry.since > REUSE_SECONDS]
                self._idle[key] = young
            if not young:
                del self._idle[key]
        for line in old:
            self._lines.discard(line)
            await line.aclose()


def _request(
    call: Call, address: Address, *, authorization: str | None, pin: str | None, timeout: float
) -> httpx.Request:
    headers = httpx.Headers({"Host": address.netloc, "User-Agent": "batchgen", "Accept": "*/*"})
    headers["Accept-Encoding"] = "identity"
    headers.update(call.headers)
    if call.content_type is not None:
        headers["Content-Type"] = call.content_type
    if authorization is not None:
        headers["Authorization"] = authorization
    url = httpx.URL(scheme=address.scheme, host=pin or address.host, port=address.port)
    extensions = {
        # Handed over raw: a signature covers the query byte for byte, and the library would rewrite it.
        "target": address.target.encode("ascii"),
        "sni_hostname": address.host,
        "timeout": {"connect": CONNECT_SECONDS, "read": timeout, "write": timeout, "pool": CONNECT_SECONDS},
    }
    if call.body is not None:
        headers["Content-Length"] = str(len(call.body))
        return httpx.Request(
            call.method, url, headers=headers, stream=_Slices(call.body), extensions=extensions
        )
    files = [(part.name, (part.filename, part.data, part.mime)) for part in call.parts]
    return httpx.Request(call.method, url, headers=headers, files=files or None, extensions=extensions)
