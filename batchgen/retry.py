"""What to do about a failed attempt or download, as one pure decision each.

Time and randomness come in as arguments, so every row of the tables below can be tested without
waiting. Nothing here sleeps, counts or writes: the runner carries the verdict out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from batchgen.errors import (
    BadImage,
    Disposition,
    EmptyReply,
    JobError,
    LinkDead,
    NoChannel,
    NoImage,
    NotSent,
    NotThereYet,
    NoWorker,
    RateLimited,
    ReferenceLost,
    ReferenceUnread,
    Saturated,
    ServerError,
    StoreDown,
    UnknownModel,
    UpstreamLimit,
)
from batchgen.model import JobState, OnUnknown, Outcome, OutputState


class Action(Enum):
    """What the runner does next with the job."""

    AGAIN = "again"
    ELSEWHERE = "elsewhere"
    """at once, at the next provider of its list"""
    RECOVER = "recover"
    END = "end"
    PARK = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision about one failed attempt.

    `at`: epoch seconds before which the job is not sent again (AGAIN, PARK: None, at once when the
    provider serves again). `counted`: whether the attempt spends one of `max_attempts`.
    """

    action: Action
    state: JobState
    outcome: Outcome
    at: float | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the job so far. `tries` were counted before the attempt at hand."""

    tries: int
    max_attempts: int
    has_task: bool
    on_unknown: OnUnknown
    provider_down: bool = False
    """the breaker is open: what fails now is the provider, not the job"""
    repeats: int = 0
    """how often in a row the very same error came before"""
    others: bool = False
    """the job names other providers that have not turned it away"""
    beyond: bool = False
    """it was refused as one more than the provider ever took at once: we asked, and the job can't help it"""
    only_ask: bool = False
    """the user wants its task asked for and nothing else: nothing is sent, whatever comes of it"""


# Seconds before the next try, by how many were counted before; the last one repeats. Gateways
# send no Retry-After; 5 / 15 / 45 is apiyi's own advice for 429 and 503. After the first 429 it is the
# line's window that waits, and the job only has to come again.
_BACK_OFF: Mapping[type[JobError], Sequence[float]] = {
    RateLimited: (1, 5, 15, 45, 90, 180),
    Saturated: (5, 15, 45, 90, 180),
    NoChannel: (5, 15, 45),
    UpstreamLimit: (15, 45, 135),
    NotSent: (1, 2, 4, 8, 16, 30, 60),
    NoWorker: (1, 2, 4, 8, 16, 30, 60),
    EmptyReply: (1, 5),
    NoImage: (1,),
    ReferenceUnread: (1,),
    StoreDown: (30,),
}
_OTHER_BACK_OFF: Sequence[float] = (2, 6, 18, 54, 120)
_BEYOND: Sequence[float] = (1,)

# Some answers do not get better: fewer tries than `max_attempts`, the first one included.
_MOST_TRIES: Mapping[type[JobError], int] = {NoImage: 2, EmptyReply: 3, NoChannel: 4}

# Complete answers that nothing was made and nothing billed: another provider may well serve the job.
_NOT_SERVED = (UnknownModel, RateLimited, Saturated, NoChannel, ServerError, UpstreamLimit)

# A provider that serves others and gives this job the same answer three times will give it a fourth.
_DETERMINISTIC = (ServerError, NoChannel, EmptyReply, NoImage)
SAME_ERROR = 3

LONGEST_TOLD_WAIT = 3600.0
"""A provider that asks for more than an hour is asked again after an hour."""


def decide(error: JobError, history: History, *, now: float, jitter: float) -> Verdict:
    """Judge a failed attempt. `jitter` is uniform in [0, 1)."""
    verdict = _decide(error, history, now=now, jitter=jitter)
    if not history.only_ask or verdict.state is not JobState.PENDING:
        return verdict
    state = JobState.HELD if verdict.outcome is Outcome.UNKNOWN else JobState.FAILED
    return Verdict(action=Action.END, state=state, outcome=verdict.outcome)


def _decide(error: JobError, history: History, *, now: float, jitter: float) -> Verdict:
    match error.disposition:
        case Disposition.STOP_PROVIDER:
            return Verdict(
                action=Action.PARK, state=JobState.PENDING, outcome=Outcome.FAILED, counted=False
            )
        case Disposition.RECOVER if history.has_task:
            return Verdict(action=Action.RECOVER, state=JobState.RUNNING, outcome=Outcome.OPEN)
        case Disposition.RECOVER | Disposition.HOLD:
            return _unknown(error, history, now, jitter)
        case Disposition.END if history.others and isinstance(error, _NOT_SERVED):
            return _elsewhere()
        case Disposition.END:
            refused = error.refused
            return Verdict(
                action=Action.END,
                state=JobState.REFUSED if refused else JobState.FAILED,
                outcome=Outcome.REFUSED if refused else Outcome.FAILED,
            )
        case Disposition.RETRY:
            return _again(error, history, now, jitter)


def _unknown(error: JobError, history: History, now: float, jitter: float) -> Verdict:
    spent = history.tries + 1 >= history.max_attempts
    if history.on_unknown is OnUnknown.RESEND and error.disposition is Disposition.RECOVER and not spent:
        wait = _wait(error, history.tries, jitter)
        return Verdict(
            action=Action.AGAIN, state=JobState.PENDING, outcome=Outcome.UNKNOWN, at=now + wait
        )
    return Verdict(action=Action.END, state=JobState.HELD, outcome=Outcome.UNKNOWN)


def _again(error: JobError, history: History, now: float, jitter: float) -> Verdict:
    # A request that never left and a provider that serves nobody say nothing about this job.
    counted = isinstance(error, ReferenceLost) or not (
        isinstance(error, NotSent | StoreDown) or history.provider_down or history.beyond
    )
    most = min(history.max_attempts, _MOST_TRIES.get(type(error), history.max_attempts))
    poisoned = isinstance(error, _DETERMINISTIC) and history.repeats + 1 >= SAME_ERROR
    if counted and (poisoned or history.tries + 1 >= most):
        if history.others and isinstance(error, _NOT_SERVED):
            return _elsewhere()
        return Verdict(action=Action.END, state=JobState.FAILED, outcome=Outcome.FAILED)
    return Verdict(
        action=Action.AGAIN,
        state=JobState.PENDING,
        outcome=Outcome.FAILED,
        at=now + _wait(error, history.tries, jitter, beyond=history.beyond),
        counted=counted,
    )


def _elsewhere() -> Verdict:
    return Verdict(action=Action.ELSEWHERE, state=JobState.PENDING, outcome=Outcome.FAILED, counted=False)


def _wait(error: JobError, tries: int, jitter: float, *, beyond: bool = False) -> float:
    # "The limit resets in 23 hours" is about the gateway's own upstream account: the next try may
    # land on another one, so its words are not obeyed there.
    if error.retry_after is not None and not isinstance(error, UpstreamLimit):
        # Never earlier than told; a little later, so that a hundred jobs do not come back at once.
        return min(error.retry_after, LONGEST_TOLD_WAIT) * (1 + jitter / 4) + jitter / 10
    # The window is what learns from a refusal beyond it; the job itself only has to come again.
    steps = _BEYOND if beyond else _BACK_OFF.get(type(error), _OTHER_BACK_OFF)
    return steps[min(tries, len(steps) - 1)] * (0.75 + jitter / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadVerdict:
    """The decision about one failed download.

    `at`: try again then. `ask_task`: get a fresh link from the task first. Else it ends as `state`;
    `remote` without a time leaves it to the next run or `fetch`.
    """

    state: OutputState
    at: float | None = None
    ask_task: bool = False


MOST_DOWNLOADS = 8
_DOWNLOAD_STEPS: Sequence[float] = (1, 3, 9, 20, 40, 60, 60)
_NOT_THERE_STEPS: Sequence[float] = (2, 5, 15, 30)
_STORE_STEPS: Sequence[float] = (5, 10, 20, 40, 60, 120)


def decide_download(
    error: JobError, *, tries: int, expires_at: float | None, can_ask: bool, now: float, jitter: float
) -> DownloadVerdict:
    """Judge a failed download. `tries` were begun before; `can_ask`: its task was not asked yet."""
    if isinstance(error, StoreDown):
        # The image is here and verified, whatever becomes of its link: the store may take its time.
        wait = _STORE_STEPS[min(tries, len(_STORE_STEPS) - 1)]
        return DownloadVerdict(state=OutputState.REMOTE, at=now + _spread(wait, jitter))
    lasting = isinstance(error, LinkDead) or (expires_at is not None and now >= expires_at)
    if isinstance(error, NotThereYet):
        if tries < len(_NOT_THERE_STEPS) and not lasting:
            return DownloadVerdict(state=OutputState.REMOTE, at=now + _spread(_NOT_THERE_STEPS[tries], jitter))
        lasting = True
    if lasting:
        if can_ask:
            return DownloadVerdict(state=OutputState.REMOTE, ask_task=True)
        return DownloadVerdict(state=OutputState.EXPIRED)
    if error.disposition is Disposition.RETRY and tries + 1 < MOST_DOWNLOADS:
        wait = max(_DOWNLOAD_STEPS[min(tries, len(_DOWNLOAD_STEPS) - 1)], error.retry_after or 0.0)
        return DownloadVerdict(state=OutputState.REMOTE, at=now + _spread(wait, jitter))
    if isinstance(error, BadImage) and tries < 1:
        # A page with status 200 may be a gateway's hiccup: once more, then believe it.
        return DownloadVerdict(state=OutputState.REMOTE, at=now + _spread(2, jitter))
    if can_ask:
        return DownloadVerdict(state=OutputState.REMOTE, ask_task=True)
    if error.disposition is Disposition.RETRY:
        # The link may live for hours after its host's trouble: what was paid for is not given up before.
        return DownloadVerdict(state=OutputState.REMOTE)
    return DownloadVerdict(state=OutputState.BAD)


def _spread(seconds: float, jitter: float) -> float:
    return seconds * (0.75 + jitter / 2)
