"""The worker: does one work and says what happens, as events. It owns no state.

It never touches the ledger, never sleeps for a rate limit and never decides to retry. Errors of a
job leave it as `Failed` events; only mistakes of our own are raised.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from batchgen import codecs, expiry
from batchgen.codecs.base import Answer, Ask, Call, Found
from batchgen.codecs.faults import classify
from batchgen.codecs.inline import mended
from batchgen.codecs.redact import without_keys
from batchgen.codecs.tasks import Running, read_task, task_address
from batchgen.errors import (
    BadReference,
    BatchgenError,
    Interrupted,
    JobError,
    NotThereYet,
    ReferenceUnread,
    Refused,
    TaskFailed,
    TaskUnknown,
    Unfinished,
    Unreadable,
)
from batchgen.events import Event, Failed, Generated, Progress, RemoteImage, Replied, Saved, TaskSeen
from batchgen.images.addresses import AddressGuard
from batchgen.images.fetch import fetch
from batchgen.images.inspect import decoders
from batchgen.images.outgoing import forget
from batchgen.images.references import References
from batchgen.images.room import Place, Room
from batchgen.images.spool import AnswerLog, spool
from batchgen.model import Download, Recovery, Submission, Work
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.replies import LONGEST_ERROR_BODY, Reply
from batchgen.transport import Head, Transport

log = logging.getLogger(__name__)

# A task gateway is asked after 5 seconds and then every 15, as its users do.
FIRST_POLL, NEXT_POLL = 5.0, 15.0
# A gateway that does not know a task yet may know it a moment later.
UNKNOWN_POLLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker must know beyond its work. `keys` are the secrets by provider and name of variable."""

    workspace: Path
    profiles: Mapping[str, Profile]
    keys: Mapping[str, Mapping[str, str]]
    guards: Mapping[str, AddressGuard]
    max_image_bytes: int
    task_patience: float
    poll: tuple[float, float] = (FIRST_POLL, NEXT_POLL)


class Worker:
    """Runs submissions, recoveries and downloads over one transport."""

    def __init__(self, settings: WorkerSettings, transport: Transport, *, now: Callable[[], float]) -> None:
        self._settings = settings
        self._transport = transport
        self._now = now
        # The word that the embedded simulator takes for a key is in its links, and no secret.
        self._secrets = tuple(
            key for keys in settings.keys.values() for key in keys.values() if key != SIMULATED
        )
        self._room = Room()
        self._references = References(settings.workspace, transport)
        self._answers = AnswerLog(settings.workspace)

    async def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Do one work. The last event is Generated, Saved or Failed."""
        place = Place(self._room)
        try:
            match work:
                case Submission():
                    stream = self._submit(work, place)
                case Recovery():
                    stream = self._recover(work)
                case Download():
                    stream = self._download(work)
            async with aclosing(stream):
                async for event in stream:
                    yield self._told(event)
        except JobError as error:
            yield self._told(Failed(error))
        except BatchgenError:
            raise
        except Exception as bug:
            # One reply that we fail to handle must not end a night's run: its job is held, the
            # reply is kept, and the log says where it happened.
            log.exception("could not handle %s", type(work).__name__)
            yield Failed(Unreadable(f"batchgen failed to handle it: {type(bug).__name__}; see run.log"))
        finally:
            place.leave()

    async def _submit(self, work: Submission, place: Place) -> AsyncGenerator[Event, None]:
        profile = self._settings.profiles[work.provider]
        pictures = await self._references.of(work.job, profile, self._settings.guards[work.provider])
        ask = Ask(job=work.job, count=work.ask, references=pictures.references, mask=pictures.mask, turns=work.turns)
        call = codecs.encode(ask, profile)
        call = replace(call, headers={**call.headers, "Idempotency-Key": work.idempotency_key})
        key = self._settings.keys.get(work.provider, {}).get(work.key or "")
        reply = Reply(profile, self._now, self._secrets)
        stream = self._transport.send(
            call, timeout=profile.timeout, authorization=f"Bearer {key}" if key else None
        )
        cut: Interrupted | None = None
        # A gateway may keep a stream alive for ever whose upstream died long ago.
        longest = profile.timeout + self._settings.task_patience
        give_up = self._now() + longest
        try:
            async with aclosing(stream):
                async for item in stream:
                    if self._now() > give_up:
                        raise Interrupted(f"the answer did not end within {longest:.0f} s")
                    for fact in reply.take(item):
                        yield fact
                    if (early := reply.early(item)) is not None:
                        yield early
                    await place.admit(item)
        except Interrupted as error:
            cut = error
        answer = reply.answer(cut, work.ask)
        task_id, kept = reply.untold_task(answer), reply.kept()
        # Its body is as large as the images in it, and these wait for a thread: no more of it stays than they need.
        del reply
        # Inline images are on the disk before the reply is told: what is kept of it has no base64.
        outcome = await self._outcome(answer, work.attempt_id, profile, kept)
        # A body that is no stream names its task only at its end, also when there is no image in it.
        if task_id is not None:
            yield TaskSeen(task_id)
        if isinstance(outcome, ReferenceUnread):
            if pictures.linked:
                self._references.unread(work.job, work.provider)
            else:
                outcome = BadReference(outcome.message, code=outcome.code, status=outcome.status)
        if isinstance(outcome, Generated):
            yield outcome
        elif isinstance(outcome, JobError):
            yield Failed(outcome, kept)
        else:
            if kept is not None:
                yield kept
            raise outcome

    async def _outcome(
        self, answer: Answer | Exception, attempt_id: int, profile: Profile, reply: Replied | None
    ) -> Generated | Exception:
        """What the answer led to; a failure is handed back, because the reply is to be told with it."""
        if isinstance(answer, Exception):
            return answer
        try:
            return await self._generated(answer, attempt_id, profile, reply)
        except Exception as error:  # whatever it is, the caller tells it
            return error

    async def _generated(
        self, answer: Answer, attempt_id: int, profile: Profile, reply: Replied | None = None
    ) -> Generated:
        work = partial(self._taken, answer, attempt_id, profile, reply)
        if all(found.url is not None for found in answer.images):
            return work()
        return await anyio.to_thread.run_sync(work, limiter=decoders())

    def _taken(
        self, answer: Answer, attempt_id: int, profile: Profile, reply: Replied | None
    ) -> Generated:
        """The answer with its inline images on disk; with one of those it blocks."""
        images = tuple(
            self._image(found, f"a{attempt_id}-{index}", profile) for index, found in enumerate(answer.images)
        )
        gen_id, usage = answer.gen_id and self._clean(answer.gen_id), answer.usage and self._clean(answer.usage)
        generated = Generated(images=images, gen_id=gen_id, usage=usage, reply=reply)
        if any(image.spool is not None for image in images):
            # Links are in the kept reply; of inline images a crash leaves only their files and this line.
            self._answers.add(attempt_id, generated)
        return generated

    def _image(self, found: Found, name: str, profile: Profile) -> RemoteImage:
        if found.url is None:
            settings = self._settings
            return RemoteImage(
                url=None, spool=spool(found.inline or "", settings.workspace, name, settings.max_image_bytes)
            )
        deadline = expiry.expires_at(found.url, received=self._now(), link_ttl=profile.link_ttl)
        alternatives = tuple(map(mended, found.alternatives))
        return RemoteImage(url=mended(found.url), alternatives=alternatives, expires_at=deadline)

    async def _recover(self, work: Recovery) -> AsyncGenerator[Event, None]:
        profile = self._settings.profiles[work.provider]
        if profile.task_url is None:
            raise TaskUnknown(f"{work.provider} has no address to ask for task {work.task_id}")
        call = Call(method="GET", url=task_address(profile.task_url, work.task_id))
        give_up = self._now() + self._settings.task_patience
        unknown = 0
        first, then = self._settings.poll
        while True:
            try:
                reading = await self._query(call, profile)
            except NotThereYet as error:
                unknown += 1
                if unknown >= UNKNOWN_POLLS:
                    raise TaskUnknown(error.message, status=error.status) from error
            except JobError as error:
                # An outage of the status page says nothing about the task: ask again until patience ends.
                if isinstance(error, TaskFailed | Refused):
                    raise
            else:
                if isinstance(reading, Answer):
                    yield await self._generated(reading, work.attempt_id, profile)
                    return
                if reading.progress is not None:
                    yield Progress(reading.progress)
            if self._now() >= give_up:
                raise Unfinished(f"task {work.task_id} did not end within {self._settings.task_patience:.0f} s")
            await anyio.sleep(first)
            first = then

    async def _query(self, call: Call, profile: Profile) -> Answer | Running:
        """Ask for a task once. Without the key: every known client asks these pages without one."""
        body, head = bytearray(), None
        stream = self._transport.send(call, timeout=min(profile.timeout, 60.0))
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, Head):
                    head = item
                else:
                    body += item
        if head is None or head.status == 404:
            raise NotThereYet("the provider does not know this task", status=404)
        if head.status >= 400:
            raise classify(head.status, head.headers, bytes(body[:LONGEST_ERROR_BODY]), now=self._now())
        return read_task(bytes(body))

    async def _download(self, work: Download) -> AsyncGenerator[Event, None]:
        saved = await fetch(
            work,
            transport=self._transport,
            workspace=self._settings.workspace,
            guard=self._settings.guards[work.provider],
            max_bytes=self._settings.max_image_bytes,
            now=self._now,
        )
        yield saved
        if awaits_word(saved):
            await anyio.to_thread.run_sync(forget, self._settings.workspace, work)

    def _told(self, event: Event) -> Event:
        match event:
            case TaskSeen(task_id):
                return TaskSeen(self._clean(task_id))
            case Failed(error):
                return replace(event, error=error.reworded(self._clean))
        return event

    def _clean(self, text: str) -> str:
        """A provider's words without our own keys, which gateways quote, and as the ledger can hold them."""
        return without_keys(mended(text), self._secrets)


def awaits_word(event: Event) -> bool:
    """Whether the worker goes on only when the runner has committed it: an image that is in its object store.

    What of it lies in the workspace may go then.
    """
    return isinstance(event, Saved) and event.store is not None
