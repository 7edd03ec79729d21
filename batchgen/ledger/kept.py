"""What the ledger says of things that were kept whole: files that it answers for, and replies as text."""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.model import Job, JobState, Outcome


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that the ledger answers for."""

    path: str
    sha256: str
    bytes: int
    job_id: str
    output_id: int = 0
    current: bool = True
    """False: of an earlier wording of the job, or replaced since"""
    store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedReply:
    """The last complete reply of an attempt, as text without base64."""

    attempt_id: int
    key: int
    job: Job
    state: JobState
    provider: str
    outcome: Outcome
    http_status: int | None
    task_id: str | None
    text: str
    received_at: float
    reserved: float | None = None
    """the most that the request was reckoned to cost; None: no price was known"""
