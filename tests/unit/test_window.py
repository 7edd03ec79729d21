"""The learned window against a gateway of numbers: an event at a time, on a clock that nobody waits for."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest

from batchgen.errors import RateLimited
from batchgen.pacing import Learned, Line, Pace, Trip, Window
from batchgen.pacing.window import FIRST, LARGEST

ANSWER = 0.3


@dataclass(frozen=True)
class Outcome:
    """How a run went: its seconds, requests refused, and the window's size at its end."""

    seconds: float
    posts: int
    refused: int
    places: int

    @property
    def refused_share(self) -> float:
        return self.refused / self.posts


def gateway(
    line: Line,
    takes: Callable[[float], int],
    *,
    jobs: int = 1200,
    answer: Callable[[random.Random, int], float] = lambda _, __: ANSWER,
    chance: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Send so many jobs through the line to a gateway that refuses above `takes(now)`, and by chance."""
    dice, order = random.Random(seed), count()
    events: list[tuple[float, int, str, Trip]] = []
    ahead = served = posts = refused = 0
    waiting, now, next_send, last, look = jobs, 0.0, 0.0, 0.0, 0.0
    nobody = Trip(-1, 0, 0.0)

    def later(seconds: float, what: str, trip: Trip = nobody) -> None:
        heapq.heappush(events, (now + seconds, next(order), what, trip))

    later(0.0, "look")
    while served < jobs:
        now, _, what, trip = heapq.heappop(events)
        if what == "arrives":
            if ahead >= takes(now) or dice.random() < chance:
                later(0.002, "refused", trip)
            else:
                ahead += 1
                later(answer(dice, ahead), "answered", trip)
            continue
        if what == "answered":
            ahead, last = ahead - 1, now
            later(dice.uniform(0.004, 0.012), "came", trip)
            continue
        if what == "came":
            served += 1
            line.served(trip, now)
            line.leave(trip, now)
        elif what == "refused":
            refused += 1
            line.failed(trip, RateLimited("429"), now)
            line.leave(trip, now)
            later(dice.uniform(0.75, 1.25), "again")
        waiting += what == "again"
        ready = max(line.ready_at(now), next_send)
        if waiting and ready <= now:
            waiting, posts = waiting - 1, posts + 1
            later(0.004, "arrives", line.take(now))
            next_send = now + 0.0015
            ready = max(line.ready_at(now), next_send)
        if waiting and now < ready < float("inf") and not now < look <= ready:
            look = ready
            later(ready - now, "look")
    return Outcome(last, posts, refused, line.window.places)


@pytest.mark.parametrize("seed", range(5))
def test_an_unknown_limit_is_found_and_used_and_hardly_ever_passed(seed: int) -> None:
    def answer(dice: random.Random, _: int) -> float:
        return ANSWER * dice.uniform(0.95, 1.05)

    outcome = gateway(Line(), lambda _: 24, answer=answer, seed=seed)
    assert outcome.places in (24, 25)
    assert 1200 / 24 * ANSWER / outcome.seconds > 0.88
    assert outcome.refused_share < 0.025


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_limits_of_any_size_are_found(limit: int) -> None:
    jobs = 300 * limit if limit < 100 else 12_000
    outcome = gateway(Line(), lambda _: limit, jobs=jobs)
    assert limit <= outcome.places <= max(limit + 1, limit * 1.3)
    assert outcome.refused_share < 0.06


@pytest.mark.parametrize("seed", range(5))
def test_refusals_by_chance_are_no_limit(seed: int) -> None:
    outcome = gateway(Line(), lambda _: 24, jobs=6000, chance=0.05, seed=seed)
    assert 6000 / 24 * ANSWER / outcome.seconds > 0.85
    assert outcome.places >= 18


@pytest.mark.parametrize("seed", range(5))
def test_a_stated_thousand_is_begun_with_and_kept_through_refusals_by_chance(seed: int) -> None:
    line = Line(1000)
    assert line.window.places == 1000
    outcome = gateway(line, lambda _: 1000, jobs=6000, chance=0.05, answer=lambda _, __: 2.0, seed=seed)
    assert outcome.places >= 900


def test_a_stated_ceiling_is_never_passed() -> None:
    assert gateway(Line(8), lambda _: 1000).places == 8


def test_a_stated_ceiling_above_what_the_provider_takes_is_cut_in_one_episode() -> None:
    outcome = gateway(Line(64), lambda _: 24, jobs=600)
    assert outcome.places == 24
    assert outcome.refused < 20


def test_a_limit_that_falls_is_followed() -> None:
    outcome = gateway(Line(), lambda now: 24 if now < 5 else 12, jobs=1200)
    assert 11 <= outcome.places <= 13
    assert outcome.refused_share < 0.05


def test_a_limit_that_rises_is_found_by_growing_steps() -> None:
    outcome = gateway(Line(), lambda now: 12 if now < 5 else 48, jobs=3000)
    assert outcome.places >= 44


def test_a_provider_that_only_queues_slows_the_growth_down() -> None:
    # It refuses nothing and serves 24 at a time: whatever is beyond them waits.
    outcome = gateway(Line(), lambda _: 10_000, jobs=6000, answer=lambda _, ahead: 2.0 * max(1.0, ahead / 24))
    assert 20 <= outcome.places <= 400


def test_without_refusals_it_grows_to_the_largest() -> None:
    assert gateway(Line(), lambda _: 10_000, jobs=30_000, answer=lambda _, __: 10.0).places == LARGEST


def test_places_that_stand_empty_prove_nothing() -> None:
    window = Window()
    for serial in range(1000):
        window.sent(1)
        window.served(serial, 1, ANSWER, serial + 1)
    assert window.places == FIRST


def test_refusals_of_requests_that_left_before_the_cut_are_the_same_episode() -> None:
    window = Window(100)
    assert [window.refused(serial, 50 + serial, 60) for serial in range(3)] == [False, False, True]
    cut = window.places
    assert not any(window.refused(serial, 50 + serial, 60) for serial in range(3, 50))
    assert window.places == cut == 49


def test_the_next_run_begins_with_what_was_learned() -> None:
    line = Line()
    assert line.pace == Pace()
    gateway(line, lambda _: 24)
    assert line.pace.learned == Learned(24, limited=True)
    again = Line(pace=line.pace)
    assert again.window.places == 24
    assert gateway(again, lambda _: 24).refused_share < 0.02


def test_what_was_served_without_a_limit_is_where_the_next_run_goes_on_growing() -> None:
    line = Line()
    gateway(line, lambda _: 1000, jobs=60)
    learned = line.pace.learned
    assert learned is not None
    assert not learned.limited
    assert gateway(Line(pace=line.pace), lambda _: 1000, jobs=600).places > learned.places > FIRST


def test_a_ceiling_stated_meanwhile_holds_over_what_was_learned() -> None:
    assert Window(10, Learned(24, limited=True)).places == 10


def test_what_was_served_before_is_no_reason_to_begin_below_a_stated_ceiling() -> None:
    assert Window(64, Learned(10, limited=False)).places == 64
    assert Window(64, Learned(10, limited=True)).places == 10
