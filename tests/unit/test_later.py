"""What was started and never had its turn leaves without a complaint."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

from batchgen.later import Later


async def test_what_is_started_is_done_with_what_it_is_about() -> None:
    seen: list[object] = []

    async def work(*about: object) -> None:
        await asyncio.sleep(0)
        seen.extend(about)

    async with anyio.create_task_group() as group:
        group.start_soon(Later, work, 1, "two")
    assert seen == [1, "two"]


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_loop_that_cancels_everything_finds_nothing_that_was_never_awaited(turns: int) -> None:
    """As `asyncio.run` does at its end, whether the first step was made or not."""
    begun, cancelled = [], []

    async def work() -> None:
        begun.append(True)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def whole() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(Later, work)
            for _ in range(turns):
                await asyncio.sleep(0)
            others = asyncio.all_tasks() - {here}
            for one in others:
                one.cancel()

    here = asyncio.current_task()
    (end,) = await asyncio.gather(asyncio.create_task(whole()), return_exceptions=True)
    gc.collect()  # warnings are errors here
    assert isinstance(end, asyncio.CancelledError)
    assert (len(begun), len(cancelled)) == (turns, turns)
