"""The ledger of a run: the facts go in through one writer, the claims come out of a second connection.

Every writing call returns after its transaction is on the disk. One process at a time holds a
workspace. Decides nothing: which state an ended attempt leads to is the caller's word.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from batchgen.errors import JobError, WorkspaceError
from batchgen.events import Generated, RemoteImage, Replied, Saved
from batchgen.ledger import chains, claims, orders, refetching, retrying, steps, sync
from batchgen.ledger.fresh import IMAGES, undone_by_a_mistake
from batchgen.ledger.lock import held_writer
from batchgen.ledger.migrate import bring_up_to_date
from batchgen.ledger.reader import Reader, require_ledger
from batchgen.ledger.records import (
    Difference,
    DueOutput,
    Ending,
    ErrorRecord,
    Filter,
    OpenAttempt,
    Paces,
    PendingJob,
    ProviderStatus,
    Status,
    Unpriced,
)
from batchgen.ledger.rows import Params, dump, glob, providers_of
from batchgen.ledger.statements import SQL
from batchgen.ledger.writer import Writer, open_queue
from batchgen.model import Entry, JobState, LookedAt, Outcome, OutputState
from batchgen.pacing import Pace


class Ledger:
    """The open ledger of one workspace, held alone. Made by `Ledger.open`; times are epoch seconds."""

    def __init__(self, writer: Writer, reader: Reader, now: Callable[[], float]) -> None:
        self._write = writer.write
        self._read = reader.ask
        self._now = now
        self.reader = reader

    @classmethod
    @asynccontextmanager
    async def open(
        cls, workspace: Path, *, now: Callable[[], float], create: bool = True
    ) -> AsyncIterator[Ledger]:
        """Make the folder and the ledger if need be, bring an older one up to date, and hold the workspace.

        `create` False: the ledger must be there. Raises `WorkspaceError` when another run holds it, or
        when it can't be made, read or written.
        """
        if not create:
            require_ledger(workspace)
        with undone_by_a_mistake(workspace):
            try:
                (workspace / IMAGES).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WorkspaceError(f"workspace {workspace} can't be made: {error.strerror}") from error
            async with held_writer(workspace) as db:
                await bring_up_to_date(db, workspace)
                async with Reader.open(workspace) as reader, open_queue(db, workspace) as writer:
                    yield cls(writer, reader, now)

    async def sync(
        self, entries: Iterable[Entry], depends: sync.Depends = lambda: None, review: sync.Review | None = None
    ) -> Difference:
        """Bring the jobs to what the manifest lists, all or nothing. `entries` is read in another thread.

        What `depends` answers at the end is kept: the note `reading`, and pictures. Raises what `entries` and
        `review` raise, `ManifestError` above all, and then nothing has changed.
        """

        def work(db: sqlite3.Connection) -> Difference:
            found = sync.synchronise(db, entries, depends)
            if review is not None:
                review(found, sync.outstanding(db))
            return found

        return await self._write(work)

    async def note_pictures(self, pictures: Sequence[LookedAt]) -> None:
        """Keep newer facts about pictures that are what they were, so that they are not found out again."""
        await self._write(lambda db: sync.note_pictures(db, pictures))

    async def begin_run(self, started_at: float, pid: int, options: str) -> int:
        """Note that a run begins; returns its id."""
        params: Params = {"at": started_at, "pid": pid, "options": options}
        return await self._write(lambda db: int(db.execute(SQL["open_run"], params).fetchone()[0]))

    async def end_run(self, run_id: int, at: float, exit_code: int, reason: str | None) -> None:
        """Note how a run ended."""
        await self._put("close_run", {"run": run_id, "at": at, "exit_code": exit_code, "reason": reason})

    async def pending(
        self,
        route: str,
        now: float,
        limit: int,
        exclude: Collection[int],
        *,
        id_glob: str | None = None,
        without: Collection[str] = (),
        retried: bool = False,
    ) -> list[PendingJob]:
        """Jobs that may be sent now and have this route (see `routes`), in manifest order.

        Left out: those in `exclude` (keys), those with a later `not_before`, those whose parent is not
        `done`, and those of the models in `without`. `retried`: only those that failed before.
        """
        params: Params = {"route": route, "now": now, "id": glob(id_glob), "without": dump(sorted(without))}
        held = frozenset(exclude)  # the caller goes on changing its own
        which = claims.RETRIED if retried else claims.READY
        return await self._read(lambda db: claims.pending_jobs(db, params, limit, held, which))

    async def routes(self) -> dict[str, tuple[str, ...]]:
        """Every list of providers that a job may have to go to, by the text that the ledger knows it by."""
        rows = await self._read(lambda db: db.execute(SQL["routes"]).fetchall())
        return {row["route"]: providers_of(row["route"]) for row in rows}

    async def next_due(self, route: str, *, id_glob: str | None = None) -> float | None:
        """When the first pending job of a route may be sent: 0.0 for at once, None when there is none.

        Jobs whose parent is not `done` are left out, as in `pending`; see `may_come`.
        """
        params: Params = {"route": route, "id": glob(id_glob)}
        return await self._read(lambda db: claims.next_job_due(db, params))

    async def next_turns(
        self, route: str, limit: int, exclude: Collection[int], *, id_glob: str | None = None
    ) -> list[PendingJob]:
        """Those of `pending` that edit an image, now that it is there, and were not sent yet."""
        params: Params = {"route": route, "id": glob(id_glob)}
        held = frozenset(exclude)  # the caller goes on changing its own
        return await self._read(lambda db: claims.pending_jobs(db, params, limit, held, claims.TURNS))

    async def chained(self) -> bool:
        """Whether the manifest has jobs that edit the image of another."""
        return await self._read(lambda db: db.execute(SQL["any_child"]).fetchone() is not None)

    async def may_come(
        self,
        routes: Collection[str],
        served: Collection[str],
        put_off: Collection[int] | None,
        *,
        id_glob: str | None = None,
    ) -> bool:
        """Whether a job of one of the routes may yet become ready in this run. See `chains.may_come`."""
        held = None if put_off is None else frozenset(put_off)
        return await self._read(lambda db: chains.may_come(db, routes, glob(id_glob), served, held))

    async def cancel_children(self, key: int) -> list[str]:
        """Cancel what descends from a job that ended without its images; returns the ids."""
        return await self._write(lambda db: chains.cancel_children(db, key))

    async def settle_children(self) -> list[str]:
        """Bring every child to what its parent's state means for it; returns the ids of those cancelled."""
        return await self._write(chains.settle_children)

    async def begin_attempt(
        self,
        key: int,
        provider: str,
        at: float,
        idempotency_key: str,
        *,
        counts: bool = True,
        key_env: str | None = None,
        reserved: float | None = None,
    ) -> int:
        """Open an attempt, before its request leaves; returns its id. `counts` False: a free probe.

        `key_env` is the name of the variable whose API key it goes with, `reserved` the most that it may
        cost; None: no price is known.
        """
        params: Params = {
            "provider": provider,
            "at": at,
            "idempotency_key": idempotency_key,
            "key_env": key_env,
            "counted": counts,
            "reserved": reserved,
        }
        return await self._write(lambda db: steps.begin_attempt(db, key, params))

    async def task_seen(self, attempt_id: int, task_id: str) -> None:
        """The provider named its task."""
        await self._write(lambda db: steps.task_seen(db, attempt_id, task_id))

    async def replied(self, attempt_id: int, reply: Replied) -> None:
        """A reply came, as far as it goes; up to 64 KiB of its text are kept."""
        now = self._now()
        await self._write(lambda db: steps.replied(db, attempt_id, reply, now))

    async def generated(
        self, attempt_id: int, generated: Generated, at: float, cost: float | None
    ) -> JobState:
        """The attempt brought images; returns the state of its job.

        The job becomes `generated` when it has all of its images, else `pending` to ask for the rest.
        An attempt that ended without images may be completed by this too (its reply was read again).
        """
        return await self._write(lambda db: steps.generated(db, attempt_id, generated, at, cost))

    async def settle(
        self,
        attempt_id: int,
        outcome: Outcome,
        error: JobError,
        at: float,
        *,
        state: JobState,
        not_before: float | None,
        counted: bool,
        route: tuple[str, ...] | None = None,
        reply: Replied | None = None,
    ) -> None:
        """End an open attempt without images, after this `reply`, and put its job into a `state` after `running`.

        `route`: the providers that are left for it, when this one can't serve it.
        """
        ending = Ending(
            outcome=outcome, error=error, state=state, not_before=not_before, counted=counted, route=route, reply=reply
        )
        await self._write(lambda db: steps.settle(db, attempt_id, ending, at))

    async def price(self, late: Unpriced, cost: float | None, reserved: float | None) -> None:
        """Note what an attempt cost, or may have cost, that was made when no price was known."""
        await self._write(lambda db: steps.price(db, late, cost, reserved))

    async def keep_open(self, attempt_id: int, error: JobError, at: float, reply: Replied | None = None) -> None:
        """Note an error, and the `reply` before it, on an attempt that stays open while its task is asked."""
        await self._write(lambda db: steps.keep_open(db, attempt_id, error, at, reply))

    async def end_pending(self, key: int, state: JobState, error: ErrorRecord | JobError) -> None:
        """End a pending job without an attempt: `cancelled` or `failed`, and why."""
        await self._write(lambda db: steps.end_pending(db, key, state, error))

    async def saved(self, output_id: int, saved: Saved, at: float) -> JobState:
        """The file of an output is on disk; returns the state of its job, which may be `done` by that."""
        return await self._write(lambda db: steps.saved(db, output_id, saved, at))

    async def output_failed(
        self, output_id: int, error: JobError, at: float, *, state: OutputState, not_before: float | None
    ) -> JobState:
        """A download failed: `remote` to try again, `expired` or `bad` for good. Returns its job's state."""
        params: Params = {"state": state, "not_before": not_before, "at": at}
        return await self._write(lambda db: steps.output_failed(db, output_id, error, params))

    async def lost(self, output_id: int) -> bool:
        """A saved file is gone from the disk: its output is `remote` again, unless it came without a link."""
        return await self._write(lambda db: steps.lost(db, output_id))

    async def fresh_links(self, attempt_id: int, images: Sequence[RemoteImage]) -> bool:
        """Give the unsaved outputs of an attempt, in order, the links that its task now names.

        Returns whether any was renewed; an `expired` job is `generated` again.
        """
        return await self._write(lambda db: steps.fresh_links(db, attempt_id, images))

    async def due_outputs(self, now: float, limit: int, exclude: Collection[int]) -> list[DueOutput]:
        """Outputs to fetch now, of all jobs and rounds; the link that dies first comes first."""
        held = frozenset(exclude)  # the caller goes on changing its own
        return await self._read(lambda db: claims.due_outputs(db, now, limit, held))

    async def next_output_due(self, exclude: Collection[int] = ()) -> float | None:
        """When the first remote output may be fetched: 0.0 for at once, None when there is none.

        Of those that are due at once, the ones in `exclude` (ids) are left out.
        """
        held = frozenset(exclude)  # the caller goes on changing its own
        return await self._read(lambda db: claims.next_output_due(db, held))

    async def open_attempts(self) -> list[OpenAttempt]:
        """Every attempt without an outcome, oldest first."""
        return await self._read(claims.open_attempts)

    async def put_back(self, filter: Filter, at: float) -> retrying.Retried:
        """Take up jobs at an end state again; returns what the next run does with them. See `retrying.retry`."""
        return await self._write(lambda db: retrying.retry(db, filter, at))

    async def fetch_again(self, filter: Filter, *, tasks: bool) -> refetching.Refetched:
        """Take up lost images and, with `tasks`, tasks again, at no cost. See `refetching.fetch_again`."""
        missing = await self.reader.missing_files(filter.id_glob)
        return await self._write(lambda db: refetching.fetch_again(db, filter, missing, tasks=tasks))

    async def take_orders(self) -> list[orders.Order]:
        """What others asked of this run since the last call."""
        return await self._write(lambda db: orders.take(db, self._now()))

    async def cancel(self, chosen: Filter) -> list[str]:
        """End pending jobs because the user says so; returns their ids."""
        return await self._write(lambda db: orders.cancel(db, chosen))

    async def traffic(self, name: str, status: ProviderStatus) -> None:
        """Note how a provider's traffic stands. `in_flight` is counted anew; an endless wait is none."""
        params: Params = {
            "provider": name,
            "concurrency": status.limit,
            "waiting_until": status.waiting_until if math.isfinite(status.waiting_until or 0.0) else None,
            "reason": "; ".join(filter(None, (status.reason, status.note))) or None,
        }
        await self._put("put_traffic", params)

    async def note_pace(self, provider: str, key: str | None, model: str, pace: Pace) -> None:
        """Keep what the traffic of one model with one key taught (`key`: the name of its variable)."""
        params: Params = {
            "provider": provider,
            "key_env": key or "",
            "model": model,
            "places": pace.learned.places if pace.learned else None,
            "limited": pace.learned is not None and pace.learned.limited,
            "paused_until": pace.paused_until,
        }
        await self._put("put_pace", params)

    async def paces(self) -> dict[str, Paces]:
        """What was noted by `note_pace`, by provider."""
        return await self._read(claims.paces)

    async def note(self, key: str, value: str) -> None:
        """Keep a word about the batch, the manifest's hash for one."""
        await self._put("put_note", {"key": key, "value": value})

    async def get_note(self, key: str) -> str | None:
        """What was noted, or None."""
        return await self.reader.note(key)

    async def status(self) -> Status:
        """The whole batch in numbers, as of now."""
        return await self.reader.status(self._now())

    async def check(self) -> list[str]:
        """Complaints about the invariants at the end of a run; empty when all is well."""
        return await self._read(claims.complaints)

    async def _put(self, name: str, params: Params) -> None:
        await self._write(lambda db: db.execute(SQL[name], params).rowcount)
