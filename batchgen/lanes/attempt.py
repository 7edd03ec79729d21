"""An attempt under way: what its lane keeps of it until it has ended. Values only; the facts are in the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.errors import JobError
from batchgen.ledger.records import PendingJob
from batchgen.ledger.rows import signature
from batchgen.limiter import Pass
from batchgen.model import Job


@dataclass(slots=True)
class Attempt:
    """An attempt under way, as the lane remembers it between two events."""

    id: int
    """0 until it is in the ledger"""
    key: int
    job: Job
    tries: int
    task_id: str | None = None
    only_ask: bool = False
    """nothing is sent, whatever comes of its task"""
    ask: int = 0
    """images that it asks for"""
    place: Pass | None = None
    """what it went with; None for an attempt of an earlier run"""
    before: PendingJob | None = None
    """the job as it was claimed; None for an attempt of an earlier run"""
    most: int | None = None
    """what was set aside for it, in millionths; None: no price is known"""
    cost: int | None = None
    perhaps: bool = True
    """nobody told yet whether it is billed"""

    def repeats(self, error: JobError) -> int:
        """How often in a row this same error came before."""
        same = self.before is not None and self.before.last_error == signature(error)
        return self.before.repeats if self.before is not None and same else 0
