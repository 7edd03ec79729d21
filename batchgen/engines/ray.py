"""Workers on a Ray cluster: connects, starts them as actors, and turns what Ray raises into `Gone` or `UsageError`.

Only this file knows Ray, and it is imported late. Calls are at most once: no actor restarts and no call is repeated,
for a repeated call could pay twice. A cluster that is started here ends with the run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from batchgen.engines.outpost import GATHER, Batch, Hello, Opening, Order, Outpost
from batchgen.engines.post import Gone
from batchgen.errors import UsageError
from batchgen.model import Work

Answer = TypeVar("Answer")

NAMESPACE: Final = "batchgen"

CPUS: Final = 0.1
"""What a worker takes of a machine's processors, by Ray's count: it mostly waits. A machine with none gets none."""

CALLS_AT_ONCE: Final = 1000
"""Calls that one worker takes at a time; each returns at once, so this bounds nothing but a burst."""

CONNECT_SECONDS: Final = 5.0

STORE_BYTES: Final = 200 << 20
"""Memory for the objects of a cluster that is started here: what is told is small."""

_VERSIONS: Final = re.compile(r"Ray: (\S+)\s+Python: (\S+)")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster, and how many workers; None: two on each machine.

    `address`: `auto`, `HOST:PORT`, or None for a cluster of our own on this machine.
    """

    address: str | None = None
    workers: int | None = None


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncGenerator[RayYard, None]:
    """The cluster, for as long as the run lasts. Raises `UsageError` when it can't be reached or doesn't fit."""
    ray = _library()
    with _folder(cluster) as folder:
        # In a thread: it blocks for seconds, and would take over SIGTERM in the main one.
        await anyio.to_thread.run_sync(_connect, ray, cluster, folder)
        _take_back_sigterm()
        try:
            yield RayYard(ray)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(ray.shutdown)


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, about its own dependencies
            import nacl.public  # noqa: F401 - keys are sealed with it
            import ray
            import ray.exceptions
            import ray.util.scheduling_strategies
    except ImportError as error:
        raise UsageError("--engine ray needs the extra 'ray': pip install 'batchgen[ray]'") from error
    # What matters of its troubles is told by the run.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    module: ModuleType = ray
    return module


@contextmanager
def _folder(cluster: Cluster) -> Iterator[str | None]:
    """A folder for a cluster of our own, removed with it. Its path is short, because those of sockets must be."""
    if cluster.address is not None:
        yield None
        return
    folder = tempfile.mkdtemp(prefix="batchgen-ray-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(ray: ModuleType, cluster: Cluster, folder: str | None) -> None:
    settings = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": logging.CRITICAL}
    address = cluster.address
    if address is None:
        own = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": folder}
        settings |= {"address": "local", **own}
    try:
        if address is not None:
            _listens(address)
            settings["address"] = address
        with _silent():
            ray.init(**settings)
    except ray.exceptions.AuthenticationError as error:
        raise UsageError(
            "the Ray cluster wants a token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds it"
        ) from error
    except ConnectionError as error:
        where = "on this machine" if address == "auto" else f"at {address}"
        raise UsageError(
            f"no Ray cluster {where} lets this run in: is it up, and are RAY_AUTH_MODE and RAY_AUTH_TOKEN those "
            "that it was started with?"
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(_mismatch(str(error)) or f"Ray can't be started: {_first_line(error)}") from error


def _take_back_sigterm() -> None:
    """Ray's core puts a handler below Python's that prints a stack; SIGTERM means to drain, as ever."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        signal.siginterrupt(signal.SIGTERM, False)


def _listens(address: str) -> None:
    """Ray itself would wait for two minutes. Raises `UsageError` and `ConnectionError`."""
    host, colon, port = address.rpartition(":")
    if address == "auto":
        return
    if not colon or not host or not port.isdigit():
        raise UsageError(f"--address is auto or HOST:PORT, such as 10.0.0.1:6379, not '{address}'")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Within: what Ray's core writes to stderr by itself, line by line while it tries to connect, is left out."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _mismatch(text: str) -> str | None:
    """What Ray says in a paragraph when versions differ, in a line."""
    found = _VERSIONS.findall(text)
    if len(found) < 2:
        return None
    (theirs, their_python), (ours, our_python) = found[:2]
    return (
        f"the cluster runs Ray {theirs} on Python {their_python}, and this is Ray {ours} on Python {our_python}: "
        "install the same on every machine"
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class RayYard:
    """Hires actors (engines/crew.py)."""

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray
        self._run = secrets.token_hex(4)
        self._actor = ray.remote(Outpost)

    async def nodes(self) -> list[str]:
        """The machines that are alive and have processors for workers."""
        try:
            nodes = await anyio.to_thread.run_sync(self._ray.nodes)
        except Exception as error:  # Ray raises plain ones too when its control store does not answer
            raise Gone(_first_line(error)) from error
        return [node["NodeID"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= CPUS]

    async def hire(self, node: str, name: str) -> RayHandle:
        """A new actor, on this machine if it can be."""
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True)
        options = self._actor.options(
            name=f"{self._run}-{name}",
            num_cpus=CPUS,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=CALLS_AT_ONCE,
            # Nobody looks at the calls one by one, and telling them costs the runner as much as they do.
            enable_task_events=False,
            scheduling_strategy=strategy,
        )
        return RayHandle(self._ray, await anyio.to_thread.run_sync(options.remote))


class RayHandle:
    """One actor: an `Outpost` elsewhere (engines/post.py)."""

    def __init__(self, ray: ModuleType, actor: Any) -> None:  # Any: Ray makes its methods as it goes
        self._ray = ray
        self._actor = actor
        # Without a result there is nothing to wait for, and nothing that is kept.
        self._take = actor.take.options(num_returns=0)
        self._orders: list[Order] = []
        self._over = False

    async def hello(self) -> Hello:
        """Who it is."""
        hello: Hello = await self._answer(self._actor.hello.remote())
        return hello

    async def open(self, opening: Opening) -> str | None:
        """Make it ready; or why it can't be."""
        complaint: str | None = await self._answer(self._actor.open.remote(opening))
        return complaint

    async def batches(self) -> AsyncIterator[Batch]:
        """All that it tells; a worker that ends raises `Gone`."""
        stream = self._actor.batches.options(num_returns="streaming").remote()
        try:
            async for batch in stream:
                yield await batch
        except self._ray.exceptions.RayError as error:
            raise Gone(_reason(error)) from error
        raise Gone("it ended")

    def begin(self, number: int, work: Work) -> None:
        """Hand it a work."""
        self._order(number, work)

    def go_on(self, number: int) -> None:
        """The runner's word."""
        self._order(number, None)

    def _order(self, number: int, work: Work | None) -> None:
        self._orders.append((number, work))
        if len(self._orders) == 1:
            asyncio.get_running_loop().call_later(GATHER, self._send)

    def _send(self) -> None:
        orders, self._orders = self._orders, []
        if orders and not self._over:
            self._take.remote(orders)

    async def abandon(self, number: int) -> None:
        """Have it leave a work."""
        self._send()
        await self._answer(self._actor.abandon.remote(number))

    async def end(self) -> None:
        """Kill it, if it is not dead."""
        self._over = True
        try:
            await anyio.to_thread.run_sync(partial(self._ray.kill, self._actor, no_restart=True))
        except Exception as error:  # whatever Ray has against it: a worker that is gone can't be ended
            logging.getLogger(__name__).debug("could not end a worker: %s", _first_line(error))

    async def _answer(self, reference: Awaitable[Answer]) -> Answer:
        try:
            return await reference
        except self._ray.exceptions.RayError as error:
            raise Gone(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Why a worker is gone, in a line: Ray says it in twenty."""
    text = str(error)
    if "No module named 'batchgen'" in text:
        return "a machine of it has no batchgen: pip install 'batchgen[ray]' on every one, in the same version"
    missing = re.search(r"ModuleNotFoundError: (No module named '\S+')", text)
    if missing:
        return f"a worker can't start: {missing[1]}"
    return f"{type(error).__name__}: {_first_line(error)}"
