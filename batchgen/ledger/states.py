"""The rule that a job moves only along `model.STEPS`, and what its outputs make of it.

Pure. The SQL repeats the expected state in its WHERE clause; a row that does not fit is an
illegal step and raises, never a silent no-op.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.errors import BatchgenError
from batchgen.model import STEPS, JobState


class IllegalStep(BatchgenError):
    """A job, attempt or output was told to go where it can't go from where it is: a mistake in batchgen."""


class Withdrawn(BatchgenError):
    """The user cancelled a job after it was claimed and before its request was recorded: it is not sent."""


def require_step(name: str, old: JobState, new: JobState) -> None:
    """Raise `IllegalStep` unless `model.STEPS` leads from `old` to `new`."""
    if new not in STEPS[old]:
        raise IllegalStep(f"job {name!r} can't go from {old} to {new}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """A job's outputs in its current round, counted by state; superseded ones are left out."""

    remote: int = 0
    saved: int = 0
    expired: int = 0
    bad: int = 0

    @property
    def total(self) -> int:
        """How many images the provider delivered that were not given up."""
        return self.remote + self.saved + self.expired + self.bad


def state_by_outputs(outputs: Tallied, wanted: int) -> JobState:
    """Where a job without an open attempt stands, by its images alone."""
    if outputs.total < wanted:
        return JobState.PENDING
    if outputs.remote:
        return JobState.GENERATED
    if outputs.expired:
        return JobState.EXPIRED
    return JobState.FAILED if outputs.bad else JobState.DONE
