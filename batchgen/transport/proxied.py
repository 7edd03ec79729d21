"""A line through a proxy: the HTTP library's own, which asks the proxy to forward a request or to open a tunnel."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable
from typing import Final

import anyio
import httpcore2
import httpx2 as httpx

from batchgen.errors import UsageError
from batchgen.transport.exchange import CONNECT_SECONDS, Request, Response, Route
from batchgen.transport.wire import Network

_PORTS: Final = {"http": 80, "https": 443}


class Proxied:
    """A way to the host of `route` through `proxy`. Whether that is still there, the library finds out by itself."""

    idle = True
    alive = True

    def __init__(self, route: Route, proxy: str, *, ssl_context: ssl.SSLContext, reuse: float) -> None:
        self._route = route
        self._proxy = _proxy(proxy, ssl_context, reuse)
        self._response: httpcore2.Response | None = None

    async def exchange(self, request: Request) -> Response:
        """Send it and wait for the head of the answer."""
        route = self._route
        # The port is left out where it is the scheme's own: a proxy is given the address as it was written.
        url = httpcore2.URL(
            scheme=route.scheme.encode(),
            host=route.address.encode(),
            port=None if route.port == _PORTS[route.scheme] else route.port,
            target=request.target.encode("ascii"),
        )
        begin, wait = CONNECT_SECONDS, request.timeout
        sent = httpcore2.Request(
            request.method,
            url,
            headers=[(name.encode("ascii"), value.encode()) for name, value in request.headers.items()],
            content=request.content,
            extensions={
                "sni_hostname": route.name,
                "timeout": {"connect": begin, "pool": begin, "read": wait, "write": wait},
            },
        )
        self._response = await self._proxy.handle_async_request(sent)
        assert isinstance(self._response.stream, AsyncIterable)
        return Response(self._response.status, self._response.headers, aiter(self._response.stream))

    async def release(self) -> None:
        """The exchange is over, be it that nobody read to the end."""
        response, self._response = self._response, None
        if response is not None:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close what it holds."""
        with anyio.CancelScope(shield=True):
            await self._proxy.aclose()


def _proxy(address: str, ssl_context: ssl.SSLContext, reuse: float) -> httpcore2.AsyncHTTPProxy:
    try:
        proxy = httpx.Proxy(address)
        if proxy.url.scheme not in _PORTS:
            raise ValueError("another kind of proxy")
    except (ValueError, httpx.InvalidURL) as error:
        text = "the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY can't be used: give an http or https one"
        raise UsageError(text) from error
    return httpcore2.AsyncHTTPProxy(
        httpcore2.URL(scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/"),
        proxy_auth=proxy.raw_auth,
        ssl_context=ssl_context,
        max_connections=1,
        max_keepalive_connections=1,
        keepalive_expiry=reuse,
        network_backend=Network(),
    )
