"""The hours in which a run may send: from `--start-at` to `--stop-at`, local time, also across midnight.

Pure: the present moment comes in as a local datetime.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def parse_clock(text: str) -> time:
    """`01:00` or `7:30` as a time of day. Raises ValueError with one line."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a time of day such as 01:00 or 23:30")
    return time(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Hours:
    """When sending begins and ends; None: at once, or never."""

    begins: datetime | None
    ends: datetime | None


def hours(now: datetime, start_at: time | None, stop_at: time | None) -> Hours:
    """The next hours to send in. Between start and stop it begins at once and ends at this stop."""
    begins = None if start_at is None else _next(now, start_at)
    if stop_at is None:
        return Hours(begins, None)
    ends = _next(now, stop_at)
    if begins is None or ends < begins:
        # The next stop comes before the next start: the window is open now.
        return Hours(None, ends)
    return Hours(begins, _next(begins, stop_at))


def _next(now: datetime, clock: time) -> datetime:
    """The next moment after `now` at that time of day."""
    today = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
