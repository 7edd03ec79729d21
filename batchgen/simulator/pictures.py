"""Draw the pictures: each shows its prompt, model and size over a painting that follows from the prompt.

The same `Picture` always gives the same bytes. Drawing is slow work for a thread; `Gallery` sees to
that and keeps what was drawn lately. Pillow is imported at the first drawing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from batchgen.simulator.picture import Picture


class Gallery:
    """Draws pictures in two threads and keeps the latest, up to 64 MiB of them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="simulated-picture")
        self._kept: OrderedDict[Picture, bytes] = OrderedDict()
        self._room = 64 * 1024 * 1024

    async def encoded(self, picture: Picture) -> bytes:
        """The picture as a file of its format."""
        data = self._kept.get(picture)
        if data is not None:
            self._kept.move_to_end(picture)
            return data
        from batchgen.simulator.painting import paint  # late: brings Pillow

        data = await asyncio.get_running_loop().run_in_executor(self._threads, paint, picture)
        self._room -= len(data) if picture not in self._kept else 0
        self._kept[picture] = data
        while self._room < 0:
            self._room += len(self._kept.popitem(last=False)[1])
        return data

    async def small_copy(self, data: bytes, *, as_mask: bool = False) -> bytes:
        """A reference (or mask) shrunk to what a record can hold. Raises ValueError when it is no image."""
        from batchgen.simulator.painting import shrink  # late: brings Pillow

        return await asyncio.get_running_loop().run_in_executor(self._threads, shrink, data, as_mask)

    def close(self) -> None:
        """Drop what waits to be drawn and end the threads."""
        self._threads.shutdown(cancel_futures=True)


def variants(picture: Picture, total: int) -> tuple[Picture, ...]:
    """The pictures of one answer, told apart by their position."""
    return tuple(replace(picture, position=position, total=total) for position in range(total))
