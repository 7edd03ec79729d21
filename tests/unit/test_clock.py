"""The time of a run: it follows the wall clock ahead and never back."""

from __future__ import annotations

from batchgen.clock import Steady


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_a_wall_clock_that_is_set_back_does_not_hold_the_run_up() -> None:
    wall, ticks = Hands(10_000.0), Hands(50.0)
    now = Steady(wall, ticks)
    wall.at, ticks.at = 10_001.0, 51.0
    assert now() == 10_001.0
    wall.at, ticks.at = 10_001.0 - 3600 + 2, 53.0
    assert now() == 10_003.0
    wall.at, ticks.at = wall.at + 10, 63.0
    assert now() == 10_013.0


def test_a_wall_clock_that_went_ahead_is_followed() -> None:
    wall, ticks = Hands(10_000.0), Hands(50.0)
    now = Steady(wall, ticks)
    wall.at, ticks.at = 10_000.0 + 7200, 51.0
    assert now() == 17_200.0
