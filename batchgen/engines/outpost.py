"""The far side of a cluster: one worker in a process of its own, told what to do and telling what happens.

It holds the same `Worker` as the local engine, over a transport of its own, and knows nothing of the library that
carries the calls. Before a submission leaves it asks for the runner's word, so that a runner which loses it knows
what can't have been sent. All that happens goes back in one stream, in batches.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, TypeAlias

from batchgen.codecs.redact import without_keys
from batchgen.engines.sealed import Secret
from batchgen.errors import BadReference, BatchgenError, NoWorker
from batchgen.events import Event, Failed
from batchgen.model import Submission, Work
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings, awaits_word

LATE: Final = 1.0
"""Seconds after which the leave to send is too old: sent now, it would meet the requests of a later second."""

GATHER: Final = 0.01
"""Seconds in which what goes one way is gathered: a call costs the runner more than what it carries."""

FORWARDED: Final = "from_worker"
"""An attribute of lines in the log that came from a worker."""

PROBE: Final = ".cluster"
"""The file of the workspace by which a worker sees that it is the runner's."""


@dataclass(frozen=True, slots=True)
class Asks:
    """The submission is here and waits for the runner's word before anything leaves."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the log of the run, without secrets."""

    level: int
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """What came after the runner's word is done too."""


Told: TypeAlias = Event | Asks | Over | BatchgenError
Batch: TypeAlias = list[tuple[int, Told | Said]]
"""What happened, each with the number of its work; the lines of the log have 0."""

Order: TypeAlias = tuple[int, Work | None]
"""A work to begin, with its number; or the runner's word that the work of this number may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who a worker is: its machine and process, its code, and what to seal its keys for."""

    host: str
    pid: int
    version: str
    code: str
    public: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a worker is opened with. `settings` hold no keys: these are in `keys`. `probe` is what `PROBE` holds."""

    settings: WorkerSettings
    keys: bytes
    probe: str


class Outpost:
    """One worker, from outside; every method but `batches` returns at once or soon."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secret = Secret()
        self._resources = AsyncExitStack()
        self._told: asyncio.Queue[tuple[int, Told | Said]] = asyncio.Queue()
        self._works: dict[int, asyncio.Task[None]] = {}
        self._words: dict[int, asyncio.Event] = {}
        self._dropped: set[int] = set()
        self._worker: Worker | None = None

    async def hello(self) -> Hello:
        """Who this is."""
        return Hello(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=installed(),
            code=fingerprint(),
            public=self._secret.public,
        )

    async def open(self, opening: Opening) -> str | None:
        """Make ready to work; or say in a sentence why that can't be."""
        complaint = await asyncio.to_thread(_unseen, opening.settings.workspace, opening.probe)
        if complaint is not None:
            return complaint
        keys = json.loads(self._secret.opened(opening.keys))
        settings = replace(opening.settings, keys=keys)
        _forward_log(settings, asyncio.get_running_loop(), self._told.put_nowait)
        transport = await self._resources.enter_async_context(Transport())
        self._worker = Worker(settings, transport, now=time.time)
        return None

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """All that happens, for as long as this process lives."""
        while True:
            batch = [await self._told.get()]
            await asyncio.sleep(GATHER)
            while not self._told.empty():
                batch.append(self._told.get_nowait())
            yield batch

    async def take(self, orders: list[Order]) -> None:
        """Several orders in one call, in their sequence."""
        for number, work in orders:
            if work is None:
                self.go_on(number)
            else:
                self.begin(number, work)

    def begin(self, number: int, work: Work) -> None:
        """Begin a work; what comes of it is told under this number."""
        if number in self._dropped:
            self._dropped.discard(number)
        else:
            self._works[number] = asyncio.create_task(self._do(number, work))

    def go_on(self, number: int) -> None:
        """The runner's word: it knows where this work stands, and wants it to go on."""
        if (word := self._words.get(number)) is not None:
            word.set()

    async def abandon(self, number: int) -> None:
        """Leave a work; returns when nothing of it goes on. It may not even have begun."""
        task = self._works.get(number)
        if task is None:
            self._dropped.add(number)
            return
        task.cancel()
        await asyncio.wait([task])

    async def _do(self, number: int, work: Work) -> None:
        assert self._worker is not None  # opened
        held = False
        try:
            if isinstance(work, Submission) and not await self._leave(number):
                self._tell(number, Failed(NoWorker("the leave to send it was too old when it came to its worker")))
                return
            async with aclosing(self._worker.run(work)) as events:
                async for event in events:
                    self._tell(number, _located(event))
                    if awaits_word(event):
                        held = True
                        await self._word(number)
            if held:
                self._tell(number, Over())
        except BatchgenError as error:
            self._tell(number, error)
        finally:
            self._works.pop(number, None)

    async def _leave(self, number: int) -> bool:
        """Ask whether to send; False when the answer took so long that it holds no more."""
        asked = self._clock()
        self._tell(number, Asks())
        await self._word(number)
        return self._clock() - asked <= LATE

    async def _word(self, number: int) -> None:
        word = self._words.setdefault(number, asyncio.Event())
        try:
            await word.wait()
        finally:
            self._words.pop(number, None)

    def _tell(self, number: int, told: Told) -> None:
        self._told.put_nowait((number, told))


def _located(event: Event) -> Event:
    """A file that the runner saw and this machine does not: say whose trouble that is."""
    if isinstance(event, Failed) and isinstance(event.error, BadReference) and event.error.status is None:
        return replace(event, error=event.error.saying(f"{event.error.message} (on {socket.gethostname()})"))
    return event


def _unseen(workspace: Path, probe: str) -> str | None:
    """Why this machine can't work in the runner's workspace, or None."""
    where = f"{workspace} on {socket.gethostname()}"
    try:
        if (workspace / PROBE).read_text() != probe:
            return f"{where} is another folder than the runner's"
        attempt = workspace / f"{PROBE}.{secrets.token_hex(4)}"
        attempt.touch()
        attempt.unlink()
    except OSError as error:
        return f"{where} can't be used: {error.strerror}"
    return None


class _Forwarding(logging.Handler):
    """Hands every line to the runner, which has the log."""

    def __init__(
        self, keys: tuple[str, ...], loop: asyncio.AbstractEventLoop, put: Callable[[tuple[int, Told | Said]], None]
    ) -> None:
        super().__init__(logging.INFO)
        self._keys, self._loop, self._put = keys, loop, put

    def emit(self, record: logging.LogRecord) -> None:
        """Send the line on, from whatever thread it comes; one that a runner in this process got is not sent again."""
        if hasattr(record, FORWARDED):
            return
        text = without_keys(self.format(record), self._keys)
        self._loop.call_soon_threadsafe(self._put, (0, Said(record.levelno, record.name, text)))


def _forward_log(
    settings: WorkerSettings, loop: asyncio.AbstractEventLoop, put: Callable[[tuple[int, Told | Said]], None]
) -> None:
    logger = logging.getLogger("batchgen")
    keys = tuple(key for some in settings.keys.values() for key in some.values())
    logger.addHandler(_Forwarding(keys, loop, put))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def installed() -> str:
    """The version of batchgen that is installed here."""
    try:
        return version("batchgen")
    except PackageNotFoundError:
        return "not installed"


@cache
def fingerprint() -> str:
    """What tells this code from any other: runner and workers must be the same."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
