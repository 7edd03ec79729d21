"""What a rehearsal says before and after: that nothing is paid, and what the real thing would cost and take."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from batchgen.cli.planning import Limits, cost_text, make_plan
from batchgen.manifest.load import Manifest
from batchgen.model import JobState
from batchgen.plan import Plan
from batchgen.progress import duration
from batchgen.providers.twins import SPEED, Night
from batchgen.sinks import Report
from batchgen.summary import counted


async def real_plan(manifest: Manifest, limits: Limits) -> Plan:
    """What the whole of the real manifest takes; the real workspace is not even looked at."""
    with tempfile.TemporaryDirectory() as nowhere:
        return await make_plan(manifest, Path(nowhere), limits)


def opening(night: Night, plan: Plan, workspace: Path) -> str:
    """The lines above the plan of a rehearsal."""
    kind = "an ordinary night" if night is Night.ORDINARY else "a bad night"
    line = (
        f"rehearsal of {kind}: every provider is simulated and no key is used, a minute of the real thing "
        f"takes {60 / SPEED:g} s, and nothing is paid"
    )
    if not plan.requests:
        line += f"\nall of it was rehearsed before; to begin anew: rm -r {shlex.quote(str(workspace))}"
    return line


def ending(plan: Plan, report: Report) -> str:
    """The lines below the summary of a rehearsal. `plan` is that of the real manifest."""
    status = report.status
    requests, seconds = plan.requests, plan.seconds
    if not status.jobs.get(JobState.PENDING) and requests:
        # Every job was sent, so the night's retries are known too.
        requests = max(requests, status.attempts)
        seconds *= requests / plan.requests
    sent = f"{counted(requests, 'request')} for {counted(plan.images, 'image')}"
    return (
        "rehearsal nothing was sent to a provider, and nothing was paid\n"
        f"for real  {sent}: {cost_text(plan)}; time {duration(seconds)}, an estimate"
    )
