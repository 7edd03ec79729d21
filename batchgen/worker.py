"""The worker: does one work and says what happens, as events. It owns no state.

It never touches the ledger, never sleeps for a rate limit and never decides to retry. Errors of a
job leave it as `Failed` events; only mistakes of our own are raised.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import anyio

from batchgen import codecs, expiry
from batchgen.codecs.base import Answer, Ask, Call, Decoder, Found
from batchgen.codecs.faults import classify
from batchgen.codecs.tasks import Running, read_task, task_address
from batchgen.errors import (
    BatchgenError,
    Interrupted,
    JobError,
    NotThereYet,
    Refused,
    TaskFailed,
    TaskUnknown,
    Unfinished,
    Unreadable,
)
from batchgen.events import Event, Failed, Generated, Progress, RemoteImage, Replied, TaskSeen
from batchgen.images.addresses import AddressGuard
from batchgen.images.fetch import fetch
from batchgen.images.references import ready
from batchgen.images.spool import spool_inline
from batchgen.model import Download, Picture, Recovery, Submission, Work
from batchgen.providers.profile import Profile
from batchgen.transport import Head, Transport

log = logging.getLogger(__name__)

LONGEST_ERROR_BODY = 1 << 20
# A task gateway is asked after 5 seconds and then every 15, as its users do.
FIRST_POLL, NEXT_POLL = 5.0, 15.0
# A gateway that does not know a task yet may know it a moment later.
UNKNOWN_POLLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker must know beyond its work. `keys` are the secrets by provider name."""

    workspace: Path
    profiles: Mapping[str, Profile]
    keys: Mapping[str, str]
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

    async def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Do one work. The last event is Generated, Saved or Failed."""
        try:
            match work:
                case Submission():
                    stream = self._submit(work)
                case Recovery():
                    stream = self._recover(work)
                case Download():
                    stream = self._download(work)
            async with aclosing(stream):
                async for event in stream:
                    yield _without(event, self._settings.keys.values())
        except JobError as error:
            yield _without(Failed(error), self._settings.keys.values())
        except BatchgenError:
            raise
        except Exception as bug:
            # One reply that we fail to handle must not end a night's run: its job is held, the
            # reply is kept, and the log says where it happened.
            log.exception("could not handle %s", type(work).__name__)
            yield Failed(Unreadable(f"batchgen failed to handle it: {type(bug).__name__}; see run.log"))

    async def _submit(self, work: Submission) -> AsyncGenerator[Event, None]:
        profile = self._settings.profiles[work.provider]
        call = codecs.encode(await self._ask(work), profile)
        call = _with_header(call, "Idempotency-Key", work.idempotency_key)
        key = self._settings.keys.get(work.provider)
        reply = _Reply(profile, self._now)
        stream = self._transport.send(
            call, timeout=profile.timeout, authorization=f"Bearer {key}" if key else None
        )
        try:
            async with aclosing(stream):
                async for item in stream:
                    for fact in reply.take(item):
                        yield fact
        except Interrupted as error:
            if (kept := reply.kept()) is not None:
                yield kept
            reply.cut(error)
        if (kept := reply.kept()) is not None:
            yield kept
        answer = reply.answer()
        if answer.task_id is not None and not reply.task_told:
            yield TaskSeen(answer.task_id)
        yield await self._generated(answer, work.attempt_id, profile)

    async def _ask(self, work: Submission) -> Ask:
        job = work.job
        references = [await ready(source) for source in job.references]
        mask: Picture | None = await ready(job.mask) if job.mask else None
        return Ask(job=job, count=work.ask, references=tuple(references), mask=mask)

    async def _generated(self, answer: Answer, attempt_id: int, profile: Profile) -> Generated:
        images = []
        for index, found in enumerate(answer.images):
            images.append(await self._image(found, f"a{attempt_id}-{index}", profile))
        return Generated(images=tuple(images), gen_id=answer.gen_id, usage=answer.usage)

    async def _image(self, found: Found, name: str, profile: Profile) -> RemoteImage:
        if found.url is None:
            spool = await spool_inline(
                found.inline or "", self._settings.workspace, name, self._settings.max_image_bytes
            )
            return RemoteImage(url=None, spool=spool)
        deadline = expiry.expires_at(found.url, received=self._now(), link_ttl=profile.link_ttl)
        return RemoteImage(url=found.url, alternatives=found.alternatives, expires_at=deadline)

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
        yield await fetch(
            work,
            transport=self._transport,
            workspace=self._settings.workspace,
            guard=self._settings.guards[work.provider],
            max_bytes=self._settings.max_image_bytes,
            now=self._now,
        )


class _Reply:
    """One reply as it arrives: a good one is decoded on the way, an error body is collected."""

    def __init__(self, profile: Profile, now: Callable[[], float]) -> None:
        self._profile = profile
        self._now = now
        self._head: Head | None = None
        self._decoder: Decoder | None = None
        self._body = bytearray()
        self.task_told = False

    def take(self, item: Head | bytes) -> list[TaskSeen | Progress]:
        """The next item of the transport; returns what became known by it."""
        if isinstance(item, Head):
            self._head = item
            if item.status < 300:
                self._decoder = codecs.decoder(self._profile.endpoint, item.headers.get("content-type", ""))
            return []
        if self._decoder is None:
            self._body += item[: LONGEST_ERROR_BODY - len(self._body)]
            return []
        facts = self._decoder.feed(item)
        self.task_told = self.task_told or any(isinstance(fact, TaskSeen) for fact in facts)
        return facts

    def cut(self, error: Interrupted) -> None:
        """The connection broke: an error status that was read stands, anything else is unknown."""
        if self._head is None or self._decoder is not None:
            raise error

    def kept(self) -> Replied | None:
        """What the ledger keeps of the reply, once there is one."""
        if self._head is None:
            return None
        text = self._decoder.kept() if self._decoder else self._body.decode("utf-8", "replace")[:65536]
        return Replied(self._head.status, _request_id(self._head), text)

    def answer(self) -> Answer:
        """The images of the complete reply, or the leaf that says why there are none."""
        if self._head is None:
            raise Interrupted("the connection closed before any answer")
        if self._decoder is None:
            raise classify(self._head.status, self._head.headers, bytes(self._body), now=self._now())
        return self._decoder.finish()


def _without(event: Event, secrets: Collection[str]) -> Event:
    """The event with our own keys taken out: gateways quote them in their error texts."""
    match event:
        case Replied(status, request_id, text):
            return Replied(status, request_id, _hide(text, secrets))
        case Failed(error):
            return Failed(error.saying(_hide(error.message, secrets)))
    return event


def _hide(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return text


def _request_id(head: Head) -> str | None:
    for name in ("x-oneapi-request-id", "x-api-request-id", "x-request-id"):
        if value := head.headers.get(name):
            return value
    return None


def _with_header(call: Call, name: str, value: str) -> Call:
    return Call(
        method=call.method,
        url=call.url,
        headers={**call.headers, name: value},
        body=call.body,
        content_type=call.content_type,
        parts=call.parts,
    )
