"""The page of one job in words: all that was recorded of it with its time, and what its buttons would do. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from batchgen import codecs
from batchgen.answers import iso
from batchgen.ledger.chains import PARENT
from batchgen.ledger.records import AttemptRecord, JobRecord, OutputRecord
from batchgen.model import END_STATES, JobState, Outcome, OutputState
from batchgen.providers.prices import money_text
from batchgen.summary import Unfinished, Way, reason

Replies = Mapping[int, tuple[float, str]]
"""Kept replies by the number of the attempt: when each came, and its text."""

_LONGEST: Final = 20_000
"""Characters of a reply that the page shows; the ledger has all that was kept."""

_SIGNED: Final = re.compile(r"(https?://[^\s?\"'<>()]+)\?[^\s\"'<>()]+")
"""A link with what signs it: whoever has that may fetch the picture, and nobody reads it."""

_REREAD: Final = frozenset({JobState.FAILED, JobState.HELD, JobState.REFUSED})

_RETRY: Final[Mapping[Way, str]] = {
    Way.ASK: "asks the provider for its task first, at no cost; a second retry sends a new request",
    Way.DOWNLOAD: "tries the download again, at no cost; a second retry sends a new request",
    Way.REPLACE: "sends a new request, which is paid, and keeps what is on disk",
    Way.SEND: "sends a new request, which is paid",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded fact; `at` in epoch seconds, None where only its place in the order is known."""

    at: float | None
    words: str
    kind: str = ""
    """the state that it speaks of, for its colour"""

    @property
    def iso(self) -> str | None:
        """For machines."""
        return iso(self.at)

    @property
    def clock(self) -> str:
        """For people: by the clock on the wall."""
        return "" if self.at is None else f"{datetime.fromtimestamp(self.at):%d %b %H:%M:%S}"


def log(record: JobRecord, replies: Replies) -> list[Line]:
    """What happened to a job, attempt by attempt, and what it waits for now."""
    lines: list[Line] = []
    for attempt in record.attempts:
        lines += _attempt(attempt, replies)
        mine = [line for output in record.outputs if output.attempt == attempt.number for line in _output(output)]
        lines += sorted(mine, key=lambda line: line.at or float("inf"))
    last = record.attempts[-1] if record.attempts else None
    if record.state in (JobState.PENDING, JobState.CANCELLED) or (last is None and record.error):
        lines.append(Line(None, reason(record) or "waits for its turn", record.state.value))
    return lines


def _attempt(attempt: AttemptRecord, replies: Replies) -> Iterator[Line]:
    yield Line(attempt.started_at, f"attempt {attempt.number} begins at {attempt.provider}: recorded, then sent")
    if attempt.task_id:
        yield Line(None, f"{attempt.provider} named its task: {attempt.task_id}")
    if attempt.number in replies:
        status = f": HTTP {attempt.http_status}" if attempt.http_status else ""
        named = f", request id {attempt.request_id}" if attempt.request_id else ""
        yield Line(replies[attempt.number][0], f"it replied{status}{named}")
    error = f"{attempt.error.kind}: {attempt.error.message}" if attempt.error else ""
    if attempt.asked_again:
        yield Line(None, "its task was asked for once more, by the user's wish")
    match attempt.outcome:
        case Outcome.SUCCEEDED:
            cost = f", {money_text(attempt.cost)} by the price list" if attempt.cost is not None else ""
            yield Line(attempt.finished_at, f"generated{cost}: every link is in the ledger", "generated")
        case Outcome.OPEN:
            yield Line(None, f"{error}; its task is asked for" if error else "the answer is outstanding", "running")
        case Outcome.UNKNOWN:
            yield Line(attempt.finished_at, f"nobody knows how it ended, it may be billed: {error}", "held")
        case Outcome.REFUSED:
            yield Line(attempt.finished_at, f"refused: {error}", "refused")
        case Outcome.FAILED:
            yield Line(attempt.finished_at, f"failed: {error}", "failed")


def _output(output: OutputRecord) -> Iterator[Line]:
    picture = f"picture {output.position}"
    tries = f", after {_counted(output.tries, 'try', 'tries')} that failed" if output.tries else ""
    error = f"{output.error.kind}: {output.error.message}" if output.error else ""
    match output.state:
        case OutputState.SAVED:
            size = f"{output.width}×{output.height}, {(output.bytes or 0) / 1000:,.0f} kB"
            yield Line(output.settled_at, f"{picture} is on disk: {output.path}, {size}{tries}", "done")
        case OutputState.BAD:
            yield Line(output.settled_at, f"{picture} came and is no image that can be used: {error}", "failed")
        case OutputState.EXPIRED:
            yield Line(output.settled_at, f"{picture}: the link died before it was saved: {error}", "expired")
        case OutputState.REMOTE:
            if error:
                tried = _counted(output.tries, "download", "downloads")
                yield Line(output.settled_at, f"{picture}: {tried} failed, the last one: {error}", "failed")
            yield Line(None, f"{picture} is to be downloaded{_next(output)}", "generated")


def _next(output: OutputRecord) -> str:
    when = f", not before {datetime.fromtimestamp(output.not_before):%H:%M:%S}" if output.not_before else ""
    dies = f"; its link dies at {datetime.fromtimestamp(output.expires_at):%H:%M on %d %b}" if output.expires_at else ""
    return when + dies


def told(replies: Replies) -> list[tuple[int, str]]:
    """What each attempt was told, for reading: the gateways write their progress there. Without base64."""
    read = ((number, codecs.log_of(text)) for number, (_, text) in sorted(replies.items()))
    return [(number, _cut(_SIGNED.sub(r"\1?…", text))) for number, text in read if text.strip()]


def _cut(text: str) -> str:
    rest = len(text) - _LONGEST
    return text if rest <= 0 else f"{text[:_LONGEST]}\n… {rest} more characters in the ledger"


def retry_words(record: JobRecord, askable: Collection[str], now: float) -> str | None:
    """What the retry button does; None: there is nothing to retry."""
    if record.state not in END_STATES:
        return None
    if record.state is JobState.DONE:
        return "generates it anew, which is paid again; the pictures that are there stay on disk"
    if record.state is JobState.CANCELLED:
        # It comes back with its parent, and only so.
        return None if record.error and record.error.kind == PARENT else "puts it back, to be sent"
    words = _RETRY[Unfinished(askable, now).way(record)]
    return f"{words} (perhaps for the second time)" if record.state is JobState.HELD and "paid" in words else words


def fetch_words(record: JobRecord, askable: Collection[str], gone: Collection[int], replies: Replies) -> str | None:
    """What the button that fetches again does, at no cost; None: there is nothing to fetch again.

    `gone`: positions of the saved pictures whose file is not there.
    """
    parts = []
    given_up = [one for one in record.outputs if one.state in (OutputState.BAD, OutputState.EXPIRED) or _waits(one)]
    lost = [one for one in record.outputs if one.position in gone and one.url is not None]
    asks = any(attempt.task_id and attempt.provider in askable for attempt in record.attempts)
    if names := [str(position) for position in sorted({one.position for one in (*given_up, *lost)})]:
        parts.append(f"downloads {'picture' if len(names) == 1 else 'pictures'} {', '.join(names)} once more")
        if asks:
            parts.append("asks the task for a fresh link where the old one is dead")
    last = record.attempts[-1] if record.attempts else None
    if record.state in _REREAD and last is not None:
        if last.outcome is not Outcome.SUCCEEDED and last.number in replies:
            parts.append("reads the kept reply again")
        if last.task_id and last.provider in askable and last.outcome in (Outcome.FAILED, Outcome.UNKNOWN):
            parts.append(f"asks {last.provider} for {last.task_id}")
    return f"{', '.join(parts)}; sends no request that is paid" if parts else None


def _waits(output: OutputRecord) -> bool:
    return output.state is OutputState.REMOTE and output.tries > 0


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
