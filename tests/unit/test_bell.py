"""The bell that lanes wait for: it wakes everybody, and no ring is lost."""

from __future__ import annotations

import asyncio

from batchgen.limiter import Bell


async def woken(*waits: asyncio.Task[None]) -> bool:
    done, _ = await asyncio.wait(waits, timeout=30)
    return len(done) == len(waits)


async def test_one_ring_wakes_all_who_wait() -> None:
    bell = Bell()
    waits = [asyncio.create_task(bell.wait(bell.rings)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    assert await woken(*waits)


async def test_a_ring_between_the_look_and_the_wait_is_heard() -> None:
    bell = Bell()
    seen = bell.rings
    bell.ring()
    assert await woken(asyncio.create_task(bell.wait(seen)))


async def test_who_waited_long_enough_takes_no_ring_from_those_who_wait_on() -> None:
    bell = Bell()
    longer = asyncio.create_task(bell.wait(bell.rings))
    await asyncio.sleep(0)
    await bell.wait(bell.rings, 0)
    left = asyncio.create_task(bell.wait(bell.rings))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    assert not longer.done()
    bell.ring()
    assert await woken(longer)


async def test_a_wait_after_a_ring_waits_for_the_next_one() -> None:
    bell = Bell()
    await bell.wait(bell.rings, 0)
    bell.ring()
    wait = asyncio.create_task(bell.wait(bell.rings))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not wait.done()
    bell.ring()
    assert await woken(wait)
