"""The seam between the runner and whoever does the work.

An engine runs one work and streams its events back. It never decides, records or waits for a
limit. Closing the stream early abandons the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from batchgen.events import Event
from batchgen.model import Work


class Engine(Protocol):
    """Runs one work at a time per call; as many calls at once as the runner likes."""

    def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """Stream the events of one work; the last one is Generated, Saved or Failed."""
        ...
