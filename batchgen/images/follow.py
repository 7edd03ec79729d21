"""A link asked for, through its redirects: each address is checked and pinned before anything is sent.

Never sends a key. Downloads and references that are links go through here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final
from urllib.parse import urljoin

from batchgen.codecs.base import Call
from batchgen.errors import Blocked
from batchgen.images.addresses import AddressGuard
from batchgen.images.verdicts import REDIRECTS
from batchgen.transport import Head, Transport

MOST_REDIRECTS: Final = 5
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@asynccontextmanager
async def following(
    url: str, *, transport: Transport, guard: AddressGuard, idle: float, headers: Mapping[str, str]
) -> AsyncGenerator[tuple[Head, AsyncIterator[bytes]], None]:
    """Ask for `url` and follow redirects, each checked like the first; the last head, and its body.

    `idle` is how many seconds a host may send nothing. Raises as `AddressGuard.check` and
    `Transport.send`, and `Blocked` after more than `MOST_REDIRECTS`.
    """
    for _ in range(MOST_REDIRECTS + 1):
        pin = await guard.check(url, proxied=transport.proxied(url))
        call = Call(method="GET", url=url, headers={"Accept-Encoding": "identity", **headers})
        async with aclosing(transport.send(call, timeout=idle, pin=pin)) as reply:
            head = await anext(reply)
            assert isinstance(head, Head), "a reply begins with its head"
            location = head.headers.get("location")
            if head.status not in REDIRECTS or not location:
                yield head, _body(reply)
                return
        # An absolute address stays byte for byte what it is: joining could tidy up a signed query.
        url = location if _ABSOLUTE.match(location) else urljoin(url, location)
    raise Blocked(f"more than {MOST_REDIRECTS} redirects")


async def _body(reply: AsyncIterator[Head | bytes]) -> AsyncIterator[bytes]:
    async for item in reply:
        if isinstance(item, bytes):
            yield item
