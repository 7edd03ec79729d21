"""Batch image generation against OpenAI-compatible providers: every paid image on disk, none paid twice.

    import asyncio, os, batchgen

    result = asyncio.run(batchgen.run("jobs/demo.yaml", keys=os.environ))

The public names are those of `__all__`; they are imported when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""That of `typing`, which takes longer to import than all else here."""

if TYPE_CHECKING:
    from batchgen.api import Result, iterate, run
    from batchgen.errors import BatchgenError, ManifestError, UsageError, WorkspaceError
    from batchgen.ledger.records import AttemptRecord, ErrorRecord, JobRecord, OutputRecord, Status
    from batchgen.model import Job, JobState, OnUnknown, Outcome, OutputState
    from batchgen.sinks import Report
    from batchgen.stop import StopSignal

__all__ = [
    "AttemptRecord",
    "BatchgenError",
    "ErrorRecord",
    "Job",
    "JobRecord",
    "JobState",
    "ManifestError",
    "OnUnknown",
    "Outcome",
    "OutputRecord",
    "OutputState",
    "Report",
    "Result",
    "Status",
    "StopSignal",
    "UsageError",
    "WorkspaceError",
    "iterate",
    "run",
]

_HOMES = {
    "batchgen.api": ("Result", "iterate", "run"),
    "batchgen.errors": ("BatchgenError", "ManifestError", "UsageError", "WorkspaceError"),
    "batchgen.ledger.records": ("AttemptRecord", "ErrorRecord", "JobRecord", "OutputRecord", "Status"),
    "batchgen.model": ("Job", "JobState", "OnUnknown", "Outcome", "OutputState"),
    "batchgen.sinks": ("Report",),
    "batchgen.stop": ("StopSignal",),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import batchgen` stays cheap."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'batchgen' has no attribute {name!r}")
