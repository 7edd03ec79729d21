"""The gate before a provider: places, the rate, the breaker and parking. The clock is the test's own."""

from __future__ import annotations

import math

import anyio
import pytest

from batchgen.errors import BadKey, ServerError
from batchgen.limiter import Gate, Places
from batchgen.pacing import Breaker
from batchgen.providers.profile import Limits


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def never() -> bool:
    return False


async def test_a_full_gate_lets_the_next_one_in_when_somebody_leaves() -> None:
    gate = Gate(Limits(concurrency=1), concurrency=None, now=Clock())
    assert await gate.enter(1, never)
    entered = []
    async with anyio.create_task_group() as group:

        async def second() -> None:
            entered.append(await gate.enter(1, never))

        group.start_soon(second)
        await anyio.lowlevel.checkpoint()
        assert entered == []
        gate.leave()
    assert entered == [True]
    assert gate.in_flight == 1


@pytest.mark.parametrize(
    ("stated", "run", "places"), [(8, 3, 3), (3, 8, 3), (20, None, 20), (None, 50, 50), (None, None, 8)]
)
def test_the_smaller_of_the_providers_limit_and_the_runs_is_kept(
    stated: int | None, run: int | None, places: int
) -> None:
    assert Gate(Limits(concurrency=stated), concurrency=run, now=Clock()).limit == places


async def test_all_providers_together_keep_to_the_runs_concurrency() -> None:
    everyone, clock = Places(2), Clock()
    one, two = (Gate(Limits(), concurrency=2, now=clock, everyone=everyone) for _ in range(2))
    assert await one.enter(1, never)
    assert await two.enter(1, never)
    assert one._ready_at(clock.time) == math.inf
    two.leave()
    assert await one.enter(1, never)


async def test_the_places_of_all_go_round_among_the_providers() -> None:
    everyone, clock = Places(1), Clock()
    gates = {name: Gate(Limits(), concurrency=1, now=clock, everyone=everyone) for name in ("one", "two")}
    turns: list[str] = []
    async with anyio.create_task_group() as group:

        async def lane(name: str) -> None:
            for _ in range(3):
                assert await gates[name].enter(1, never)
                turns.append(name)
                await anyio.lowlevel.checkpoint()
                gates[name].leave()
                await anyio.lowlevel.checkpoint()

        for name in gates:
            group.start_soon(lane, name)
    assert set(turns[:3]) == {"one", "two"}
    assert sorted(turns) == ["one"] * 3 + ["two"] * 3


async def test_a_wait_told_to_one_job_holds_for_all_of_the_provider() -> None:
    clock = Clock()
    gate = Gate(Limits(), concurrency=None, now=clock)
    gate.pause(clock.time + 6)
    assert gate._ready_at(clock.time) == clock.time + 6
    assert gate.status(None, clock.time).reason == "rate limit"


async def test_a_provider_that_never_served_is_given_up_after_the_patience_and_not_later() -> None:
    clock = Clock()
    gate = Gate(Limits(), concurrency=None, now=clock, patience=20.0)
    assert gate.gives_up_at() == math.inf
    gate.breaker.failed(ServerError("503"), clock.time)
    assert gate.gives_up_at() == clock.time + 20
    gate.breaker.succeeded()
    assert gate.gives_up_at() == math.inf


async def test_a_parked_gate_lets_nobody_in_and_says_why() -> None:
    gate = Gate(Limits(), concurrency=None, now=Clock())
    gate.park(BadKey("the key is wrong"))
    assert not await gate.enter(1, never)
    assert gate.status(None, 0.0).reason == "stopped: the key is wrong"


async def test_a_gate_that_closes_meanwhile_turns_the_waiting_away() -> None:
    gate = Gate(Limits(concurrency=1), concurrency=None, now=Clock())
    assert await gate.enter(1, never)
    closed: list[bool] = []
    answers = []
    async with anyio.create_task_group() as group:

        async def waiting() -> None:
            answers.append(await gate.enter(1, lambda: bool(closed)))

        group.start_soon(waiting)
        await anyio.lowlevel.checkpoint()
        closed.append(True)
        gate.bell.ring()
    assert answers == [False]


async def test_an_open_breaker_lets_one_probe_through_at_a_time() -> None:
    clock = Clock()
    gate = Gate(Limits(concurrency=8), concurrency=None, now=clock)
    for _ in range(Breaker.THRESHOLD):
        gate.breaker.failed(ServerError("502"), clock.time)
    clock.time += Breaker.FIRST_PROBE
    assert await gate.enter(1, never)
    assert gate._ready_at(clock.time) == math.inf
    gate.breaker.succeeded()
    assert await gate.enter(1, never)
    assert gate.in_flight == 2


async def test_status_says_what_the_provider_waits_for() -> None:
    clock = Clock()
    gate = Gate(Limits(), concurrency=None, now=clock)
    assert gate.status(None, clock.time).reason is None
    assert gate.status(clock.time + 60, clock.time).reason == "retry"
    for _ in range(Breaker.THRESHOLD):
        gate.breaker.failed(ServerError("bad gateway"), clock.time)
    status = gate.status(None, clock.time)
    assert (status.reason, status.waiting_until) == ("down: bad gateway", clock.time + Breaker.FIRST_PROBE)
