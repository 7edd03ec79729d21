"""Work on pictures in a few threads, read ahead of whoever takes the results, which come out in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS: Final = min(4, os.cpu_count() or 1)
"""Threads; so many results are held beside the one that is taken."""


FAR: Final = 16
"""Threads where each waits for an object store."""


def ahead(items: Iterable[T], work: Callable[[T], R], threads: int = THREADS) -> Iterator[tuple[T, R]]:
    """Each item with what `work` made of it, in order; memory for a handful, however many there are."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > threads:
                first, done = waiting.popleft()
                yield first, done.result()
        while waiting:
            first, done = waiting.popleft()
            yield first, done.result()
    finally:
        pool.shutdown(cancel_futures=True)
