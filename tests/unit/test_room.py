"""Room for large replies: counted in bytes, first come first served, and nobody waits without end."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchgen.images.room import SMALL, UNTOLD, Place, Room
from batchgen.transport import Head


def head(size: int | None) -> Head:
    return Head(200, {} if size is None else {"content-length": str(size)})


async def test_small_replies_need_no_room() -> None:
    room = Room(most=1)
    place = Place(room)
    await place.admit(head(SMALL))
    await place.admit(b"x" * SMALL)
    assert await room.take(1) == 1


async def test_a_reply_larger_than_all_room_takes_all_of_it() -> None:
    assert await Room(most=10).take(99) == 10


async def test_who_came_first_goes_on_first() -> None:
    room = Room(most=10)
    order: list[str] = []

    async def enter(name: str, size: int) -> None:
        held = await room.take(size)
        order.append(name)
        room.give(held)

    held = await room.take(10)
    async with asyncio.TaskGroup() as group:
        group.create_task(enter("large", 9))
        group.create_task(enter("small", 1))
        await anyio.lowlevel.checkpoint()
        assert order == []
        room.give(held)
    assert order == ["large", "small"]
    assert await room.take(10) == 10


async def test_nobody_waits_longer_than_a_connection_may_stand_still() -> None:
    room = Room(most=10, patience=0.0)
    held = await room.take(10)
    assert await room.take(5) == 0
    room.give(held)
    assert await room.take(10) == 10


async def test_who_is_cancelled_while_waiting_keeps_nothing() -> None:
    room = Room(most=10)
    held = await room.take(10)
    waiting = asyncio.create_task(room.take(5))
    await anyio.lowlevel.checkpoint()
    room.give(held)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await room.take(10) == 10


@pytest.mark.parametrize("first", [head(2 * SMALL), head(None)])
async def test_a_large_reply_holds_its_room_until_it_leaves(first: Head) -> None:
    room = Room(most=4 * UNTOLD, patience=0.0)
    place = Place(room)
    await place.admit(first)
    await place.admit(b"x" * (SMALL + 1))
    assert await room.take(4 * UNTOLD) == 0
    place.leave()
    assert await room.take(4 * UNTOLD) == 4 * UNTOLD
