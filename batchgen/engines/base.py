"""The seam between the runner and whoever does the work.

An engine runs one work and streams its events back. It never decides, records or waits for a
limit. Closing the stream early abandons the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from batchgen.events import Event
from batchgen.model import Work

ABSENT_SECONDS = 0.5
"""Between two looks whether anybody is there again who could do the work."""


class Engine(Protocol):
    """Runs one work at a time per call; as many calls at once as the runner likes."""

    @property
    def absent(self) -> str | None:
        """Why there is nobody to do a work now, in plain words: nothing is sent meanwhile. None: go on."""
        ...

    @property
    def staff(self) -> str | None:
        """Who is there to work, for those who watch; None: this process, as ever."""
        ...

    @property
    def hands(self) -> int:
        """How many processes do the work; downloads at once go by it."""
        ...

    def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Stream the events of one work; the last one is Generated, Saved or Failed."""
        ...
