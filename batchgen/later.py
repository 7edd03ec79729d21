"""A call that is made when its turn comes: what a group of coroutines starts with, and may never come to.

A loop that ends cancels also what has not had its first step. anyio then drops the coroutine inside of its own,
and Python complains of one that was never awaited to whoever left a loop over `batchgen.iterate`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any


class Later(Coroutine[Any, Any, None]):  # Any: what passes between a coroutine and its loop is theirs
    """`group.start_soon(Later, work, *about)` for `group.start_soon(work, *about)`."""

    def __init__(self, work: Callable[..., Awaitable[None]], *about: object) -> None:
        # Nobody minds a generator that is dropped before its first step.
        self._steps = _steps(work, about)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._steps

    def send(self, value: Any) -> Any:
        """One step further."""
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """One step further, with an error."""
        return self._steps.throw(*error)

    def close(self) -> None:
        """No step more."""
        self._steps.close()


def _steps(work: Callable[..., Awaitable[None]], about: tuple[object, ...]) -> Generator[Any, Any, None]:
    yield from work(*about).__await__()
