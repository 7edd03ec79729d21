"""What a worker reports, one frozen fact at a time; the runner commits each before it asks for the next.

An event says what happened, never what to do about it. Only values that can cross a process
border: no sockets, no handles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from batchgen.errors import JobError


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """The provider named its task: the only handle by which a cut attempt can be found again."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The provider's own progress, 0 to 100 per cent."""

    percent: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the head of a reply tells of a limit: so many requests more, and in `reset` seconds there is one again.

    `limit` is how many there are in all, None where that is not told.
    """

    remaining: int
    reset: float
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply: kept as text without base64, so that it can be read again for nothing.

    An event of its own while it is still coming, as soon as a link in it is whole; a complete one goes with
    what came of it, and both are committed at once.
    """

    status: int
    request_id: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteImage:
    """One image of an answer: a link with others to the same picture, or a spooled inline file."""

    url: str | None
    alternatives: tuple[str, ...] = ()
    expires_at: float | None = None
    """Epoch seconds; None when neither the link nor the profile says."""
    spool: str | None = None
    """Path, below the workspace, of the decoded inline bytes; durable before this event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """The provider delivered. `usage` is its own account as JSON text, if it sent one; `reply` what it said."""

    images: tuple[RemoteImage, ...]
    gen_id: str | None = None
    usage: str | None = None
    reply: Replied | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One output is saved whole: written aside, decoded, hashed, synced, renamed, or put into a store then.

    `store`: the address of an object store, None for the workspace. `sha256` and `bytes` are the file's. `came` is
    the SHA-256 of the bytes as they came, where something was embedded since. `look`: its difference hash, 16 hex
    digits, if it was asked for.
    """

    path: str
    sha256: str
    bytes: int
    width: int
    height: int
    format: str
    came: str | None = None
    look: str | None = None
    store: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The work ended without what it was for, after this reply; `error.disposition` and the retry policy decide."""

    error: JobError
    reply: Replied | None = None


Event: TypeAlias = TaskSeen | Progress | Allowance | Replied | Generated | Saved | Failed
