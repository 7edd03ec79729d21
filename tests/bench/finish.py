"""Ends every pending job of a workspace as if its image had been saved: `python -m tests.bench.finish WORKSPACE`.

For batches of a size that takes too long to run. The facts go through the ledger's own calls; the files are empty.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from batchgen.events import Generated, RemoteImage, Replied, Saved
from batchgen.ledger.records import DueOutput, PendingJob
from batchgen.ledger.store import Ledger

AT_ONCE = 1000
LINK = "https://files.example.com/"


async def finish(workspace: Path) -> None:
    """A thousand jobs at a time: begun, generated, saved."""
    async with Ledger.open(workspace, now=time.time) as ledger:
        while jobs := await ledger.pending("bench", time.time(), AT_ONCE, exclude=()):
            await asyncio.gather(*(_generate(ledger, job) for job in jobs))
            due = await ledger.due_outputs(time.time(), AT_ONCE, exclude=())
            for one in due:
                (workspace / _file(one).path).touch()
            await asyncio.gather(*(ledger.saved(one.output_id, _file(one), time.time()) for one in due))


async def _generate(ledger: Ledger, pending: PendingJob) -> None:
    attempt = await ledger.begin_attempt(pending.key, "bench", at=time.time(), idempotency_key=str(pending.key))
    image = RemoteImage(url=f"{LINK}{pending.key}.png")
    await ledger.replied(attempt, Replied(200, None, "{}"))
    await ledger.generated(attempt, Generated(images=(image,)), at=time.time(), cost=None)


def _file(output: DueOutput) -> Saved:
    digest = f"{output.output_id:064x}"
    return Saved(path=f"images/{output.job.id}.png", sha256=digest, bytes=1, width=1, height=1, format="png")


if __name__ == "__main__":
    asyncio.run(finish(Path(sys.argv[1])))
