"""The axis of time of a report: bins that hold everything once, and no room for idle hours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.report.times import IDLE, MOST_BINS, axis, quantile

TIMES = st.lists(st.floats(0, 1e7), min_size=1, max_size=60)


def test_no_event_makes_no_axis() -> None:
    assert axis([], []) is None


@given(TIMES)
def test_every_event_falls_into_one_bin_and_the_bins_fill_the_axis(times: list[float]) -> None:
    found = axis(times)
    assert found is not None
    assert sum(found.count(times)) == len(times)
    assert found.bins[0].left == 0
    assert found.bins[-1].right == pytest.approx(1)
    for before, after in zip(found.bins, found.bins[1:], strict=False):
        assert before.right == pytest.approx(after.left)
        assert before.end <= after.start + 1e-6
    assert len(found.bins) <= MOST_BINS + 8


def test_a_night_between_two_runs_takes_no_room_and_is_told() -> None:
    evening, morning = [float(n) for n in range(600)], [50_000.0 + n for n in range(600)]
    found = axis(evening, morning)
    assert found is not None
    ((place, idle),) = found.breaks
    assert place == pytest.approx(0.5, abs=0.02)
    assert idle == pytest.approx(50_000 - 599)
    assert sum(one.end - one.start for one in found.bins) == pytest.approx(2 * 599)


def test_a_pause_shorter_than_idle_time_stays_on_the_axis() -> None:
    found = axis([0.0, IDLE - 1])
    assert found is not None
    assert not found.breaks


def test_a_single_event_has_a_bin_of_some_width() -> None:
    found = axis([100.0])
    assert found is not None
    assert found.count([100.0]) == [1] + [0] * (len(found.bins) - 1)
    assert found.end > found.start


def test_a_quantile_is_one_of_the_values_and_there_is_none_of_none() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0], 0.9) == 1.0
    assert quantile([], 0.5) is None
