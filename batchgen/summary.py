"""The closing words of a run: what is done, what is not and why, and the command that deals with it.

Text only, made from records and a report; for somebody who comes back in the morning and wants to
know within ten seconds what is left to do.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from batchgen.alike import Reasons
from batchgen.ledger.records import JobRecord, OutputRecord, Status
from batchgen.model import JobState, OutputState
from batchgen.progress import duration, until_text
from batchgen.providers.prices import money_text
from batchgen.sinks import Report
from batchgen.stop import BUDGET_REACHED, INTERRUPTED

_State = TypeVar("_State", JobState, OutputState)

_WIDEST = 160
"""Characters of a provider's message that fit a line for people; the ledger has all of it."""

_TITLES: Mapping[JobState, str] = {
    JobState.FAILED: "failed",
    JobState.REFUSED: "refused by the content policy",
    JobState.HELD: "held: the outcome is unknown and may have been billed",
    JobState.EXPIRED: "expired: the link died before the image was saved",
    JobState.CANCELLED: "cancelled",
    JobState.GENERATED: "generated, and not all on disk yet",
    JobState.RUNNING: "cut short, for the next run to settle",
    JobState.PENDING: "pending, for the next run to send",
}

_ADVICE: Mapping[JobState, str] = {
    JobState.FAILED: "mend the cause, then: {retry} && {run}",
    JobState.REFUSED: "change the prompts and run again, or ask once more as they are: {retry} && {run}",
    JobState.HELD: "look at the provider's log, then send them again (perhaps paid twice): {retry} && {run}",
    JobState.EXPIRED: "generate them anew (paid again): {retry} && {run}",
    JobState.CANCELLED: "they come back with the job that is named: "
    "batchgen retry {workspace} --id JOB --state failed,refused,held,expired && {run}",
    JobState.GENERATED: "{fetch}",
    JobState.RUNNING: "{run}",
    JobState.PENDING: "{run}",
}


class Way(StrEnum):
    """What a retry of a job does: `ledger.retrying` decides, this only foretells it."""

    ASK = "ask"
    DOWNLOAD = "download"
    REPLACE = "replace"
    """the picture came and can't be had: it is generated anew"""
    SEND = "send"


_FREE_ADVICE: Mapping[Way, str] = {
    Way.ASK: "asks its task first, at no cost; a second retry sends it again: {retry} && {run}",
    Way.DOWNLOAD: "tries the download again at no cost: {retry} && {run}",
    Way.REPLACE: "mend the cause, then generate them anew (paid again): {retry} && {run}",
}


# Where one kind of error has jobs of either sort: `fetch` never pays, a retry would for some.
_STILL_FREE = "what these still bring comes at no cost: {fetch}"
_AFTER_THAT = "what is left after that costs again"


def _is_paid(way: Way) -> bool:
    return way in (Way.SEND, Way.REPLACE)


@dataclass(frozen=True, slots=True)
class Commands:
    """What the user would type: the workspace, and the `run` command line if it is known."""

    workspace: str
    run: str | None = None

    def advice(
        self, state: JobState, way: Way, error: str = "", *, named: bool = True, mixed: bool = False
    ) -> str:
        """What deals with jobs in this state for this kind of error; `named`: with these alone.

        `mixed`: the same kind of error has jobs that are free to take up and jobs that are paid again.
        """
        run = self.run or "batchgen run MANIFEST"
        retry = f"batchgen retry {self.workspace} --state {state}{_only(error) if named else ''}"
        words = _FREE_ADVICE.get(way, _ADVICE[state])
        if state is JobState.FAILED and way is Way.SEND and error in _PASSING:
            words = "the provider's own trouble, so try again when it is well: {retry} && {run}"
        if mixed:
            words = f"{_AFTER_THAT}: {words}" if _is_paid(way) else _STILL_FREE
        fetch = f"batchgen fetch {self.workspace}"
        return words.format(run=run, retry=retry, fetch=fetch, workspace=self.workspace)


def within_reach(run: str, reason: str | None) -> str:
    """The `run` command line after one that stopped for this reason: past its budget it needs a higher AMOUNT."""
    if reason is None or not reason.startswith(BUDGET_REACHED):
        return run
    words = shlex.split(run)
    if "--max-cost" in words:
        place = words.index("--max-cost")
        del words[place : place + 2]
    return shlex.join([*words, "--max-cost", "AMOUNT"])


_TASK_GOES_ON = frozenset({"unfinished", "interrupted"})
"""Kinds of error after which a task may still bring its images."""


_PASSING = frozenset(
    {"rate_limit", "saturated", "server_error", "no_channel", "upstream_limit", "empty_reply", "connection", "download"}
)
"""Kinds of error that are the provider's trouble, and pass without anybody's doing."""


class Unfinished:
    """Collects the jobs that are not done, in whatever number, and puts them into words."""

    def __init__(self, askable: Collection[str] = (), now: float = 0.0) -> None:
        """`askable`: providers that can be asked for a task; `now` tells which links are past their date."""
        self._askable = askable
        self._now = now
        self._kinds: dict[tuple[JobState, Way, str], Reasons] = {}
        self.warned = 0
        """Jobs with warnings, done or not."""

    def add(self, record: JobRecord) -> None:
        """Take one job; a job that is done is nobody's worry."""
        if record.state is JobState.DONE:
            return
        error_kind = record.error.kind if record.error else ""
        kind = self._kinds.setdefault((record.state, self.way(record), error_kind), Reasons())
        kind.add(record.job.id, reason(record))

    def more(self, state: JobState, count: int) -> None:
        """Count jobs that are like those taken of this state without an error; they are not named."""
        self._kinds[state, Way.SEND, ""].more(count)

    def lines(self, commands: Commands) -> Iterator[str]:
        """A block for each state, worst first."""
        for state, title in _TITLES.items():
            kinds = {(way, error): kind for (one, way, error), kind in self._kinds.items() if one is state}
            if not kinds:
                continue
            yield ""
            yield f"{sum(kind.count for kind in kinds.values())} {title}"
            advice = {commands.advice(state, way, error, named=False) for way, error in kinds}
            sorts = Counter(error for error, _ in {(error, _is_paid(way)) for way, error in kinds})
            # What is free comes first where one kind of error has both.
            for (way, error), kind in sorted(kinds.items(), key=lambda item: _is_paid(item[0][0])):
                yield from kind.lines()
                if not kind.whole:
                    yield f"  all of them: batchgen jobs {commands.workspace} --state {state}{_only(error)}"
                if len(advice) > 1:
                    yield f"  -> {commands.advice(state, way, error, mixed=sorts[error] > 1)}"
            if len(advice) == 1:
                yield f"  -> {advice.pop()}"

    def way(self, record: JobRecord) -> Way:
        """What a retry of this job would do."""
        kind = record.error.kind if record.error else ""
        if record.state is JobState.HELD or (record.state is JobState.FAILED and kind in _TASK_GOES_ON):
            last = record.attempts[-1] if record.attempts else None
            if last and last.task_id and not last.asked_again and kind != "task_unknown":
                return Way.ASK if last.provider in self._askable else Way.SEND
        bad = [output for output in record.outputs if output.state is OutputState.BAD]
        if record.state is not JobState.FAILED or not bad:
            return Way.SEND
        free = len(record.outputs) >= record.job.n and all(self._lives(output) for output in bad)
        return Way.DOWNLOAD if free else Way.REPLACE

    def _lives(self, output: OutputRecord) -> bool:
        dated = output.expires_at is not None and output.expires_at <= self._now
        return output.url is not None and not dated and not output.second_chance


def _only(error: str) -> str:
    """The option that leaves out all jobs but those with this kind of error."""
    return f" --error {error}" if error else ""


def reason(record: JobRecord) -> str:
    """Why one job is not done, in a line: its own error, else that of its last attempt."""
    error = record.error
    if error is None and record.attempts:
        error = record.attempts[-1].error
    words = _one_line(f"{error.kind}: {error.message}") if error else ""
    if record.waits_for is not None:
        return f"waits for the image of '{record.waits_for}'"
    if record.state is JobState.PENDING and record.not_before is not None:
        words = f"waits{until_text(record.not_before)} {f'after {words}' if words else ''}".rstrip()
    return words


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def closing(name: str, report: Report, unfinished: Unfinished, commands: Commands) -> str:
    """The whole summary, several lines without a newline at the end."""
    status = report.status
    if commands.run is not None:
        commands = replace(commands, run=within_reach(commands.run, report.reason))
    total = sum(status.jobs.values())
    done = status.jobs.get(JobState.DONE, 0)
    some = f"all {total} jobs" if total > 1 else "the one job"
    lines = [f"{name}: {some} done" if total and done == total else f"{name}: {done} of {counted(total, 'job')} done"]
    if report.reason:
        lines.append(f"stopped early: {report.reason}")
    elif report.exit_code == INTERRUPTED:
        lines.append("interrupted: the ledger is whole, run again to continue")
    lines += report.remarks
    lines += unfinished.lines(commands)
    lines += ["", *_totals(report, commands)]
    if unfinished.warned:
        jobs = counted(unfinished.warned, "job")
        lines.append(f"warnings {jobs} with something to look at: batchgen jobs {commands.workspace} --warnings")
    if warning := link_warning(status, commands):
        lines.append(f"links    {warning}")
    return "\n".join(lines)


def _totals(report: Report, commands: Commands) -> Iterator[str]:
    yield f"images   {report.store or commands.workspace}/images"
    whole = "the whole batch" if report.status.shard is None else f"shard {report.status.shard}"
    yield f"cost     {cost_words(report.status, f', for {whole}; {money_text(report.cost)} in this run')}"
    requests = counted(report.requests, "request")
    images = counted(report.images, "image")
    yield f"time     {duration(report.run_seconds)} in this run: {requests}, {images}"


def cost_words(status: Status, scope: str = "") -> str:
    """What the batch cost by the price list, or that nobody knows."""
    perhaps = ""
    if status.unsettled_cost:
        requests = counted(status.unsettled, "request")
        perhaps = f"; up to {money_text(status.unsettled_cost)} more for {requests} that may have been billed"
    if not status.cost and any(status.outputs.values()):
        return f"unknown: no price given{perhaps}"
    unpaid = "; a rehearsal: nothing was paid" if status.rehearsal else ""
    return f"{money_text(status.cost)} by the price list{scope}{perhaps}{unpaid}"


def link_warning(status: Status, commands: Commands) -> str | None:
    """Links of images that are not on disk and die within a day, or are past their date; or None."""
    if not status.expiring_within_24h or status.next_expiry is None:
        return None
    first = datetime.fromtimestamp(status.next_expiry)
    links = counted(status.expiring_within_24h, "image")
    past = status.past_their_date
    if past == status.expiring_within_24h:
        fate = f"the links are past their date, the first since {first:%H:%M on %d %B}"
    elif past:
        fate = f"{counted(past, 'link')} past the date, the others die within 24 hours"
    else:
        fate = f"the links die within 24 hours, the first at {first:%H:%M on %d %B}"
    return f"{links} not on disk, and {fate}: batchgen fetch {commands.workspace}"


def store_words(status: Status, workspace: str) -> str | None:
    """That an object store takes no images, and where they are meanwhile; None while it does."""
    if not status.store_down:
        return None
    waiting = counted(status.outputs.get(OutputState.REMOTE, 0), "image")
    return f"{status.store_down}; {waiting} not there yet, those that came wait in {workspace}"


def counts(numbers: Mapping[_State, int], states: Iterable[_State]) -> str:
    """`97 done, 2 refused, 1 held`, in the order of `states`; what counts nothing is left out."""
    return ", ".join(f"{number} {state}" for state in states if (number := numbers.get(state, 0))) or "none"


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
