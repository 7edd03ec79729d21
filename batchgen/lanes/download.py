"""The download lane: brings every output to disk, the link that dies first goes first.

It runs beside the submissions and also alone. A dead link is answered by asking the task for a
fresh one, never by a new generation request.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import anyio
from anyio.abc import TaskGroup

from batchgen.errors import JobError, StoreDown
from batchgen.events import Event, Failed, Generated, Saved
from batchgen.images.naming import target, templated, values_of
from batchgen.images.provenance import about
from batchgen.images.remarks import about_shape
from batchgen.lanes.context import Context
from batchgen.later import Later
from batchgen.ledger.records import DueOutput
from batchgen.ledger.rows import STORE_DOWN
from batchgen.limiter import Bell
from batchgen.model import END_STATES, Download, JobState, OutputState, Recovery
from batchgen.retry import DownloadVerdict, decide_download

log = logging.getLogger(__name__)

DEFAULT_CONCURRENCY = 16
"""Downloads at once, for each process that does the work."""

BLOCK = 32
"""Outputs claimed at a time: one look into the ledger for many downloads."""

GATHER = 0.005
"""Seconds between a ring and the look that follows: many deliveries, one look."""


class DownloadLane:
    """Fetches outputs of all providers until none is left and no more will come."""

    def __init__(self, context: Context, *, concurrency: int | None, more: Callable[[], bool]) -> None:
        self._context = context
        self._wanted = concurrency
        self._more = more
        self._claimed: deque[DueOutput] = deque()
        self._busy: set[int] = set()
        self._asked: set[int] = set()
        self._store_down: str | None = None
        self.put_off: set[int] = set()
        self.bell = Bell()
        context.stop.listen(self.bell.ring)

    @property
    def _places(self) -> int:
        return self._wanted or DEFAULT_CONCURRENCY * self._context.engine.hands

    async def run(self) -> None:
        """Until nothing is outstanding; while draining, until nothing is due at once."""
        async with anyio.create_task_group() as group:
            while True:
                seen, now = self.bell.rings, self._context.now()
                if not self._claimed and len(self._busy) < self._places:
                    self._claimed.extend(await self._due(now))
                self._start(group)
                if self._claimed:
                    await self.bell.wait(seen, float("inf"))  # for a place
                    continue
                due, stop = await self._context.ledger.next_output_due(self.put_off | self._busy), self._context.stop
                # What could not be written is still due: after a fatal stop it stays so for the next run.
                finished = due is None or stop.fatal or (stop.draining and due > now)
                if finished and not self._busy and not self._more():
                    return
                await self.bell.wait(seen, due - now if due is not None and due > now else float("inf"))
                await anyio.sleep(GATHER)

    def take_up(self) -> None:
        """Somebody wants images once more: what this run had left to the next one is tried, and tasks asked, again."""
        self.put_off.clear()
        self._asked.clear()
        self.bell.ring()

    def _start(self, group: TaskGroup) -> None:
        while (output := self._next()) is not None:
            group.start_soon(Later, self._fetch_on, output)

    def _next(self) -> DueOutput | None:
        """The next one of those that are claimed, if there is a place for it."""
        if self._context.stop.fatal:
            self._claimed.clear()
        if not self._claimed or len(self._busy) >= self._places:
            return None
        output = self._claimed.popleft()
        self._busy.add(output.output_id)
        return output

    async def _fetch_on(self, output: DueOutput | None) -> None:
        """Fetch this one, and then whatever is next: a task for each would cost more."""
        while output is not None:
            await self._fetch(output)
            output = self._next()
        self.bell.ring()

    async def _due(self, now: float) -> list[DueOutput]:
        if self._context.stop.fatal:
            return []
        return await self._context.ledger.due_outputs(now, BLOCK, exclude=self._busy | self.put_off)

    async def _fetch(self, output: DueOutput) -> None:
        context = self._context
        work = Download(
            output_id=output.output_id,
            job_id=output.job.id,
            provider=output.provider,
            position=output.position,
            urls=output.urls,
            spool=output.spool,
            target=_target(output, context.rules.path),
            rules=context.rules,
            about=about(output, _utc(output.delivered_at)) if context.rules.tells else {},
        )
        try:
            with context.guarded():
                async with aclosing(context.engine.run(work)) as events:
                    async for event in events:
                        await self._record(event, output)
        finally:
            self._busy.discard(output.output_id)
            context.relay.stir()

    async def _record(self, event: Event, output: DueOutput) -> None:
        context = self._context
        if isinstance(event, Saved):
            if event.store is not None:
                await self._store_said(event.store, None, None)
            exact = output.provider not in context.simulated
            remarks = about_shape(output.job, event.width, event.height, exact=exact)
            if remarks:
                event = replace(event, warnings=(*event.warnings, *remarks))
            state = await context.ledger.saved(output.output_id, event, context.now())
            await self._moved(output, state)
        elif isinstance(event, Failed):
            await self._failed(event.error, output)
        context.sink.event(output.job.id, output.provider, event)

    async def _failed(self, error: JobError, output: DueOutput) -> None:
        context = self._context
        log.info("%s image %d: %s: %s", output.job.id, output.position, error.kind, error)
        verdict = self._judge(error, output)
        if verdict.ask_task:
            if await self._fresh_links(output):
                return
            verdict = self._judge(error, output, may_ask=False)
        if verdict.state is OutputState.REMOTE and verdict.at is None:
            self.put_off.add(output.output_id)
        if isinstance(error, StoreDown):
            if self._store_down is None:
                log.warning("images wait in the workspace: %s", error.message)
            await self._store_said(context.rules.store or "", error.message, verdict.at)
        moved = await context.ledger.output_failed(
            output.output_id, error, context.now(), state=verdict.state, not_before=verdict.at
        )
        await self._moved(output, moved)

    async def _store_said(self, store: str, reason: str | None, until: float | None) -> None:
        """Tell whoever watches, and `status`, why images wait here for their store; None: they don't any more."""
        if reason is not None or self._store_down:
            self._context.sink.waiting(store, until, reason and reason.removeprefix(f"{store}: "))
        if reason != self._store_down:
            self._store_down = reason
            await self._context.ledger.note(STORE_DOWN, reason or "")

    def _judge(self, error: JobError, output: DueOutput, *, may_ask: bool = True) -> DownloadVerdict:
        context = self._context
        profile = context.profiles.get(output.provider)
        can_ask = (
            may_ask
            and output.task_id is not None
            and output.attempt_id not in self._asked
            and profile is not None
            and profile.task_url is not None
        )
        return decide_download(
            error,
            tries=output.tries,
            expires_at=output.expires_at,
            can_ask=can_ask,
            now=context.now(),
            jitter=context.jitter(),
        )

    async def _fresh_links(self, output: DueOutput) -> bool:
        """Ask the task for new links; True when the ledger has some to try now."""
        context = self._context
        self._asked.add(output.attempt_id)
        work = Recovery(
            attempt_id=output.attempt_id,
            job_id=output.job.id,
            provider=output.provider,
            task_id=output.task_id or "",
        )
        async with aclosing(context.engine.run(work)) as events:
            async for event in events:
                if isinstance(event, Generated):
                    # What was claimed of the same attempt still has the dead links.
                    self._claimed = deque(other for other in self._claimed if other.attempt_id != output.attempt_id)
                    return await context.ledger.fresh_links(output.attempt_id, event.images)
        return False

    async def _moved(self, output: DueOutput, state: JobState) -> None:
        if state in END_STATES:
            self._context.sink.moved(output.job.id, JobState.GENERATED, state)
            await self._context.relay.moved(output.key, state)


def _target(output: DueOutput, template: str | None) -> str:
    if template is None:
        return target(output.job.id, output.position, output.round)
    day = _utc(output.delivered_at)[:10]
    values = values_of(output.job, provider=output.provider, position=output.position, date=day)
    return templated(template, values, round=output.round, apart=output.apart)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
