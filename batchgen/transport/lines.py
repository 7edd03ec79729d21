"""Connections: one for each exchange, used again only after a whole reply, the one used last first.

The library's shared pool costs time in proportion to its connections, so every connection is a line of its
own. A line that is idle too long, or that the other side has closed, is never handed out again.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchgen.transport.connection import Connection
from batchgen.transport.exchange import Line, Route
from batchgen.transport.proxied import Proxied

# Shorter than the idle limit of common servers (5 s and more): a connection that the server has just
# closed turns a POST into one with an unknown outcome.
REUSE_SECONDS: Final = 4.0


@dataclass(slots=True)
class _Idle:
    line: Line
    since: float


class Lines:
    """All connections of a transport; `clock` tells seconds, from any start."""

    def __init__(self, verify: ssl.SSLContext, clock: Callable[[], float]) -> None:
        verify.set_alpn_protocols(["http/1.1"])
        self._verify = verify
        self._clock = clock
        self._idle: dict[Route, list[_Idle]] = {}
        self._open: set[Line] = set()

    async def take(self, route: Route) -> Line:
        """The line used last, which is the likeliest to be alive, or a new one. Raises `UsageError`."""
        while idle := self._idle.get(route):
            last = idle.pop()
            if self._clock() - last.since <= REUSE_SECONDS and last.line.alive:
                return last.line
            await self.close(last.line)
        line = self._new(route)
        self._open.add(line)
        return line

    def give_back(self, route: Route, line: Line) -> list[Line]:
        """After an exchange, however it ended; returns what is to be closed: it, or what was idle for too long."""
        if line not in self._open:
            return []
        if not line.idle:
            return [line]
        now, spent = self._clock(), []
        self._idle.setdefault(route, []).append(_Idle(line, now))
        for key, idle in list(self._idle.items()):
            # The one used last is at the end, so the oldest is in front.
            while idle and now - idle[0].since > REUSE_SECONDS:
                spent.append(idle.pop(0).line)
            if not idle:
                del self._idle[key]
        return spent

    async def aclose(self) -> None:
        """Close every line, those in use too."""
        self._idle.clear()
        while self._open:
            await self._open.pop().aclose()

    async def close(self, line: Line) -> None:
        """Close it for good."""
        self._open.discard(line)
        await line.aclose()

    def _new(self, route: Route) -> Line:
        if route.proxy is None:
            return Connection(route, ssl_context=self._verify)
        return Proxied(route, route.proxy, ssl_context=self._verify, reuse=REUSE_SECONDS)
