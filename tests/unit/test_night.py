"""The hours of `--start-at` and `--stop-at`, also across midnight."""

from __future__ import annotations

from datetime import datetime, time

import pytest

from batchgen.night import Hours, hours, parse_clock


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


ONE, SEVEN, TEN_PM = time(1), time(7), time(22)


@pytest.mark.parametrize(
    ("now", "start", "stop", "begins", "ends"),
    [
        # in the evening: tonight
        ("2026-11-20T23:00", ONE, SEVEN, "2026-11-21T01:00", "2026-11-21T07:00"),
        # inside the window: at once
        ("2026-11-21T03:00", ONE, SEVEN, None, "2026-11-21T07:00"),
        # exactly at the start: at once
        ("2026-11-21T01:00", ONE, SEVEN, None, "2026-11-21T07:00"),
        # exactly at the stop: the next night
        ("2026-11-21T07:00", ONE, SEVEN, "2026-11-22T01:00", "2026-11-22T07:00"),
        # a window across midnight, before and after midnight
        ("2026-11-20T21:00", TEN_PM, SEVEN, "2026-11-20T22:00", "2026-11-21T07:00"),
        ("2026-11-20T23:30", TEN_PM, SEVEN, None, "2026-11-21T07:00"),
        ("2026-11-21T06:59", TEN_PM, SEVEN, None, "2026-11-21T07:00"),
        ("2026-11-21T07:30", TEN_PM, SEVEN, "2026-11-21T22:00", "2026-11-22T07:00"),
        # only one of the two
        ("2026-11-21T03:00", None, SEVEN, None, "2026-11-21T07:00"),
        ("2026-11-21T08:00", None, SEVEN, None, "2026-11-22T07:00"),
        ("2026-11-21T03:00", ONE, None, "2026-11-22T01:00", None),
        ("2026-11-21T03:00", None, None, None, None),
    ],
)
def test_the_next_hours(
    now: str, start: time | None, stop: time | None, begins: str | None, ends: str | None
) -> None:
    expected = Hours(at(begins) if begins else None, at(ends) if ends else None)
    assert hours(at(now), start, stop) == expected


def test_a_time_of_day_is_hours_and_minutes() -> None:
    assert parse_clock("1:05") == time(1, 5)
    assert parse_clock("23:59") == time(23, 59)


@pytest.mark.parametrize("text", ["24:00", "7", "07:60", "7am", ""])
def test_anything_else_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="not a time of day such as"):
        parse_clock(text)
