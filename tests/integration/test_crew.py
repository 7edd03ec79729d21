"""A crew of workers in this process: the same code as on a cluster, with lines that can be cut at will."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchgen.engines.crew import Crew, Patience, staffed
from batchgen.engines.outpost import LATE, PROBE, Batch, Hello, Opening, Outpost
from batchgen.engines.post import Gone
from batchgen.engines.sealed import seal
from batchgen.errors import BadReference, Interrupted, NoWorker, UsageError, WorkerLost, WorkspaceError
from batchgen.events import Event, Failed, Generated, Replied, Saved, TaskSeen
from batchgen.images.addresses import AddressGuard
from batchgen.model import Download, Job, OutputRules, Submission, Work
from batchgen.providers.builtin import BUILTIN
from batchgen.simulator.serve import Simulator, simulate
from batchgen.simulator.settings import SimulatorSettings
from batchgen.worker import WorkerSettings

Change = Callable[[Hello], Hello]


class Line:
    """An `Outpost` in this process, and the line to it, which breaks when it is cut."""

    def __init__(self, change: Change) -> None:
        self.outpost = Outpost()
        self.cut = asyncio.Event()
        self.begun: list[int] = []
        self.told_to_go: list[int] = []
        self.cut_at_begin = False
        self.cut_at_go = False
        self._change = change

    async def hello(self) -> Hello:
        """Who it is, or pretends to be."""
        return self._change(await self.outpost.hello())

    async def open(self, opening: Opening) -> str | None:
        """Passed on."""
        return await self.outpost.open(opening)

    async def batches(self) -> AsyncIterator[Batch]:
        """Passed on until the line is cut."""
        stream = self.outpost.batches()
        cut = asyncio.create_task(self.cut.wait())
        while True:
            batch = asyncio.create_task(anext(stream))
            await asyncio.wait([cut, batch], return_when=asyncio.FIRST_COMPLETED)
            if cut.done():
                batch.cancel()
                raise Gone("the line was cut")
            yield batch.result()

    def begin(self, number: int, work: Work) -> None:
        """Passed on, unless the line is cut at that."""
        self.begun.append(number)
        if self.cut_at_begin:
            self.cut.set()
        else:
            self.outpost.begin(number, work)

    def go_on(self, number: int) -> None:
        """Passed on, unless the line is cut at that."""
        self.told_to_go.append(number)
        if self.cut_at_go:
            self.cut.set()
        else:
            self.outpost.go_on(number)

    async def abandon(self, number: int) -> None:
        """Passed on."""
        await self.outpost.abandon(number)

    async def end(self) -> None:
        """As a process ends: with all that it was doing."""
        self.cut.set()
        for number in self.begun:
            await self.outpost.abandon(number)
        await self.outpost._resources.aclose()  # what else only its process would do


@dataclass
class Hall:
    """A yard whose workers are all in this process; `machines` are names."""

    machines: list[str] = field(default_factory=lambda: ["one"])
    change: Change = lambda hello: hello
    lines: list[Line] = field(default_factory=list)
    refuses: bool = False

    async def nodes(self) -> list[str]:
        """The machines there are."""
        return list(self.machines)

    async def hire(self, node: str, name: str) -> Line:
        """One more line."""
        if self.refuses:
            raise Gone("nobody comes any more")
        self.lines.append(Line(self.change))
        return self.lines[-1]


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A worker takes over the log of its process, which here is that of the tests."""
    logger = logging.getLogger("batchgen")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulate(SimulatorSettings(latency=0.2, image_side=64)) as running:
        yield running


def settings(workspace: Path, simulator: Simulator) -> WorkerSettings:
    """Workers for two simulated providers."""
    names = ("tu-zi", "modelverse")
    profiles = {name: replace(BUILTIN[name], base_url=simulator.url(name)) for name in names}
    return WorkerSettings(
        workspace=workspace,
        profiles=profiles,
        keys={name: {"KEY": "sk-test"} for name in names},
        guards={name: AddressGuard(frozenset(), True) for name in names},
        max_image_bytes=1 << 20,
        task_patience=5.0,
    )


@asynccontextmanager
async def crew(
    hall: Hall, workspace: Path, simulator: Simulator, workers: int | None = 2, *, here: bool = False
) -> AsyncIterator[Crew]:
    """A crew at work, which nobody leaves."""
    patience = Patience(seconds=1800.0, leave=lambda reason: pytest.fail(reason))
    async with staffed(hall, settings(workspace, simulator), workers=workers, patience=patience, here=here) as working:
        yield working


def submission(provider: str = "tu-zi", **fields: Any) -> Submission:
    """One request for one picture."""
    model = BUILTIN[provider].default_model or "gpt-image-1"
    job = Job(id="cat", prompt="a cat", provider=(provider,), model=model)
    job = replace(job, **fields)
    return Submission(attempt_id=1, job=job, provider=provider, ask=1, idempotency_key="k", key="KEY")


async def comes_true(holds: Callable[[], bool]) -> None:
    """Look again and again until it holds."""
    while not holds():  # noqa: ASYNC110 - what is waited for has no event to set
        await anyio.sleep(0.005)


async def events(crew: Crew, work: Work) -> list[Event]:
    """All events of a work."""
    async with aclosing(crew.run(work)) as stream:
        return [event async for event in stream]


def download(answer: Event) -> Download:
    """The download of the first picture of an answer."""
    assert isinstance(answer, Generated)
    image = answer.images[0]
    urls = () if image.url is None else (image.url,)
    return Download(
        output_id=1, job_id="cat", provider="tu-zi", position=0, urls=urls, spool=image.spool, target="images/cat"
    )


async def test_a_job_is_sent_and_its_image_saved_by_workers_elsewhere(tmp_path: Path, simulator: Simulator) -> None:
    async with crew(Hall(), tmp_path, simulator) as working:
        told = await events(working, submission())
        assert [type(event) for event in told if not isinstance(event, Replied)][0::2][:1] == [TaskSeen]
        (saved,) = await events(working, download(told[-1]))
    assert isinstance(saved, Saved)
    assert (tmp_path / saved.path).is_file()
    assert simulator.counts.posts == 1
    assert not (tmp_path / PROBE).exists()


async def test_works_go_to_the_least_busy_worker(tmp_path: Path, simulator: Simulator) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator, 3) as working, anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(events, working, submission())
    assert [len(line.begun) for line in hall.lines] == [2, 2, 2]


async def test_a_worker_lost_before_it_was_told_to_send_costs_nothing(tmp_path: Path, simulator: Simulator) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator) as working:
        for line in hall.lines:
            line.cut_at_begin = True
        hall.lines[1].cut_at_begin = False
        results = [await events(working, submission()) for _ in range(2)]
    assert [type(told[-1]) for told in results] == [Generated, Generated]
    assert simulator.counts.posts == 2


async def test_a_worker_lost_after_it_was_told_to_send_leaves_the_outcome_unknown(
    tmp_path: Path, simulator: Simulator
) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator, 1) as working:
        hall.lines[0].cut_at_go = True
        (told,) = await events(working, submission())
        assert isinstance(told, Failed)
        assert isinstance(told.error, WorkerLost)
        assert isinstance(told.error, Interrupted)
    assert simulator.counts.posts == 0


async def test_a_lost_worker_is_replaced_and_a_download_that_it_had_is_done_by_another(
    tmp_path: Path, simulator: Simulator
) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator, 1) as working:
        told = await events(working, submission())
        hall.lines[0].cut_at_begin = True
        (saved,) = await events(working, download(told[-1]))
        assert isinstance(saved, Saved)
        assert len(hall.lines) == 2


async def test_without_any_worker_nothing_is_sent_and_it_is_said_why(tmp_path: Path, simulator: Simulator) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator, 1) as working:
        assert working.absent is None
        hall.refuses = True
        hall.lines[0].cut.set()
        await comes_true(lambda: working.absent is not None)
        (told,) = await events(working, submission())
        assert isinstance(told, Failed)
        assert isinstance(told.error, NoWorker)
        assert "no worker of the cluster is alive" in str(told.error)


async def test_the_run_is_left_when_no_worker_came_back_within_its_patience(
    tmp_path: Path, simulator: Simulator
) -> None:
    left: asyncio.Queue[str] = asyncio.Queue()
    hall, patience = Hall(), Patience(seconds=0.0, leave=left.put_nowait)
    async with staffed(hall, settings(tmp_path, simulator), workers=1, patience=patience, here=False):
        hall.refuses = True
        hall.lines[0].cut.set()
        assert "nobody comes any more" in await left.get()


async def test_a_machine_that_joins_gets_workers(tmp_path: Path, simulator: Simulator) -> None:
    hall = Hall()
    async with crew(hall, tmp_path, simulator, None) as working:
        assert working.alive == working.hands == 2
        hall.machines.append("two")
        await comes_true(lambda: working.alive == 4)
        assert working.hands == 4


async def test_a_stream_that_is_closed_ends_its_request(tmp_path: Path) -> None:
    slow = SimulatorSettings(latency=3600, image_side=64)
    async with simulate(slow) as simulator, crew(Hall(), tmp_path, simulator) as working:
        async with aclosing(working.run(submission())) as stream:
            async for event in stream:
                assert isinstance(event, TaskSeen)
                assert simulator.counts.in_flight == 1
                break
        await comes_true(lambda: not simulator.counts.in_flight)
    assert simulator.counts.posts == 1


async def test_an_image_in_its_store_stays_in_the_workspace_until_the_runner_has_committed_it(
    tmp_path: Path, simulator: Simulator
) -> None:
    workspace, bucket = tmp_path / "w", tmp_path / "bucket"
    workspace.mkdir()
    bucket.mkdir()
    async with crew(Hall(), workspace, simulator) as working:
        told = await events(working, submission())
        work = replace(download(told[-1]), rules=OutputRules(store=bucket.as_uri()))
        async with aclosing(working.run(work)) as stream:
            async for event in stream:
                assert isinstance(event, Saved)
                assert (bucket / event.path).is_file()
                assert list(workspace.rglob("*.whole"))
        # Whoever leaves now takes the worker along.
        assert not list(workspace.rglob("*.whole"))


async def test_a_leave_to_send_that_comes_too_late_is_not_used(tmp_path: Path, simulator: Simulator) -> None:
    (tmp_path / PROBE).write_text("probe")
    moments = iter((0.0, LATE + 0.05))
    outpost = Outpost(lambda: next(moments))
    keys = seal(b"{}", (await outpost.hello()).public)
    assert await outpost.open(Opening(settings=settings(tmp_path, simulator), keys=keys, probe="probe")) is None
    stream = outpost.batches()
    outpost.begin(1, submission())
    await anext(stream)
    outpost.go_on(1)
    ((_, told),) = await anext(stream)
    assert isinstance(told, Failed)
    assert isinstance(told.error, NoWorker)
    assert simulator.counts.posts == 0


async def test_a_reference_that_one_machine_does_not_see_is_told_with_that_machine(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with crew(Hall(), tmp_path, simulator) as working:
        told = await events(working, submission(references=("/nowhere/cat.png",)))
    assert isinstance(told[-1], Failed)
    assert isinstance(told[-1].error, BadReference)
    assert f"(on {socket.gethostname()})" in str(told[-1].error)


@pytest.mark.parametrize(
    ("change", "here", "said"),
    [
        (lambda hello: replace(hello, code="other", version="0.0.9"), False, "another batchgen than this (0.0.9, code"),
        (lambda hello: replace(hello, host="far"), True, "the embedded simulator runs on"),
    ],
    ids=["code", "machine"],
)
async def test_a_worker_that_does_not_fit_ends_the_run_before_anything_is_sent(
    tmp_path: Path, simulator: Simulator, change: Change, here: bool, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        async with crew(Hall(change=change), tmp_path, simulator, here=here):
            pytest.fail("it went to work")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_run_without_any_worker_from_the_beginning_is_told_why_and_sends_nothing(
    tmp_path: Path, simulator: Simulator
) -> None:
    with pytest.raises(UsageError, match=r"^no worker came up on the Ray cluster: nobody comes any more$"):
        async with crew(Hall(refuses=True), tmp_path, simulator):
            pytest.fail("it went to work")


async def test_what_ends_a_run_at_work_leaves_as_it_is(tmp_path: Path, simulator: Simulator) -> None:
    with pytest.raises(WorkspaceError, match=r"^the disk is full$"):
        async with crew(Hall(), tmp_path, simulator):
            raise WorkspaceError("the disk is full")


@pytest.mark.parametrize(
    ("probe", "said"), [(None, "can't be used: No such file or directory"), ("other", "is another folder")]
)
async def test_a_machine_that_does_not_see_the_workspace_says_so(
    tmp_path: Path, simulator: Simulator, probe: str | None, said: str
) -> None:
    if probe is not None:
        (tmp_path / PROBE).write_text(probe)
    outpost = Outpost()
    keys = seal(b"{}", (await outpost.hello()).public)
    complaint = await outpost.open(Opening(settings=settings(tmp_path, simulator), keys=keys, probe="probe"))
    assert complaint is not None
    assert said in complaint
    assert str(tmp_path) in complaint
