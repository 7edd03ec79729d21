"""Rates and breakers as arithmetic: the time is an argument, so nothing waits."""

from __future__ import annotations

from batchgen.errors import (
    BadReference,
    BadRequest,
    JobError,
    NotSent,
    RateLimited,
    ReferenceLost,
    Saturated,
    ServerError,
)
from batchgen.events import Allowance
from batchgen.pacing import Breaker, Line, Rate, Stall, Trip


def _run(rate: Rate, seconds: float, weight: int = 1) -> int:
    now, taken = 0.0, 0
    while (now := max(now, rate.ready_at(now))) < seconds:
        rate.take(now, weight)
        taken += 1
    return taken


def test_a_rate_is_used_whole_and_never_passed_not_even_in_its_first_second() -> None:
    assert _run(Rate(1200), 1.0) == 20
    # Sums of 0.05 fall a hair short of 60: the last moment is left out.
    assert _run(Rate(1200), 60.0 - 1e-6) == 1200


def test_a_request_for_four_images_weighs_four() -> None:
    assert _run(Rate(60), 60.0, weight=4) == 15


def test_no_stated_rate_means_no_wait() -> None:
    rate = Rate(None)
    rate.take(5.0)
    assert rate.ready_at(5.0) == 5.0


def test_time_that_was_not_used_is_not_saved_up() -> None:
    rate = Rate(60)
    rate.take(0.0)
    rate.take(1000.0)
    assert rate.ready_at(1000.0) == 1001.0


def _fail(breaker: Breaker, times: int, error: JobError, start: float = 0.0, step: float = 0.0) -> None:
    for number in range(times):
        breaker.failed(error, start + number * step)


def test_five_failures_in_a_row_open_the_breaker() -> None:
    breaker = Breaker()
    _fail(breaker, 4, ServerError("502"))
    assert not breaker.is_open
    breaker.failed(ServerError("502"), 0.0)
    assert breaker.is_open
    assert breaker.ready_at(0.0) == Breaker.FIRST_PROBE


def test_a_success_closes_it_at_once() -> None:
    breaker = Breaker()
    _fail(breaker, 5, NotSent("refused"))
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.ready_at(1.0) == 1.0
    assert breaker.failing_since() is None


def test_probes_become_rarer_up_to_a_minute() -> None:
    breaker = Breaker()
    _fail(breaker, 5, NotSent("refused"))
    waits, now = [], 0.0
    for _ in range(7):
        waits.append(breaker.ready_at(now) - now)
        now = breaker.ready_at(now)
        breaker.failed(NotSent("refused"), now)
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_a_failure_of_a_request_sent_before_it_opened_makes_the_probes_no_rarer() -> None:
    breaker = Breaker()
    _fail(breaker, 64, NotSent("refused"))
    assert breaker.ready_at(0.0) == Breaker.FIRST_PROBE


def test_an_answer_about_the_job_itself_says_that_the_provider_is_up() -> None:
    breaker = Breaker()
    _fail(breaker, 4, ServerError("502"))
    breaker.failed(BadRequest("no"), 0.0)
    breaker.failed(ServerError("502"), 0.0)
    assert not breaker.is_open


def test_refusals_for_rate_open_it_like_any_other() -> None:
    breaker = Breaker()
    _fail(breaker, 5, RateLimited("429"), start=3.0, step=1.0)
    assert breaker.is_open
    assert breaker.failing_since() == 3.0


def test_the_time_that_one_job_is_told_holds_for_its_line_and_is_kept_for_the_next_run() -> None:
    line = Line()
    line.failed(line.take(0.0), RateLimited("429", retry_after=60.0), 1.0)
    assert line.ready_at(1.0) == 61.0
    assert Line(pace=line.pace).ready_at(2.0) == 61.0


def test_a_wait_of_less_than_a_second_is_for_the_job_alone() -> None:
    line = Line()
    line.failed(line.take(0.0), RateLimited("try again in 467ms", retry_after=0.467), 1.0)
    assert line.ready_at(1.0) <= 1.0


def test_a_refusal_is_beyond_when_so_many_were_never_served_at_once() -> None:
    line = Line()
    first, second, third = (line.take(0.0) for _ in range(3))
    assert not line.failed(third, RateLimited("429"), 0.1)
    line.served(second, 1.0)
    line.leave(third, 1.0)
    assert line.failed(line.take(1.0), RateLimited("429"), 1.1)
    assert not line.failed(first, RateLimited("429"), 1.2)


def test_saturation_is_a_refusal_for_load_and_an_answer_about_the_job_is_none() -> None:
    line = Line(ceiling=10)
    for _ in range(3):
        line.failed(line.take(0.0), Saturated("busy"), 0.1)
    assert line.window.places == 1
    other = Line(ceiling=10)
    for _ in range(3):
        other.failed(other.take(0.0), BadRequest("no such size"), 0.1)
    assert other.window.places == 10


def test_silence_of_five_usual_answers_is_a_stall() -> None:
    line, now = Line(), 0.0
    for _ in range(8):
        trip = line.take(now)
        line.served(trip, now := now + 20.0)
        line.leave(trip, now)
    line.take(now)
    line.take(now + 50.0)
    assert line.stall(now + 100.0) is None
    assert line.stall(now + 101.0) == Stall(silent=101.0, in_flight=2, oldest=101.0)


def test_a_stall_counts_from_the_last_answer_and_is_never_shorter_than_a_minute() -> None:
    line = Line()
    trips = [line.take(0.0) for _ in range(9)]
    for trip in trips[:8]:
        line.served(trip, 1.0)
        line.leave(trip, 1.0)
    assert line.stall(60.0) is None
    assert line.stall(62.0) == Stall(silent=61.0, in_flight=1, oldest=62.0)


def test_before_the_first_answer_five_minutes_are_no_stall() -> None:
    line = Line()
    assert line.stall(1000.0) is None
    line.take(0.0)
    assert line.stall(300.0) is None
    assert line.stall(301.0) is not None


def test_refusals_for_load_open_the_breaker_in_a_row_in_whatever_order_they_come_back() -> None:
    line = Line(ceiling=8)
    trips = [line.take(0.0) for _ in range(8)]
    opened = []
    for number in (3, 7, 0, 5, 1):
        line.failed(trips[number], Saturated("busy"), 0.1)
        opened.append(line.breaker.is_open)
    assert opened == [False, False, False, False, True]


def test_refusals_among_requests_that_were_taken_open_no_breaker_though_none_is_answered_yet() -> None:
    line = Line(ceiling=1000)
    for number, trip in enumerate([line.take(0.0) for _ in range(500)]):
        if number % 10 == 0:
            line.failed(trip, RateLimited("429"), 0.1)
    assert not line.breaker.is_open


def test_a_reference_that_was_not_to_be_had_says_nothing_of_the_provider() -> None:
    line = Line()
    for error in [ServerError("no")] * 4 + [ReferenceLost("gone"), BadReference("gone")] * 9:
        line.failed(line.take(0.0), error, 0.0)
    assert not line.breaker.is_open
    line.failed(line.take(0.0), ServerError("no"), 0.0)
    assert line.breaker.is_open  # the four before still count
    line.failed(line.take(0.0), BadReference("the provider's own word", status=400), 0.0)
    assert not line.breaker.is_open


def test_short_waits_told_in_a_row_hold_for_the_line() -> None:
    line = Line(ceiling=8)
    for _ in range(3):
        assert line.ready_at(0.1) <= 0.1
        trip = line.take(0.1)
        line.failed(trip, RateLimited("try again in 467ms", retry_after=0.467), 0.1)
        line.leave(trip, 0.1)
    assert line.ready_at(0.1) == 0.1 + 0.467


def _through(seconds: float, per_minute: int, latency: float, *, tells: bool) -> tuple[int, int]:
    """Served and refused by a provider that takes so many requests in any 60 seconds, and may tell what is left."""
    line, recent, trips = Line(), list[float](), dict[int, Trip]()
    answers: list[tuple[float, int, Allowance | None]] = []
    now, served, refused = 0.0, 0, 0
    while now < seconds:
        while line.ready_at(now) <= now:
            trip = line.take(now)
            trips[trip.serial] = trip
            recent = [at for at in recent if now - at < 60]
            if taken := len(recent) < per_minute:
                recent.append(now)
            left = Allowance(per_minute - len(recent), 60 - (now - recent[0]), per_minute)
            answers.append((now + (latency if taken else 0.05), trip.serial, left if taken else None))
        answers.sort(key=lambda answer: answer[:2])
        if not answers or line.ready_at(now) < answers[0][0]:
            now = min(line.ready_at(now), seconds)
            continue
        now, serial, told = answers.pop(0)
        if told is None:
            refused += 1
            line.failed(trips[serial], RateLimited("slow", retry_after=60 - (now - recent[0])), now)
        else:
            served += 1
            if tells:
                line.told(trips[serial], told, now)
            line.served(trips[serial], now)
        line.leave(trips[serial], now)
    return served, refused


def test_what_is_left_of_a_limit_is_heeded_before_a_refusal_says_it() -> None:
    for latency, fewer in ((0.3, 50), (2.0, 5), (60.0, 1)):
        told, untold = (_through(900, 60, latency, tells=tells) for tells in (True, False))
        assert told[1] * fewer <= untold[1]
        assert told[0] >= untold[0]


def test_those_in_flight_use_up_what_was_left_when_an_earlier_one_was_answered() -> None:
    line = Line()
    first, *_ = [line.take(0.0) for _ in range(3)]
    line.told(first, Allowance(3, 20.0), now=1.0)
    assert line.ready_at(1.0) <= 1.0
    line.told(first, Allowance(2, 20.0), now=1.0)
    assert line.paused_until == 20.0


def test_a_limit_that_is_told_wrongly_is_heeded_no_more_once_requests_are_served_all_the_same() -> None:
    line = Line()
    trips = [line.take(0.0) for _ in range(4)]
    line.told(trips[0], Allowance(0, 3600.0, 10), now=1.0)
    assert line.paused_until == 3600.0
    for trip in trips:
        line.served(trip, 2.0)
        line.leave(trip, 2.0)
    assert line.ready_at(2.0) <= 2.0
    line.told(line.take(2.0), Allowance(0, 3600.0, 10), now=3.0)
    assert line.ready_at(3.0) <= 3.1


def test_what_an_older_answer_tells_does_not_count_after_a_newer_one() -> None:
    line = Line()
    older, newer = line.take(0.0), line.take(0.0)
    line.told(newer, Allowance(50, 1.0), now=1.0)
    line.told(older, Allowance(0, 60.0), now=1.0)
    assert line.ready_at(1.0) <= 1.0


def test_what_was_true_a_minute_ago_makes_nobody_wait_now() -> None:
    line = Line()
    trip = line.take(0.0)
    line.told(trip, Allowance(0, 10.0, 60), now=60.0)
    assert line.ready_at(60.0) <= 60.0
