"""What a run tells those who watch it: the `Sink` they implement and the `Report` it closes with.

The ledger is always told first, so a sink may be late, but never wrong. A sink never blocks, never
raises and decides nothing. Imports only values, so that the engine and the views can both name it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from batchgen.events import Event
from batchgen.ledger.records import Status
from batchgen.model import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run ended. `reason` says in plain words why it stopped early, else None.

    `run_seconds`, `requests`, `images` and `cost` are those of this run; `status` is the whole batch.
    """

    exit_code: int
    reason: str | None
    status: Status
    run_seconds: float
    requests: int
    images: int
    cost: float = 0.0
    store: str | None = None
    """the address of the object store that its images went to; None: the workspace"""
    remarks: tuple[str, ...] = ()
    """what a person should know of how it went, a line each: whose jobs another provider took over, and why"""


class Sink(Protocol):
    """Told what happens, after it is in the ledger. Times are epoch seconds."""

    def started(self, total: int, status: Status) -> None:
        """The run begins, or takes up jobs again: `total` of them in the batch, standing as `status` says."""
        ...

    def event(self, job_id: str, provider: str, event: Event) -> None:
        """A worker reported a fact about a job."""
        ...

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """A job went from one state to another."""
        ...

    def waiting(self, provider: str, until: float | None, reason: str | None) -> None:
        """A provider gets no requests until then; `reason` None: it goes on."""
        ...

    def staffed(self, words: str) -> None:
        """Who is there to work, on a cluster; told again when it changes."""
        ...

    def finished(self, report: Report) -> None:
        """The run is over; nothing is reported after this."""
        ...


@dataclass(frozen=True, slots=True)
class Both:
    """Two who watch; the first is told first."""

    first: Sink
    second: Sink

    def started(self, total: int, status: Status) -> None:
        """Passed on."""
        self.first.started(total, status)
        self.second.started(total, status)

    def event(self, job_id: str, provider: str, event: Event) -> None:
        """Passed on."""
        self.first.event(job_id, provider, event)
        self.second.event(job_id, provider, event)

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """Passed on."""
        self.first.moved(job_id, old, new)
        self.second.moved(job_id, old, new)

    def waiting(self, provider: str, until: float | None, reason: str | None) -> None:
        """Passed on."""
        self.first.waiting(provider, until, reason)
        self.second.waiting(provider, until, reason)

    def staffed(self, words: str) -> None:
        """Passed on."""
        self.first.staffed(words)
        self.second.staffed(words)

    def finished(self, report: Report) -> None:
        """Passed on."""
        self.first.finished(report)
        self.second.finished(report)


class NullSink:
    """Watches nothing."""

    def started(self, total: int, status: Status) -> None:
        """Ignored."""

    def event(self, job_id: str, provider: str, event: Event) -> None:
        """Ignored."""

    def moved(self, job_id: str, old: JobState, new: JobState) -> None:
        """Ignored."""

    def waiting(self, provider: str, until: float | None, reason: str | None) -> None:
        """Ignored."""

    def staffed(self, words: str) -> None:
        """Ignored."""

    def finished(self, report: Report) -> None:
        """Ignored."""
