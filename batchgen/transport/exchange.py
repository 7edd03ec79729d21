"""A request as it leaves and an answer as it comes, and what carries them: a line to one host.

Only shapes; nothing here sends. Errors of an exchange are the HTTP library's classes, by which *not sent* is told from
*perhaps sent*.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

CONNECT_SECONDS: Final = 15.0


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


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the target as it is to arrive, all headers, the content in one or in pieces.

    `timeout` is how many seconds the other side may take or send nothing.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes | AsyncIterable[bytes]
    timeout: float


@dataclass(frozen=True, slots=True)
class Response:
    """A final status, its headers as they were written, and the body while it arrives."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]


class Line(Protocol):
    """A way to one host, for one exchange at a time: `exchange`, read the body, and `release` in any case."""

    @property
    def idle(self) -> bool:
        """Whether its last exchange came to a good end, so that another may follow."""

    @property
    def alive(self) -> bool:
        """Whether it is idle, and the other side has neither closed it nor sent what nobody asked for."""

    async def exchange(self, request: Request) -> Response:
        """Send it and wait for the head of the answer."""

    async def release(self) -> None:
        """The exchange is over, however it ended; a line that is not `idle` then is to be closed."""

    async def aclose(self) -> None:
        """Close at once, also when cancelled."""
