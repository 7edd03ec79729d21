"""The seam between a request as values and a request as bytes, and back. Pure.

`encode` turns one ask into a `Call`. A `Decoder` is fed the reply as it arrives, in pieces of any
size, yields facts the moment they can be known, and at the end gives the `Answer` or raises a
leaf of errors.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from batchgen.events import Progress, TaskSeen
from batchgen.model import Job, Picture, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to make: the job, how many images (`count` ≥ 1), its pictures made ready.

    `turns` are the conversation that it goes on with, oldest first; the chat door alone has a place for them.
    """

    job: Job
    count: int = 1
    references: tuple[Picture, ...] = ()
    mask: Picture | None = None
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart form: a plain field (no file name) or a file."""

    name: str
    data: bytes
    filename: str | None = None
    mime: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, without its key: the transport's owner adds the Authorization header.

    Exactly one of `body` (bytes, with `content_type`) and `parts` (multipart) for a POST; neither
    for a GET. `url` is used byte for byte.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One image in an answer: a link (with others to the same picture, best first) or inline base64."""

    url: str | None
    alternatives: tuple[str, ...] = ()
    inline: str | None = None
    """base64 text as it was written, without the `data:` prefix; or a `Lifted`, which stands for one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a whole reply holds: at least one image."""

    images: tuple[Found, ...]
    task_id: str | None = None
    gen_id: str | None = None
    usage: str | None = None
    """the provider's `usage` object as JSON text"""


Fact: TypeAlias = TaskSeen | Progress


class Decoder(Protocol):
    """Reads one reply. Feed bytes as they come; every fact is yielded once."""

    def feed(self, data: bytes) -> list[Fact]:
        """Take the next bytes of the body; return what is newly known. Never raises on bad input."""
        ...

    def finish(self) -> Answer:
        """The body is complete. Raises a leaf of `JobError` when there is no image in it."""
        ...

    def kept(self) -> str:
        """The reply as text without base64, at most 64 KiB: what the ledger keeps."""
        ...

    @property
    def task_id(self) -> str | None:
        """The provider's task id seen so far."""
        ...
