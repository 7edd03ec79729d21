"""Settles the attempts that a killed or aborted run left open, before anything new is sent.

What the provider had told by then is used first: a spooled answer, a kept reply, a task id. Only an
attempt of which nothing is known becomes `held`. Sends nothing and asks nobody.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

import anyio.to_thread

from batchgen.errors import Interrupted, NotSent
from batchgen.events import Generated
from batchgen.images.spool import forget_answers, noted_answers
from batchgen.lanes.context import Context
from batchgen.ledger.records import OpenAttempt
from batchgen.model import JobState, OnUnknown, Outcome
from batchgen.providers.costs import asked, charge
from batchgen.providers.prices import currency, exact
from batchgen.reparse import Rereading, reread

log = logging.getLogger(__name__)


async def settle_leftovers(context: Context, simulated: Collection[str]) -> dict[str, list[OpenAttempt]]:
    """Settle every open attempt that nobody need be asked about; return the others by provider.

    `simulated`: providers that ended together with the run, so that what they were asked was never billed.
    """
    askable: dict[str, list[OpenAttempt]] = defaultdict(list)
    found = await context.ledger.open_attempts()
    wanted = {attempt.attempt_id for attempt in found}
    noted = await anyio.to_thread.run_sync(noted_answers, context.workspace, wanted) if found else {}
    for attempt in found:
        if attempt.attempt_id in noted:
            await _adopt(context, attempt, noted[attempt.attempt_id])
        elif (task_id := await _from_reply(context, attempt, attempt.provider in simulated)) is not None:
            askable[attempt.provider].append(replace(attempt, task_id=task_id))
    await anyio.to_thread.run_sync(forget_answers, context.workspace)
    return askable


async def _from_reply(context: Context, attempt: OpenAttempt, simulated: bool) -> str | None:
    """Settle an attempt by its kept reply; or return the task id that its provider can be asked for."""
    profile = context.profiles.get(attempt.provider)
    reply = await context.ledger.reader.reply(attempt.attempt_id)
    told = Rereading() if reply is None else reread(reply, profile)
    if told.generated is not None and await _whole(context, attempt, told.generated):
        await _adopt(context, attempt, told.generated)
        return None
    task_id = attempt.task_id or told.task_id
    if task_id is not None and profile is not None and profile.task_url:
        if attempt.task_id is None:
            await context.ledger.task_seen(attempt.attempt_id, task_id)
        return task_id
    await _settle(context, attempt, simulated)
    if told.generated is not None:
        # Fewer images than were asked for: these are kept, and the rest waits for the user's word.
        await _adopt(context, attempt, told.generated)
    return None


async def _whole(context: Context, attempt: OpenAttempt, generated: Generated) -> bool:
    """Whether these are all the images the attempt had asked for: a kept reply may have been cut."""
    record = await context.ledger.reader.job(attempt.job.id)
    have = len(record.outputs) if record else 0
    profile = context.profiles.get(attempt.provider)
    rule = profile.rule(attempt.job.at(attempt.provider).model) if profile else None
    return len(generated.images) >= asked(rule, attempt.job.n - have)


async def _adopt(context: Context, attempt: OpenAttempt, generated: Generated) -> None:
    profile = context.profiles.get(attempt.provider)
    most = exact(attempt.reserved)
    cost = currency(charge(profile, attempt.job, len(generated.images), generated.usage, most))
    state = await context.ledger.generated(attempt.attempt_id, generated, context.now(), cost)
    log.info("%s: %d images of an interrupted attempt were recovered", attempt.job.id, len(generated.images))
    context.images += len(generated.images)
    context.sink.moved(attempt.job.id, JobState.RUNNING, state)


async def _settle(context: Context, attempt: OpenAttempt, simulated: bool) -> None:
    error: Interrupted | NotSent
    if simulated:
        error = NotSent("the simulated provider ended together with the run")
        outcome, state = Outcome.FAILED, JobState.PENDING
    else:
        error = Interrupted("the run ended before the answer came; it may have been billed")
        outcome, state = Outcome.UNKNOWN, JobState.HELD
        if context.settings.on_unknown is OnUnknown.RESEND:
            state = JobState.PENDING
    await context.ledger.settle(
        attempt.attempt_id,
        outcome,
        error,
        context.now(),
        state=state,
        not_before=None,
        counted=outcome is Outcome.UNKNOWN,
    )
    context.sink.moved(attempt.job.id, JobState.RUNNING, state)
