"""A line of progress now and then, for work that has no bar."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from batchgen.progress import PLAIN_INTERVAL


def now_and_then(total: int, noun: str) -> Callable[[int], None]:
    """What to call with the number that is done: it says so on stderr, not too often."""
    said = time.monotonic()

    def told(number: int) -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= PLAIN_INTERVAL:
            said = now
            click.echo(f"{number} of {total} {noun}", err=True)

    return told
