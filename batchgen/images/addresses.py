"""Which addresses a download may go to: the provider's own host, and else only public ones.

Links come from replies, and a reply may be made by anybody. So a name is resolved here, every address
it has must be public, and the connection then goes to the very address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio

from batchgen.errors import Blocked, DownloadFailed, NotSent
from batchgen.transport import split_url

_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Name and port to addresses, best first. Raises `OSError` when there are none."""

_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# What the WHATWG URL standard calls a host that ends in a number: it is an IPv4 address or nothing.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


async def resolve_name(host: str, port: int) -> list[str]:
    """Ask the system's resolver. Raises `OSError`."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class AddressGuard:
    """Says for each URL, and again for each redirect, whether it may be fetched and at which address.

    `own_hosts` are the provider's own host names or addresses, allowed wherever they are.
    `allow_private` lifts the check of addresses (not that of the scheme).
    """

    def __init__(
        self, own_hosts: frozenset[str], allow_private: bool, resolve: Resolve = resolve_name
    ) -> None:
        self._own_hosts = frozenset(_plain(host.lower().strip("[]")) for host in own_hosts)
        self._allow_private = allow_private
        self._resolve = resolve

    async def check(self, url: str, *, proxied: bool = False) -> str | None:
        """The address to connect to, or None where the host's name may be used as it is.

        A request that goes through a proxy (`proxied`) can't be held to an address: the proxy resolves
        the name anew, in its own network. What resolves here must still be public, and a name
        that only the proxy knows is left to it. Raises `Blocked`, or `DownloadFailed` when the name
        doesn't resolve.
        """
        try:
            address = split_url(url)
        except NotSent as error:
            raise Blocked(f"the link may not be fetched: {error.message}") from error
        host = _plain(address.host)
        if self._allow_private or host in self._own_hosts:
            return None
        literal = _literal(host)
        if literal is not None:
            found = [literal]
        else:
            try:
                found = [ipaddress.ip_address(ip) for ip in await self._resolve(host, address.port)]
            except OSError as error:
                if proxied:
                    return None
                raise DownloadFailed(f"the name {host} can't be resolved") from error
        if not found or not all(_is_public(ip) for ip in found):
            raise Blocked(f"{host} is not a public address (allow_private_downloads lifts this)")
        return None if proxied else str(found[0])


def _plain(host: str) -> str:
    return host.removesuffix(".")


def _literal(host: str) -> _Ip | None:
    """The address that a host spells out, in any of the old notations too; None for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host)
        except ValueError as error:
            raise Blocked("the link's host is no address") from error
    if _ENDS_IN_NUMBER.fullmatch(host):
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError as error:
            raise Blocked("the link's host is no address") from error
    return None


def _is_public(ip: _Ip) -> bool:
    """Whether anybody's packets may go there. An IPv4 address wrapped in IPv6 is judged by itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            wrapped = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if wrapped is not None:
            return _is_public(wrapped)
        return ip.is_global and ip in _UNICAST
    return ip.is_global and not ip.is_multicast
