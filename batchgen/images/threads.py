"""How many threads of an event loop may do one kind of blocking work at a time."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.lowlevel import RunVar


def at_most(threads: int, work: str) -> Callable[[], anyio.CapacityLimiter]:
    """A limit for this kind of work, made anew for each event loop that asks for it."""
    known: RunVar[anyio.CapacityLimiter] = RunVar(work)

    def limiter() -> anyio.CapacityLimiter:
        try:
            return known.get()
        except LookupError:
            made = anyio.CapacityLimiter(threads)
            known.set(made)
            return made

    return limiter
