"""Options that take a span of time (`90s`, `20m`, `7d`, a number of seconds) or a time of day (`01:00`)."""

from __future__ import annotations

from datetime import time

import click

from batchgen.manifest.words import parse_duration
from batchgen.night import parse_clock


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The option's value in seconds, for use as a callback; None when it is not given."""
    if value is None:
        return None
    span = parse_duration(value)
    if not span:
        raise click.BadParameter(f"{value!r} is no span of time: write 90s, 20m, 7d or a number of seconds")
    return span


def clock(ctx: click.Context, param: click.Parameter, value: str | None) -> time | None:
    """The option's time of day, for use as a callback; None when it is not given."""
    try:
        return None if value is None else parse_clock(value)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None
