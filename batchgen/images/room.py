"""Room in memory for large replies: whoever finds none lets the network wait before reading on.

Counted in bytes, not in requests: a hundred links cost nothing, and 64 inline images of 8 MB would be 700 MB.
First come, first served; nobody waits longer than a gateway lets a connection stand still.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio

from batchgen.transport import Head

ROOM: Final = 96 << 20
"""Bytes of large replies held at a time; while one with data URLs is read, it takes as much again, or twice."""

SMALL: Final = 1 << 20
"""Replies up to this size need no room."""

UNTOLD: Final = 8 << 20
"""What a large reply that did not tell its length is counted as."""

PATIENCE: Final = 20.0
"""Seconds; nginx gives a connection up that takes nothing for 60."""


class Room:
    """The bytes that all replies of a worker share."""

    def __init__(self, most: int = ROOM, patience: float = PATIENCE) -> None:
        self._most = most
        self._free = most
        self._patience = patience
        self._queue: deque[tuple[int, anyio.Event]] = deque()

    async def take(self, size: int) -> int:
        """Wait for `size` bytes, or all there are; returns what to `give` back. 0: waited long enough."""
        size = min(size, self._most)
        if not self._queue and size <= self._free:
            self._free -= size
            return size
        place = (size, anyio.Event())
        self._queue.append(place)
        try:
            with anyio.move_on_after(self._patience):
                await place[1].wait()
        except BaseException:  # cancelled, perhaps at the very moment of its turn
            self.give(self._leave(place))
            raise
        if place[1].is_set():
            return size
        self.give(self._leave(place))
        return 0

    def give(self, size: int) -> None:
        """Bytes are free again: those who came first go on."""
        self._free += size
        while self._queue and self._queue[0][0] <= self._free:
            wanted, turn = self._queue.popleft()
            self._free -= wanted
            turn.set()

    def _leave(self, place: tuple[int, anyio.Event]) -> int:
        """Give up waiting; returns what this place had been given."""
        if place[1].is_set():
            return place[0]
        self._queue.remove(place)
        return 0


class Place:
    """What one reply holds of a `Room`."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0
        self._asked = False
        self._seen = 0

    async def admit(self, item: Head | bytes) -> None:
        """Call with each item of the transport, before the next is asked for."""
        if self._asked:
            return
        if isinstance(item, Head):
            length = item.headers.get("content-length", "")
            size = int(length) if length.isascii() and length.isdigit() else 0
        else:
            self._seen += len(item)
            size = UNTOLD if self._seen > SMALL else 0
        if size > SMALL:
            self._asked = True
            self._held = await self._room.take(size)

    def leave(self) -> None:
        """The reply is in memory no more."""
        self._room.give(self._held)
        self._held = 0
