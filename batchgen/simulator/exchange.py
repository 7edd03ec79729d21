"""One HTTP request and one reply as values, between the provider's wits and the socket.

A `Reply` says in which pieces, with which pauses and to which end the bytes go out, so that every
fault of the wire is data. Nothing here touches a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in. `target` is the raw path with its query, header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


class Ending(Enum):
    """What happens after the last piece: nothing unusual, FIN, RST, or silence until the client leaves."""

    WHOLE = "whole"
    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a body that are written together, `pause` seconds after what came before."""

    data: bytes
    pause: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes out. `length` is the declared Content-Length, None: chunked."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[Piece, ...] = ()
    length: int | None = None
    wait: float = 0.0
    """seconds before the headers"""
    mute: bool = False
    """not even headers are written; only the ending happens"""
    ending: Ending = Ending.WHOLE

    @property
    def body(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)


Headers = tuple[tuple[str, str], ...]


def whole(status: int, body: bytes, media: str, *, headers: Headers = (), wait: float = 0.0) -> Reply:
    """A reply whose body is at hand."""
    return Reply(
        status=status,
        headers=(("Content-Type", media), *headers),
        pieces=(Piece(body),) if body else (),
        length=len(body),
        wait=wait,
    )


def as_json(value: object, *, status: int = 200, headers: Headers = (), wait: float = 0.0) -> Reply:
    """A reply that is one JSON text, non-ASCII characters as they are."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return whole(status, body, "application/json; charset=utf-8", headers=headers, wait=wait)


def page(status: int, title: str, *, wait: float = 0.0) -> Reply:
    """A small HTML page, as the machines in front of a provider show."""
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    return whole(status, body.encode(), "text/html; charset=utf-8", wait=wait)
