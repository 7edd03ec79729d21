"""One provider's submissions: take pending jobs in order, send them through the gate, record each fact.

The attempt is in the ledger before the request leaves, and every event before the next one is asked
for. A failure becomes a verdict of retry.py, and the verdict a row; nothing is retried from memory.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from contextlib import aclosing
from functools import partial

import anyio

from batchgen.engines.base import ABSENT_SECONDS
from batchgen.errors import RateLimited
from batchgen.events import Allowance, Failed, Generated, Replied, TaskSeen
from batchgen.lanes.attempt import Attempt
from batchgen.lanes.context import Context
from batchgen.lanes.descent import descended, paid_turns
from batchgen.lanes.hand import Hand
from batchgen.lanes.keyring import SLACK, Keyring
from batchgen.later import Later
from batchgen.ledger.chains import PARENT
from batchgen.ledger.records import ErrorRecord, OpenAttempt, Paces, PendingJob
from batchgen.ledger.states import Withdrawn
from batchgen.model import JobState, Recovery, Submission
from batchgen.providers.costs import PriceList, perhaps_billed
from batchgen.providers.prices import currency, exact
from batchgen.retry import Action, History, decide

log = logging.getLogger(__name__)


class SubmitLane:
    """Sends the jobs of one provider until none is left, it is parked, or the run stops."""

    def __init__(
        self, provider: str, context: Context, delivered: Callable[[], None], paces: Paces | None = None
    ) -> None:
        """`paces`: what earlier runs noted of this provider."""
        self._provider = provider
        self._context = context
        self._profile = context.profiles[provider]
        self._prices = PriceList(self._profile)
        self._delivered = delivered
        self._routing = context.routing
        self._hand = Hand(provider, context)
        self.due: float | None = None
        self.keys = Keyring(
            self._profile,
            context.keys.get(provider, ()),
            concurrency=context.settings.concurrency,
            now=context.now,
            everyone=context.everyone,
            patience=context.settings.patience,
            paces=paces,
        )
        context.stop.listen(self.keys.bell.ring)
        self._routing.join(provider, self.keys)

    @property
    def gave_up(self) -> str | None:
        """Why this provider gets nothing more in this run, or None."""
        now = self._context.now()
        return self.keys.gone(now) if self.keys.gives_up(now) else None

    async def run(self, found: list[OpenAttempt]) -> None:
        """Re-attach to the attempts `found` open at the start, and send what is pending."""
        async with anyio.create_task_group() as group:
            for left in found:
                self._routing.busy += 1
                group.start_soon(Later, self.reattach, left)
            await self._hours()
            while (pending := await self._next()) is not None:
                attempt = await self._admitted(pending)
                if attempt is not None:
                    self._routing.busy += 1
                    group.start_soon(Later, self._attempt, attempt, pending)
                elif self._context.budget.reached is None or self._barred(pending):
                    self._hand.give_back(pending)
                else:
                    break
            self._hand.drop()
            self._routing.leave(self._provider, gone=self.gave_up is not None)

    async def note_paces(self) -> None:
        """Put what the traffic taught into the ledger, for the next run: a told wait holds for that one too."""
        for (key, model), pace in self.keys.fresh_paces().items():
            await self._context.ledger.note_pace(self._provider, key, model, pace)

    async def _hours(self) -> None:
        """Wait for the run's first hour, if anything is to be sent; known tasks are asked meanwhile."""
        self.keys.opens_at = self._context.scope.begins
        while self.keys.opens_at is not None and not self._closed():
            seen, now = self.keys.bell.rings, self._context.now()
            left = self.keys.opens_at - now
            if left <= 0 or await self._idle(now, seen):
                self.keys.opens_at = None
            else:
                await self.keys.bell.wait(seen, left)

    async def _idle(self, now: float, seen: int) -> bool:
        """Whether there is nothing to send here, now or later; `seen`: the rings before anybody looked."""
        self.due = await self._hand.next_due(now)
        if self.due is not None or self._routing.busy:
            return False
        if not self._hand.scope_spent and await self._context.relay.may_come(self._provider, now):
            return False
        return not self._routing.busy and self.keys.bell.rings == seen

    def _closed(self) -> bool:
        return self._context.stop.draining or self.gave_up is not None

    def _barred(self, pending: PendingJob) -> bool:
        """Whether a job that waits for its place is not to be sent here after all."""
        return self._closed() or not self._routing.goes_to(pending.route, self._provider, self._context.now())

    async def _admitted(self, pending: PendingJob) -> Attempt | None:
        """What is ready to leave, with its cost set aside and a place; None when it is not to go here after all."""
        budget, barred = self._context.budget, partial(self._barred, pending)
        job = pending.job.at(self._provider)
        ask = self._prices.asked(job, job.n - pending.have)
        most = self._prices.worst(job, ask, await paid_turns(self._context, job, self._provider, self._prices))
        if not await budget.take(most, self.keys.bell, barred):
            return None
        place = await self.keys.enter(job.model, ask, barred, pending.unanswered_env)
        if place is None:
            budget.settle(most, 0)
            return None
        return Attempt(0, pending.key, job, pending.tries, ask=ask, place=place, before=pending, most=most)

    async def _next(self) -> PendingJob | None:
        """The next job to send, waiting for one that is due later; None when this lane is finished."""
        hand, bell, context = self._hand, self.keys.bell, self._context
        while not self._closed():
            seen, now, ready, again = bell.rings, context.now(), 0.0, float("inf")
            if context.paused or context.engine.absent is not None:
                hand.drop()
                await bell.wait(seen, float("inf") if context.paused else ABSENT_SECONDS)
                continue
            if self.keys.is_out(now):
                # It is sent one job now and then, to see whether it is back; the others go elsewhere.
                hand.drop()
                ready = self.keys.ready_at(now)
                if ready - now <= SLACK:
                    await hand.fill(now, 1)
            else:
                hand.sort_out(now)
                again = await hand.retries_first(now)
                await hand.turns_first(now)
                if hand.empty:
                    await hand.fill(now)
            closed = self.keys.closed(hand.models, now)
            if (pending := hand.take(closed)) is not None:
                return pending
            if not hand.empty:
                look = await hand.look_beyond(now)
                if closed.issuperset(hand.models):
                    await self.keys.wait(seen, now, min(look, again))
                continue
            if await self._idle(now, seen):
                return None
            # A job that is due already is one that a lane holds itself: its end will ring.
            times = (self.due or 0.0, ready, again, self.keys.gives_up_at())
            await bell.wait(seen, min((time for time in times if time > now), default=float("inf")) - now)
        return None

    async def _attempt(self, attempt: Attempt, pending: PendingJob) -> None:
        context, job, place = self._context, attempt.job, attempt.place
        assert place is not None  # admitted
        # Asking again for what nobody answered uses the same key, so that gateways which honour it can.
        key = pending.unanswered_key or uuid.uuid4().hex
        try:
            with context.guarded():
                descent = await descended(context, job, self._provider)
                if descent is None:
                    await self._without_image(pending)
                    return
                now = context.now()
                attempt.id = await context.ledger.begin_attempt(
                    pending.key,
                    self._provider,
                    at=now,
                    idempotency_key=key,
                    key_env=place.key,
                    reserved=currency(attempt.most),
                )
                self._routing.claimed.discard(pending.key)
                context.requests += 1
                self._routing.sent(pending, self._provider, now)
                context.sink.moved(job.id, JobState.PENDING, JobState.RUNNING)
                work = Submission(
                    attempt_id=attempt.id,
                    job=descent.job,
                    provider=self._provider,
                    ask=attempt.ask,
                    idempotency_key=key,
                    key=place.key,
                    turns=descent.turns,
                )
                await self._follow(work, attempt)
        except Withdrawn:
            self._hand.give_back(pending)
        finally:
            context.budget.settle(attempt.most, attempt.cost, perhaps=attempt.perhaps)
            self._routing.busy -= 1
            place.leave(context.now())

    async def _without_image(self, pending: PendingJob) -> None:
        """The job's parent is done and has not the image that it asks for: it can never start."""
        job = pending.job
        words = f"its parent '{job.after}' is done, but has no image {job.after_image} (they count from 0)"
        await self._context.ledger.end_pending(pending.key, JobState.FAILED, ErrorRecord(PARENT, None, words))
        self._hand.give_back(pending)
        await self._ended(pending.key, job.id, JobState.PENDING, JobState.FAILED)

    async def _ended(self, key: int, job_id: str, old: JobState, new: JobState) -> None:
        if new is JobState.PENDING and key in self._context.started:
            self._context.returned.add(key)
        self._context.sink.moved(job_id, old, new)
        await self._context.relay.moved(key, new)

    async def reattach(self, found: OpenAttempt) -> None:
        """Follow an open attempt by its task. It counts as `busy` already; the lane itself need not be open."""
        most, only_ask = exact(found.reserved), found.only_ask
        attempt = Attempt(found.attempt_id, found.key, found.job, found.tries, found.task_id, only_ask, most=most)
        try:
            with self._context.guarded():
                await self._follow(self._recovery(attempt), attempt)
        finally:
            self._context.budget.settle(most, attempt.cost, perhaps=attempt.perhaps)
            self._routing.busy -= 1
            self._routing.stir()

    def _recovery(self, attempt: Attempt) -> Recovery:
        return Recovery(
            attempt_id=attempt.id,
            job_id=attempt.job.id,
            provider=self._provider,
            task_id=attempt.task_id or "",
        )

    async def _follow(self, work: Submission | Recovery, attempt: Attempt) -> None:
        """Run one work and, when its outcome is open and its task known, the recovery after it."""
        following: Submission | Recovery | None = work
        while following is not None:
            following = await self._once(following, attempt)

    async def _once(self, work: Submission | Recovery, attempt: Attempt) -> Recovery | None:
        context = self._context
        async with aclosing(context.engine.run(work)) as events:
            async for event in events:
                match event:
                    case TaskSeen(task_id):
                        attempt.task_id = task_id
                        await context.ledger.task_seen(attempt.id, task_id)
                    case Allowance():
                        if attempt.place is not None:
                            attempt.place.told(event, context.now())
                    case Replied():
                        await context.ledger.replied(attempt.id, event)
                    case Generated():
                        await self._generated(event, work, attempt)
                    case Failed():
                        context.sink.event(attempt.job.id, self._provider, event)
                        return await self._failed(event, work, attempt)
                context.sink.event(attempt.job.id, self._provider, event)
        return None

    async def _generated(
        self, event: Generated, work: Submission | Recovery, attempt: Attempt
    ) -> None:
        context = self._context
        if attempt.place is not None:
            attempt.place.served(context.now(), timed=isinstance(work, Submission))
        cost = self._prices.charge(attempt.job, len(event.images), event.usage, attempt.most)
        state = await context.ledger.generated(attempt.id, event, at=context.now(), cost=currency(cost))
        attempt.cost, attempt.perhaps = cost, False
        context.images += len(event.images)
        if state is JobState.PENDING and attempt.key in context.started:
            context.returned.add(attempt.key)
        context.sink.moved(attempt.job.id, JobState.RUNNING, state)
        self._delivered()

    async def _failed(
        self, event: Failed, work: Submission | Recovery, attempt: Attempt
    ) -> Recovery | None:
        context, now, error = self._context, self._context.now(), event.error
        place = attempt.place
        beyond = isinstance(work, Submission) and place is not None and place.failed(error, now)
        can_ask = isinstance(work, Submission) and bool(attempt.task_id and self._profile.task_url)
        history = History(
            tries=attempt.tries,
            max_attempts=context.settings.max_attempts,
            has_task=can_ask,
            on_unknown=context.settings.on_unknown,
            provider_down=place is not None and place.line.breaker.is_open,
            beyond=beyond,
            repeats=attempt.repeats(error),
            others=attempt.before is not None and len(attempt.before.route) > 1,
            only_ask=attempt.only_ask,
        )
        verdict = decide(error, history, now=now, jitter=context.jitter())
        log.info("%s at %s: %s: %s -> %s", attempt.job.id, self._provider, error.kind, error, verdict.action.value)
        if verdict.action is Action.RECOVER:
            await context.ledger.keep_open(attempt.id, error, now, event.reply)
            return self._recovery(attempt)
        if verdict.action is Action.PARK:
            self.keys.park(place.gate if place else None, error)
        if isinstance(error, RateLimited):
            await self.note_paces()
        await context.ledger.settle(
            attempt.id,
            verdict.outcome,
            error,
            now,
            state=verdict.state,
            not_before=verdict.at,
            counted=verdict.counted,
            route=self._routing.turned_away(attempt.before, self._provider)
            if verdict.action is Action.ELSEWHERE and attempt.before is not None
            else None,
            reply=event.reply,
        )
        if verdict.at is not None:
            self._hand.expect(verdict.at)
        attempt.perhaps = perhaps_billed(verdict.outcome, error)
        await self._ended(attempt.key, attempt.job.id, JobState.RUNNING, verdict.state)
        return None
