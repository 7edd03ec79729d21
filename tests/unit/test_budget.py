"""The budget by itself: what is set aside, who waits for whom, and when it is reached."""

from __future__ import annotations

import asyncio

from batchgen.budget import Budget
from batchgen.ledger.records import Status
from batchgen.limiter import Bell


def at(spent: float, unsettled: float = 0.0) -> Status:
    """A batch that has cost so much."""
    return Status(
        jobs={},
        outputs={},
        attempts=0,
        cost=spent,
        next_expiry=None,
        expiring_within_24h=0,
        unsettled_cost=unsettled,
    )


def never() -> bool:
    return False


async def taking(budget: Budget, most: int, bell: Bell) -> asyncio.Task[bool]:
    """A lane that wants so much, and has come as far as it can."""
    task = asyncio.create_task(budget.take(most, bell, never))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_what_is_set_aside_makes_others_wait_until_it_comes_back_cheaper() -> None:
    budget, bell = Budget(100), Bell()
    budget.begin(at(0), ())
    assert await budget.take(60, bell, never)
    waiting = await taking(budget, 60, bell)
    assert not waiting.done()
    budget.settle(60, 40)
    assert await waiting
    assert (budget.paid, budget.reached) == (40, None)


async def test_it_is_reached_only_when_nothing_is_in_flight_that_may_be_cheaper() -> None:
    budget, bell = Budget(100), Bell()
    budget.begin(at(0), ())
    assert await budget.take(60, bell, never)
    waiting = await taking(budget, 60, bell)
    budget.settle(60, 60)
    assert not await waiting
    assert "0.00006 of 0.0001 is spent" in str(budget.reached)


async def test_a_request_that_cost_nothing_gives_all_of_it_back_and_an_unknown_one_nothing() -> None:
    budget, bell = Budget(100), Bell()
    budget.begin(at(0), ())
    assert await budget.take(60, bell, never)
    budget.settle(60, None)
    assert await budget.take(60, bell, never)
    budget.settle(60, None, perhaps=True)
    assert not await budget.take(60, bell, never)
    assert budget.paid == 0


async def test_what_earlier_runs_paid_or_may_have_paid_is_spent() -> None:
    budget, bell = Budget(1_000_000), Bell()
    budget.begin(at(0.5, 0.3), ())
    assert not await budget.take(200_001, bell, never)
    assert await budget.take(200_000, bell, never)


async def test_who_waits_is_let_go_when_the_run_closes() -> None:
    budget, bell = Budget(100), Bell()
    budget.begin(at(0), ())
    assert await budget.take(60, bell, never)
    closed = False
    task = asyncio.create_task(budget.take(60, bell, lambda: closed))
    await asyncio.sleep(0)
    closed = True
    bell.ring()
    assert not await task
    assert budget.reached is None


async def test_without_a_limit_nobody_waits_and_no_bell_is_rung() -> None:
    budget, bell = Budget(None), Bell()
    budget.begin(at(99), ())
    assert await budget.take(None, bell, never)
    assert await budget.take(10**12, bell, never)
    budget.settle(None, 7)
    assert (bell.rings, budget.paid) == (0, 7)
