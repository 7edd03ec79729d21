"""Obeys the orders of whoever looks at a batch: pause, resume, retry, cancel. Used by a run, and without one."""

from __future__ import annotations

import logging

from batchgen.lanes.context import Context
from batchgen.ledger.orders import Wish
from batchgen.model import JobState

PAUSED = "paused by the user"
"""What a provider waits for then."""

log = logging.getLogger(__name__)


async def obey(context: Context) -> None:
    """Take what was ordered since the last call, and do it."""
    for order in await context.ledger.take_orders():
        match order.what:
            case Wish.PAUSE | Wish.RESUME:
                context.paused = order.what is Wish.PAUSE
                log.info("%s by the user", "paused" if context.paused else "resumed")
            case Wish.RETRY:
                found = await context.ledger.put_back(order.chosen, context.now())
                log.info("%d jobs put back by the user", found.total)
                status = await context.ledger.status()
                context.sink.started(sum(status.jobs.values()), status)
            case Wish.CANCEL:
                cancelled = await context.ledger.cancel(order.chosen)
                log.info("%d jobs cancelled by the user", len(cancelled))
                for job_id in cancelled:
                    context.sink.moved(job_id, JobState.PENDING, JobState.CANCELLED)
                await context.relay.settle()
        context.routing.stir()
