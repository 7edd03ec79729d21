"""What the ledger gives back: rows as frozen values. No SQL here, no I/O.

Times are epoch seconds (UTC). Paths are relative to the workspace, or to the object `store` beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from batchgen.errors import JobError
from batchgen.events import Replied
from batchgen.model import Entry, Job, JobState, Outcome, OutputState
from batchgen.pacing import Pace


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why something is not done: `kind` is our word, `code` the provider's."""

    kind: str
    code: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try of a job at one provider. `number` counts from 1 over the life of the job."""

    number: int
    provider: str
    task_id: str | None
    gen_id: str | None
    request_id: str | None
    http_status: int | None
    outcome: Outcome
    error: ErrorRecord | None
    started_at: float
    finished_at: float | None
    cost: float | None
    asked_again: bool = False
    """a retry opened it again, to ask for its task once more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRecord:
    """One image of a job. `position` counts from 0 within the job's current round."""

    position: int
    url: str | None
    expires_at: float | None
    state: OutputState
    path: str | None
    sha256: str | None
    bytes: int | None
    width: int | None
    height: int | None
    format: str | None
    error: ErrorRecord | None
    second_chance: bool = False
    """it was bad, and a retry had it fetched once more"""
    attempt: int = 0
    """the `number` of the attempt that brought it"""
    settled_at: float | None = None
    """when it was saved, or when its last download failed"""
    tries: int = 0
    not_before: float | None = None
    """how many downloads failed since it was last asked for, and when it is tried again"""
    store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job as it stands, with its attempts and the outputs of its current round."""

    job: Job
    state: JobState
    provider: str
    """the provider of its last attempt, else the first of its list"""
    cost: float | None
    not_before: float | None
    error: ErrorRecord | None
    warnings: tuple[str, ...]
    attempts: tuple[AttemptRecord, ...]
    outputs: tuple[OutputRecord, ...]
    waits_for: str | None = None
    """the job whose image it needs and that is not done yet, while it is pending"""

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.job.id


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJob:
    """A job that may be sent: `have` images are there already, `tries` attempts were spent."""

    key: int
    job: Job
    have: int
    tries: int
    round: int
    last_error: str | None
    """signature `kind|code|message` of the attempt before, to notice the same error again"""
    repeats: int
    """how often in a row that same error came"""
    unanswered_key: str | None
    """the idempotency key of the attempt before, when its outcome is unknown or it never left"""
    unanswered_env: str | None = None
    """the variable of the API key that it went with: only there a gateway can know the idempotency key"""
    position: int = 0
    """its place in the manifest"""
    route: tuple[str, ...] = ()
    """the providers that it may go to, first one first: those of its list that have not turned it away"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """An attempt without an outcome, found when a run starts, or one to re-attach to."""

    attempt_id: int
    key: int
    job: Job
    provider: str
    task_id: str | None
    started_at: float
    tries: int
    """counted attempts of its job before this one"""
    reserved: float | None = None
    """the most that it may cost; None: no price was known"""
    only_ask: bool = False
    """its task is asked for because the user wants that alone: whatever comes of it, nothing is sent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """An attempt that was paid, or may have been, when no price was known. `images` None: it brought none."""

    attempt_id: int
    key: int
    job: Job
    provider: str
    images: int | None
    usage: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueOutput:
    """An output that is not on disk and may be fetched now. `tries` downloads were begun before."""

    output_id: int
    key: int
    job: Job
    provider: str
    position: int
    round: int
    urls: tuple[str, ...]
    spool: str | None
    expires_at: float | None
    tries: int
    task_id: str | None
    attempt_id: int
    gen_id: str | None
    request_id: str | None
    delivered_at: float
    """when the provider's answer was there"""
    apart: bool
    """its job's file name is also an earlier job's"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A manifest against the ledger, in jobs. `turns`: so many to be sent wait for one another, at the most."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    turns: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs; every field that is set must fit. `id_glob`, `provider`, `model`, `error` may be globs.

    `warned` (only jobs with warnings), `ratio` and `words` (in the prompt or the id): listings alone go by these.
    """

    states: frozenset[JobState] = frozenset()
    error: str | None = None
    provider: str | None = None
    model: str | None = None
    id_glob: str | None = None
    warned: bool = False
    ratio: str | None = None
    words: str | None = None


Paces: TypeAlias = Mapping[tuple[str | None, str], Pace]
"""What earlier runs noted of one provider's traffic, by variable of the key and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus:
    """One provider's traffic. `limit` is the concurrency in force; `reason` says what it waits for."""

    in_flight: int = 0
    limit: int | None = None
    waiting_until: float | None = None
    reason: str | None = None
    note: str | None = None
    """what a person should know although nothing waits for it: a key that was dropped"""
    cost: float = 0.0
    """what was paid there, over all runs"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole batch in numbers. Outputs are those of jobs that the manifest still lists.

    `cost` is all that was paid in this workspace; `unsettled` counts requests that may be billed beside
    it (in flight, or of unknown outcome), and `unsettled_cost` is the most that these may cost.
    """

    jobs: Mapping[JobState, int]
    outputs: Mapping[OutputState, int]
    attempts: int
    cost: float
    next_expiry: float | None
    expiring_within_24h: int
    """images not on disk whose link dies within a day, or is past its date"""
    past_their_date: int = 0
    """of these, the ones past it"""
    unsettled: int = 0
    unsettled_cost: float = 0.0
    rehearsal: bool = False
    """every provider was simulated: nothing was paid"""
    shard: str | None = None
    """of which part of the batch these are the numbers; None: of all of it"""
    store_down: str | None = None
    """why images wait in the workspace for their object store"""
    providers: Mapping[str, ProviderStatus] = field(default_factory=dict)


class Change(StrEnum):
    """What the manifest says about a job, compared with the ledger."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class Standing(NamedTuple):
    """One manifest entry against the ledger: the state it is in (None: new) and the images still to ask for.

    `returning`: the manifest left it out the last time. `waits`: its parent's image is not there, as far as is known.
    """

    entry: Entry
    change: Change
    state: JobState | None
    missing: int
    returning: bool = False
    waits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Jobs that have the same images to ask for in the same way: `count` of them, and one that stands for all.

    `missing` 0: their requests are open, and nothing is asked for unless they fail.
    Its prompt is as long as theirs are on average; its id and `meta` are nobody's.
    """

    job: Job
    missing: int
    warnings: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ends without images, and what becomes of its job (not before a time, for `pending`)."""

    outcome: Outcome
    error: JobError
    state: JobState
    not_before: float | None
    counted: bool
    """False: the attempt does not use up one of the job's tries"""
    route: tuple[str, ...] | None = None
    """the providers that are left for the job, when this one can't serve it; its tries begin anew"""
    reply: Replied | None = None
    """what the provider had said"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One saved image as a child finds it: its file, and the attempt that brought it."""

    job: Job
    path: str
    store: str | None
    provider: str
    gen_id: str | None
    images: int | None
    """how many came with that attempt"""
    reply: str | None
    """the attempt's kept reply"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One invocation over the workspace; `alive` while its process exists and it has not ended."""

    run_id: int
    started_at: float
    pid: int
    options: str
    ended_at: float | None
    exit_code: int | None
    reason: str | None
    alive: bool
