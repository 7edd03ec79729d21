"""The near side of one remote worker: hands it works, sorts what it tells, and knows what was lost with it.

It never touches the network and decides nothing. What a lost worker had been given goes to whoever asks next.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from batchgen.engines.outpost import FORWARDED, LATE, Asks, Batch, Hello, Opening, Over, Said, Told
from batchgen.errors import BatchgenError, NoWorker
from batchgen.events import Event, Failed, Generated, Saved
from batchgen.model import Submission, Work
from batchgen.worker import awaits_word

log = logging.getLogger(__name__)

ABANDON_SECONDS: Final = 10.0
"""How long a worker may take to leave a work; after that its own end is what ends it."""


class Gone(Exception):
    """A worker does not answer any more; it is not asked again."""


class LostWork(Exception):
    """The worker was lost with a work. `sent`: it had been told to send, and may have done so."""

    def __init__(self, sent: bool) -> None:
        super().__init__(sent)
        self.sent = sent


class Handle(Protocol):
    """How a remote worker is reached (engines/ray.py). Whatever fails on the way raises `Gone`."""

    async def hello(self) -> Hello:
        """As `Outpost.hello`."""
        ...

    async def open(self, opening: Opening) -> str | None:
        """As `Outpost.open`."""
        ...

    def batches(self) -> AsyncIterator[Batch]:
        """As `Outpost.batches`; that it ends is told by `Gone`."""
        ...

    def begin(self, number: int, work: Work) -> None:
        """As `Outpost.begin`, without waiting; that it was lost is told by `batches`."""
        ...

    def go_on(self, number: int) -> None:
        """As `Outpost.go_on`, without waiting."""
        ...

    async def abandon(self, number: int) -> None:
        """As `Outpost.abandon`."""
        ...

    async def end(self) -> None:
        """Make sure that it is over; never raises."""
        ...


class Post:
    """One worker that is open. Each work has a number and a line of its own."""

    def __init__(self, handle: Handle, name: str) -> None:
        self._handle = handle
        self._numbers = itertools.count(1)
        self._lines: dict[int, MemoryObjectSendStream[Told]] = {}
        self.name = name
        self.lost = False

    @property
    def load(self) -> int:
        """Works that it has now."""
        return len(self._lines)

    async def follow(self) -> None:
        """Pass on what it tells, until it is lost. Raises `Gone`."""
        try:
            async for batch in self._handle.batches():
                for number, told in batch:
                    if isinstance(told, Said):
                        _log(told, self.name)
                    elif (line := self._lines.get(number)) is not None:
                        line.send_nowait(told)
        finally:
            self.lost = True
            for line in self._lines.values():
                line.close()

    async def do(self, work: Work, waited: float) -> AsyncGenerator[Event, None]:
        """The events of one work, whose leave to go is `waited` seconds old. Raises `LostWork`."""
        number, asked = next(self._numbers), anyio.current_time()
        # Unbounded: a work has few events, and the runner decides how many works there are.
        send, receive = anyio.create_memory_object_stream[Told](math.inf)
        self._lines[number] = send
        sent = over = False
        self._handle.begin(number, work)
        try:
            async for told in receive:
                if isinstance(told, Asks):
                    if waited + anyio.current_time() - asked > LATE:
                        yield Failed(NoWorker("no worker took it in time: the request never left"))
                        return
                    sent = True
                    self._handle.go_on(number)
                    continue
                if isinstance(told, BatchgenError):
                    over = True
                    raise told
                if isinstance(told, Over):
                    return
                held = awaits_word(told)
                last = isinstance(told, Generated | Saved | Failed)
                over = last and not held
                yield told
                if held:
                    # Whoever asks for the next event has committed this one. The worker is followed to its
                    # end: a run that leaves takes its workers along.
                    self._handle.go_on(number)
                    over = True
                elif last:
                    return
            if not over:
                over = True
                raise LostWork(sent and isinstance(work, Submission))
        finally:
            del self._lines[number]
            send.close()
            receive.close()
            if not over:
                await self._abandon(number)

    async def _abandon(self, number: int) -> None:
        with anyio.move_on_after(ABANDON_SECONDS, shield=True):
            try:
                await self._handle.abandon(number)
            except Gone as gone:
                log.info("%s: %s", self.name, gone)


def _log(said: Said, name: str) -> None:
    logging.getLogger(said.logger).log(said.level, "%s: %s", name, said.text, extra={FORWARDED: True})
