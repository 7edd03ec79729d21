"""Obeys the orders of whoever looks at a batch: pause, resume, retry, cancel, fetch once more. Sends nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from batchgen.lanes.context import Context
from batchgen.ledger.orders import Order, Wish
from batchgen.ledger.records import OpenAttempt
from batchgen.model import JobState
from batchgen.reparse import refetch

PAUSED = "paused by the user"
"""What a provider waits for then."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ordered:
    """What orders leave to the run: jobs or images to take up (`anew`), and attempts whose task is to be asked."""

    anew: bool = False
    reopened: list[OpenAttempt] = field(default_factory=list)


async def obey(context: Context, *, tasks: bool) -> Ordered:
    """Take what was ordered since the last call, and do it. `tasks`: this run asks for tasks."""
    ordered = Ordered()
    for order in await context.ledger.take_orders():
        match order.what:
            case Wish.PAUSE | Wish.RESUME:
                context.paused = order.what is Wish.PAUSE
                log.info("%s by the user", "paused" if context.paused else "resumed")
            case Wish.RETRY | Wish.FETCH:
                ordered.reopened += await _take_up(context, order, tasks=tasks)
                ordered.anew = True
                status = await context.ledger.status()
                context.sink.started(sum(status.jobs.values()), status)
            case Wish.CANCEL:
                cancelled = await context.ledger.cancel(order.chosen)
                log.info("%d jobs cancelled by the user", len(cancelled))
                for job_id in cancelled:
                    context.sink.moved(job_id, JobState.PENDING, JobState.CANCELLED)
                await context.relay.settle()
        context.routing.stir()
    return ordered


async def _take_up(context: Context, order: Order, *, tasks: bool) -> list[OpenAttempt]:
    ledger = context.ledger
    if order.what is Wish.RETRY:
        retried = await ledger.put_back(order.chosen, context.now())
        log.info("%d jobs put back by the user", retried.total)
        return await _opened(context, retried.reopened)
    found = await refetch(ledger, order.chosen, tasks=tasks, now=context.now)
    log.info("%s, by the user", found.words())
    return await _opened(context, found.reopened)


async def _opened(context: Context, attempt_ids: Collection[int]) -> list[OpenAttempt]:
    if not attempt_ids:
        return []
    return [one for one in await context.ledger.open_attempts() if one.attempt_id in attempt_ids]
