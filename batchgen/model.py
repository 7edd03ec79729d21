"""The nouns that every part shares: jobs, works for the engine, states and the steps between them.

Frozen values only. Nothing here reads a file, a clock or a socket. The words are those of the
public contract; `task` is only ever the provider's own work item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


class JobState(StrEnum):
    """Where a job stands; the word is what the ledger and every `--json` answer hold."""

    PENDING = "pending"
    RUNNING = "running"
    GENERATED = "generated"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    HELD = "held"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


END_STATES = frozenset(
    {
        JobState.DONE,
        JobState.FAILED,
        JobState.REFUSED,
        JobState.HELD,
        JobState.EXPIRED,
        JobState.CANCELLED,
    }
)

_S = JobState
STEPS: Mapping[JobState, frozenset[JobState]] = {
    # `pending` ends without an attempt when its parent failed or the user cancels it.
    _S.PENDING: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLED}),
    # Back to `pending`: a retry with its time, or more images to ask for.
    _S.RUNNING: frozenset({_S.PENDING, _S.GENERATED, _S.DONE, _S.FAILED, _S.REFUSED, _S.HELD}),
    _S.GENERATED: frozenset({_S.DONE, _S.EXPIRED, _S.FAILED}),
    # Every end leads back to `pending`: the user asks for what is missing, or for all of it anew.
    # Back to `generated`: a saved file was lost.
    _S.DONE: frozenset({_S.PENDING, _S.GENERATED}),
    # Back with images: a kept reply read again, a fresh link, or a retry that fetches a bad one once more.
    # Back to `running`, by a retry only: its last attempt is open again and its task is asked for once more.
    _S.FAILED: frozenset({_S.PENDING, _S.RUNNING, _S.GENERATED, _S.DONE}),
    _S.REFUSED: frozenset({_S.PENDING, _S.GENERATED, _S.DONE}),
    _S.HELD: frozenset({_S.PENDING, _S.RUNNING, _S.GENERATED, _S.DONE}),
    _S.EXPIRED: frozenset({_S.PENDING, _S.GENERATED, _S.DONE}),
    _S.CANCELLED: frozenset({_S.PENDING}),
}


class Outcome(StrEnum):
    """How one attempt ended. `unknown`: it may have been billed and nobody told us the result."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class OutputState(StrEnum):
    """Where one image of an attempt stands: only a link, on disk, link dead, or no image at all."""

    REMOTE = "remote"
    SAVED = "saved"
    EXPIRED = "expired"
    BAD = "bad"


NEXT = " > "
"""Between two providers of a list, where it is written as one text."""


class Endpoint(StrEnum):
    """Which of the two OpenAI-compatible doors a request goes through."""

    CHAT = "chat"
    IMAGES = "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation request, as the manifest means it after defaults were applied.

    `references` and `mask` are absolute file paths, http(s) URLs or data URLs. `provider` lists
    the profiles to try, first one first. `n` is the number of images wanted, not of requests.
    `model` is that of the first provider; `models` holds those of the others that differ, by provider.
    """

    id: str
    prompt: str
    provider: tuple[str, ...]
    model: str
    ratio: str | None = None
    size: str | None = None
    quality: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    background: str | None = None
    n: int = 1
    references: tuple[str, ...] = ()
    mask: str | None = None
    after: str | None = None
    after_image: int = 0
    """which image of the job `after` it edits, from 0"""
    meta: Mapping[str, Json] = field(default_factory=dict)
    params: Mapping[str, Json] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    def at(self, provider: str) -> Job:
        """The job as that provider is asked for it: with the model that it has there."""
        model = self.models.get(provider, self.model)
        if model == self.model:
            return self
        models = {name: self.models.get(name, self.model) for name in self.provider}
        return replace(self, model=model, models=models)

    def named(self, id: str, prompt: str) -> Job:
        """The job with that id and prompt."""
        return self if self.id == id and self.prompt == prompt else replace(self, id=id, prompt=prompt)


@dataclass(frozen=True, slots=True)
class Picture:
    """A reference or mask made ready to send: bytes (a file, a data URL) or a URL, never both."""

    name: str
    mime: str
    data: bytes | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation that a job goes on with: what was asked, and the answer word for word."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Work: send one attempt. `ask` is how many images this request is to bring (≥ 1)."""

    attempt_id: int
    job: Job
    provider: str
    ask: int
    idempotency_key: str
    key: str | None = None
    """the variable of the API key that it goes with, never the key itself"""
    turns: tuple[Turn, ...] = ()
    """the conversation so far, oldest first, where the provider takes one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Work: ask the provider for a task that an earlier attempt started. Never a POST."""

    attempt_id: int
    job_id: str
    provider: str
    task_id: str


STORE_SCHEMES = ("s3", "gs", "az", "file", "memory")
"""What the address of an object store begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRules:
    """The `output` section of a manifest: how files are named, and what is told in and beside them.

    `path` is a template (images/naming.py), None for the id as name. `embed`: prompt, model and ids go
    into the file; `sidecar`: all about it into a JSON file beside it; `near_duplicates`: look-alikes are told.
    `store`: the address of the object store that the images go to, None for the workspace.
    """

    path: str | None = None
    embed: bool = False
    sidecar: bool = False
    near_duplicates: bool = False
    store: str | None = None

    @property
    def tells(self) -> bool:
        """Whether anything is told of an image, in its file or beside it."""
        return self.embed or self.sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Work: bring one output to its place, from its links (best first) or from a spooled inline file."""

    output_id: int
    job_id: str
    provider: str
    position: int
    urls: tuple[str, ...]
    spool: str | None
    target: str
    """Path in its store, without extension (that comes from the bytes), as images/naming.py makes it."""
    rules: OutputRules = field(default_factory=OutputRules)
    about: Mapping[str, Json] = field(default_factory=dict)
    """What `embed` and `sidecar` tell of the image, by name; the same at every try."""


Work: TypeAlias = Submission | Recovery | Download


class Entry(NamedTuple):
    """One job as read from the manifest: what to send, its content hash, where it stands.

    `like` is the job, or one that differs from it in id and prompt alone: among a million rows, most are like an
    earlier one. `fingerprint` changes exactly when something that is sent changes; `place` is `file:line`.
    `warnings` are facts the user should see in the plan (a substituted ratio, for one). `apart`: an
    earlier job of the manifest has the same file name, so that this one's gets its id added.
    `position` is its place in the manifest where not all entries come; None: as they come.
    """

    id: str
    prompt: str
    like: Job
    fingerprint: str
    place: str
    warnings: tuple[str, ...] = ()
    apart: bool = False
    position: int | None = None

    @property
    def job(self) -> Job:
        """The job, made now if need be."""
        return self.like.named(self.id, self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A local picture when it was looked at: its content, and what the file system said of it then.

    `modified` and `changed` in nanoseconds and `looked_at` in seconds since the epoch; `digest` is `sha256:…`.
    """

    path: str
    digest: str
    size: int
    inode: int
    modified: int
    changed: int
    looked_at: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a manifest depends on this: `text`, which is compared, and these pictures."""

    text: str
    pictures: Iterable[LookedAt] = ()


class OnUnknown(StrEnum):
    """What to do with an attempt whose outcome nobody knows and that has no task id."""

    HOLD = "hold"
    RESEND = "resend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `settings` of a manifest. Durations in seconds, sizes in bytes, cost in the price list's currency."""

    max_attempts: int = 6
    on_unknown: OnUnknown = OnUnknown.HOLD
    max_cost: float | None = None
    concurrency: int | None = None
    patience: float = 1800.0
    task_patience: float = 1800.0
    max_image_bytes: int = 64 * 1024 * 1024
