"""The engine of a cluster: keeps a number of remote workers going and gives each work to the least busy one.

A worker that is lost gets nothing more and is replaced, later and later if that goes on; machines that join are
used. What a lost worker had been told to send ends as `WorkerLost`; all else, which costs nothing to do again, is
given to another. It knows nothing of the library that carries the calls: see ray.py.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from batchgen.engines.outpost import PROBE, Hello, Opening, fingerprint, installed
from batchgen.engines.post import Gone, Handle, LostWork, Post
from batchgen.engines.sealed import seal
from batchgen.errors import NoWorker, UsageError, WorkerLost
from batchgen.events import Event, Failed
from batchgen.limiter import Bell
from batchgen.model import Submission, Work
from batchgen.storage.local import disk
from batchgen.worker import WorkerSettings

log = logging.getLogger(__name__)

PER_NODE: Final = 2
"""Workers on each machine of the cluster, where nobody says how many there are to be."""

START_SECONDS: Final = 90.0
"""How long a worker may take to come up."""

LOOK_EVERY: Final = 2.0
"""Seconds between two looks for machines that have joined."""

PAUSES: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is replaced, by how many in a row did not live long; the last one repeats."""

LONG_LIFE: Final = 60.0


class Unfit(Exception):
    """A worker came up and can't do this run's work, for the reason that it gives."""


class Yard(Protocol):
    """Where workers are had from. Raises `Gone` where the cluster does not answer."""

    async def nodes(self) -> list[str]:
        """The machines that take workers now."""
        ...

    async def hire(self, node: str, name: str) -> Handle:
        """A new worker, on this machine if it can be."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """What every worker of a run is told. `keys`: JSON, sealed for each anew. `only_here`: the name of this
    machine, where the run needs all its workers there."""

    settings: WorkerSettings
    keys: bytes
    probe: str
    only_here: str | None = None


@asynccontextmanager
async def staffed(
    yard: Yard, worker: WorkerSettings, *, workers: int | None, patience: Patience, here: bool
) -> AsyncGenerator[Crew, None]:
    """A crew at work for one run. `here`: all its workers must be on this machine.

    Raises `UsageError` when none comes up, or one that can't do this work.
    """
    workspace, probe = worker.workspace.resolve(), secrets.token_hex(16)
    briefing = Briefing(
        settings=replace(worker, workspace=workspace, keys={}),
        keys=json.dumps(worker.keys).encode(),
        probe=probe,
        only_here=socket.gethostname() if here else None,
    )
    mark = workspace / PROBE
    with disk():
        mark.write_text(probe)
    try:
        async with Crew(yard, briefing, workers=workers, patience=patience).working() as crew:
            yield crew
    finally:
        mark.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the run goes on without any worker, in seconds, and what is then called with the reason."""

    seconds: float
    leave: Callable[[str], None]


class Crew:
    """The workers of one run: an `Engine` (engines/base.py)."""

    def __init__(self, yard: Yard, briefing: Briefing, *, workers: int | None, patience: Patience) -> None:
        self._yard = yard
        self._briefing = briefing
        self._wanted = workers
        self._patience = patience
        self._posts: set[Post] = set()
        self._places: Counter[str] = Counter()
        self._slots = 0
        self._tried: set[int] = set()
        self._complaint: Unfit | None = None
        self._trouble = f"none answered within {START_SECONDS:.0f} s"
        self._named = 0
        self._alone_since: float | None = None
        self._bell = Bell()

    @property
    def absent(self) -> str | None:
        """Why nobody can work now; None while a worker is alive."""
        return None if self._posts else f"no worker of the cluster is alive ({self._trouble})"

    @property
    def staff(self) -> str:
        """How many there are, and how many there are to be."""
        return f"{self.alive} of {self.hands} workers"

    @property
    def hands(self) -> int:
        """How many workers there are to be."""
        return self._slots

    @property
    def alive(self) -> int:
        """How many there are."""
        return len(self._posts)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Crew, None]:
        """Within: workers are there. Raises `UsageError` when none comes up, or one that can't do this work."""
        refusal: Exception | None = None
        async with anyio.create_task_group() as group:
            await self._grow(group)
            refusal = await self._first_come()
            if refusal is None:
                group.start_soon(self._watch, group)
                try:
                    yield self
                except Exception as error:  # whatever it is, it leaves as it is and not as one of a group
                    refusal = error
            group.cancel_scope.cancel()
        if refusal is not None:
            raise refusal

    async def _first_come(self) -> UsageError | None:
        """Wait until each worker has come up or failed; or why that ends the run before anything is sent."""
        with anyio.move_on_after(START_SECONDS):
            while len(self._tried) < self._slots and self._complaint is None:
                await self._bell.wait(self._bell.rings)
        if self._complaint is not None:
            return UsageError(str(self._complaint))
        if not self._posts:
            return UsageError(f"no worker came up on the Ray cluster: {self._trouble}")
        log.info("%d of %d workers are there", len(self._posts), self._slots)
        return None

    async def _watch(self, group: TaskGroup) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY)
            try:
                await self._grow(group)
            except Gone as gone:
                log.warning("the cluster does not answer: %s", gone)
            now = anyio.current_time()
            if self._posts:
                self._alone_since = None
            elif self._alone_since is None:
                self._alone_since = now
            elif now - self._alone_since >= self._patience.seconds:
                self._patience.leave(f"{self.absent} for {now - self._alone_since:.0f} s")
                return

    async def _grow(self, group: TaskGroup) -> None:
        """As many slots as are wanted; one that is there stays, and waits for a machine if there is none."""
        wanted = self._wanted or PER_NODE * len(await self._yard.nodes())
        for slot in range(self._slots, wanted):
            self._slots += 1
            group.start_soon(self._man, slot)

    async def _man(self, slot: int) -> None:
        """Keep one worker going."""
        row = 0
        while True:
            began = anyio.current_time()
            try:
                await self._serve(slot)
            except (Gone, Unfit) as trouble:
                self._trouble = str(trouble)
                if isinstance(trouble, Unfit):
                    self._complaint = trouble
            self._came(slot)
            row = 1 if anyio.current_time() - began > LONG_LIFE else row + 1
            await anyio.sleep(PAUSES[min(row, len(PAUSES)) - 1])

    async def _serve(self, slot: int) -> None:
        """One worker, from its beginning to its end, which is always an exception."""
        nodes = await self._yard.nodes()
        if not nodes:
            raise Gone("the cluster has no machine that takes workers")
        node = min(nodes, key=lambda one: self._places[one])
        self._places[node] += 1
        self._named += 1
        number, handle = self._named, None
        try:
            handle = await self._yard.hire(node, f"worker-{number}")
            with anyio.fail_after(START_SECONDS):
                post = await self._opened(handle, number)
            await self._followed(post, slot)
        except TimeoutError:
            raise Gone(f"a worker did not come up within {START_SECONDS:.0f} s") from None
        finally:
            self._places[node] -= 1
            if handle is not None:
                with anyio.CancelScope(shield=True):
                    await handle.end()

    async def _opened(self, handle: Handle, number: int) -> Post:
        hello = await handle.hello()
        if complaint := self._stranger(hello):
            raise Unfit(complaint)
        briefing = self._briefing
        keys = seal(briefing.keys, hello.public)
        opening = Opening(settings=briefing.settings, keys=keys, probe=briefing.probe)
        if complaint := await handle.open(opening):
            raise Unfit(f"{complaint}: every node must see the workspace at this path, such as by a shared disk")
        return Post(handle, f"worker-{number} on {hello.host}, pid {hello.pid}")

    def _stranger(self, hello: Hello) -> str | None:
        here = self._briefing.only_here
        if hello.code != fingerprint():
            return (
                f"{hello.host} runs another batchgen than this ({hello.version}, code {hello.code}; here "
                f"{installed()}, code {fingerprint()}): install the same on every node"
            )
        if here is not None and hello.host != here:
            return (
                f"the embedded simulator runs on {here} only, and {hello.host} is another machine: leave "
                "--address out to rehearse on this one"
            )
        return None

    async def _followed(self, post: Post, slot: int) -> None:
        log.info("%s is there", post.name)
        self._posts.add(post)
        self._came(slot)
        try:
            await post.follow()
        except Gone as gone:
            log.warning("%s was lost with %d works: %s", post.name, post.load, gone)
            raise Gone(f"{post.name} was lost") from gone
        finally:
            self._posts.discard(post)
            self._bell.ring()

    def _came(self, slot: int) -> None:
        self._tried.add(slot)
        self._bell.ring()

    async def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Stream the events of one work, from whichever worker does it in the end."""
        began = anyio.current_time()
        while True:
            seen = self._bell.rings
            post = min((one for one in self._posts if not one.lost), key=lambda one: one.load, default=None)
            if post is None and isinstance(work, Submission):
                yield Failed(NoWorker(self.absent or "no worker of the cluster is alive"))
                return
            if post is None:
                await self._bell.wait(seen)
                continue
            try:
                async with aclosing(post.do(work, anyio.current_time() - began)) as events:
                    async for event in events:
                        yield event
                return
            except LostWork as lost:
                if lost.sent:
                    yield Failed(WorkerLost(f"{post.name} was lost with it; it may have been sent and billed"))
                    return
