"""Keeps strangers out of the page: only its own Host, a token for whatever changes something, a strict policy.

A page anywhere on the web can make a browser send requests to 127.0.0.1, and so can whoever else has an
account on this machine; none of them gets an answer here.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER: Final = "x-batchgen-token"

_POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OWN: Final = ("same-origin", "none")
"""What a browser says of a request that its user, or a page of this server, made. Who is no browser says nothing."""

_ALWAYS: Final[Mapping[str, str]] = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


Address: TypeAlias = tuple[str, int]

_LOOKS: Final = 3
"""A table of connections that changes while it is read may leave one out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who may come in. `names`: host names that are answered at this `port`, in lower case.

    `addresses`: any bare IP address too, which no foreign page can make its own. `uid`: the only account
    of this machine, beside root, that is answered; None: everybody.
    """

    names: frozenset[str]
    port: int
    addresses: bool = False
    uid: int | None = None

    def is_named(self, host: str) -> bool:
        """Whether the value of a `Host` header means this server."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):  # browsers leave out port 80
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        name = name.removeprefix("[").removesuffix("]")
        return name in self.names or (self.addresses and _is_address(name))

    def is_for(self, client: Address, server: Address) -> bool:
        """Whether whoever is at the other end of this connection may come in."""
        return self.uid is None or owner(client, server) in (self.uid, 0)


class Guard:
    """ASGI middleware. A change must carry the `token`."""

    def __init__(self, app: ASGIApp, door: Door, token: str) -> None:
        self._app = app
        self._door = door
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in one line."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(scope, Headers(scope=scope)):
            await PlainTextResponse(refusal, status_code=403, headers=_ALWAYS)(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        if not self._door.is_named(headers.get("host", "")):
            return "this address is not the one that the page was started for"
        if not self._door.is_for(scope["client"], scope["server"]):
            return "this page is for the user who started it; with --host others may look and order too"
        if headers.get("sec-fetch-site", "none") not in _OWN and headers.get("sec-fetch-mode") != "navigate":
            return "only this server's own pages may use what is here"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            return "reload the page: its token is not that of this server"
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def owner(client: Address, server: Address) -> int | None:
    """The account that holds the client's end of a connection within this machine; None: the system doesn't tell."""
    ends = [(ip_address(host), port) for host, port in (client, server)]
    here = "".join(f" {_hexadecimal(address.packed)}:{port:04X}" for address, port in ends)
    table = Path("/proc/net/tcp" if ends[0][0].version == 4 else "/proc/net/tcp6")
    for _ in range(_LOOKS):
        try:
            lines = table.read_text("ascii")
        except OSError:
            return None
        if (found := lines.find(here)) >= 0:
            # Behind it: state, queues, timer, retransmissions, and the account.
            return int(lines[found + len(here) :].split(None, 5)[4])
    return None


def _hexadecimal(packed: bytes) -> str:
    """An address as the kernel's table writes it: words of four bytes in the machine's order."""
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
