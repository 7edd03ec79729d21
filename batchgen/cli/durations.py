"""Options that take a span of time: `90s`, `20m`, `7d` or a number of seconds."""

from __future__ import annotations

import click

from batchgen.manifest.words import parse_duration


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The option's value in seconds, for use as a callback; None when it is not given."""
    if value is None:
        return None
    span = parse_duration(value)
    if not span:
        raise click.BadParameter(f"{value!r} is no span of time: write 90s, 20m, 7d or a number of seconds")
    return span
