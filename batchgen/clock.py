"""The time of a run: the wall clock's, which may be set back at night, and then goes on as if it had not been.

Waits, rates and retries are told in epoch seconds; with a clock that jumps back an hour all of them would last
an hour longer, and nothing would be sent meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Steady:
    """Epoch seconds that never go back. A jump ahead, such as after a sleep of the machine, is followed."""

    def __init__(self, wall: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic) -> None:
        """`ticks` are seconds from anywhere that only go on."""
        self._wall = wall
        self._ticks = ticks
        self._now = wall()
        self._ticked = ticks()

    def __call__(self) -> float:
        """What the wall clock says, or would say if nobody had set it back."""
        ticked, wall = self._ticks(), self._wall()
        steady = self._now + ticked - self._ticked
        self._ticked, self._now = ticked, wall if wall > steady else steady
        return self._now
