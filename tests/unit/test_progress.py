"""Progress: what is counted, when a line is written, what it says. Time is an argument."""

from __future__ import annotations

from datetime import datetime
from io import StringIO

from batchgen.events import Saved
from batchgen.ledger.records import Status
from batchgen.model import JobState
from batchgen.progress import Bar, PlainLines, Tally, duration
from batchgen.sinks import Report, Sink

SAVED = Saved(path="images/a.png", sha256="0", bytes=1, width=1, height=1, format="png")


class Clock:
    """A clock that stands until it is moved. It starts at 2:00 on the wall."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 2, 0).timestamp()

    def __call__(self) -> float:
        return self.now


def status(**jobs: int) -> Status:
    counts = {JobState(state): count for state, count in jobs.items()}
    return Status(jobs=counts, outputs={}, attempts=0, cost=0, next_expiry=None, expiring_within_24h=0)


REPORT = Report(exit_code=0, reason=None, status=status(), run_seconds=1, requests=0, images=0)


def finish_one(sink: Sink, job_id: str = "a") -> None:
    sink.moved(job_id, JobState.PENDING, JobState.RUNNING)
    sink.moved(job_id, JobState.RUNNING, JobState.GENERATED)
    sink.event(job_id, "p", SAVED)
    sink.moved(job_id, JobState.GENERATED, JobState.DONE)


def test_facts_tell_states_rate_and_time_left() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.started(10, status(done=4, failed=1, pending=5))
    clock.now += 60
    finish_one(tally)
    tally.moved("b", JobState.PENDING, JobState.RUNNING)
    assert tally.facts() == "5 done, 1 not done, 1 in flight, 1 images/min, 4 min left"


def test_time_left_counts_only_what_this_run_has_brought_to_an_end() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.started(10, status(done=9, pending=1))
    clock.now += 600
    assert "left" not in tally.facts()


def test_without_downloads_a_generated_job_is_over() -> None:
    tally = Tally(Clock(), downloads=False)
    tally.started(2, status(generated=1, pending=1))
    assert tally.over == 1


def test_waiting_is_said_with_the_hour_the_provider_and_the_reason() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.started(1, status(pending=1))
    tally.waiting("apiyi", clock.now + 14 * 60, "rate limit")
    assert tally.facts() == "0 done, 0 in flight; waiting until 02:14 for apiyi: rate limit"
    tally.waiting("apiyi", None, None)
    assert "waiting" not in tally.facts()


def test_a_short_wait_is_told_in_seconds() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.waiting("apiyi", clock.now + 7.3, "rate limit")
    assert tally.facts() == "0 done, 0 in flight; waiting 8 s more for apiyi: rate limit"


def test_a_wait_of_no_known_end_is_told_without_a_time() -> None:
    tally = Tally(Clock())
    tally.waiting("apiyi", None, "nothing came back for 4 min")
    assert tally.facts().endswith("; waiting for apiyi: nothing came back for 4 min")


def test_while_everything_waits_nobody_is_told_how_long_it_takes() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.started(10, status(pending=10))
    clock.now += 60
    finish_one(tally)
    tally.moved("b", JobState.PENDING, JobState.RUNNING)
    tally.waiting("apiyi", clock.now + 600, "rate limit")
    assert "left" not in tally.facts()
    # What else is in flight belongs to somebody who does not wait.
    tally.moved("c", JobState.PENDING, JobState.RUNNING)
    assert "9 min left" in tally.facts()


def test_waiting_that_is_over_is_not_said_any_more() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.waiting("apiyi", clock.now + 5, "rate limit")
    clock.now += 6
    assert "waiting" not in tally.facts()


def test_when_everything_is_over_nobody_waits() -> None:
    tally = Tally(Clock())
    tally.started(2, status(done=2))
    tally.waiting("p", None, "stopped: no key (P_KEY is not set)")
    assert tally.facts() == "2 done, 0 in flight"


def test_plain_lines_come_at_most_every_ten_seconds_and_once_at_the_end() -> None:
    clock, stream = Clock(), StringIO()
    lines = PlainLines(clock, stream)
    lines.started(3, status(pending=3))
    finish_one(lines, "a")
    clock.now += 10
    finish_one(lines, "b")
    finish_one(lines, "c")
    lines.finished(REPORT)
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["0/3", "1/3", "3/3"]


def test_the_bar_draws_on_the_stream_it_is_given_and_ends_with_the_last_state() -> None:
    clock, stream = Clock(), StringIO()
    bar = Bar(clock, stream)
    bar.started(2, status(done=1, pending=1))
    finish_one(bar)
    bar.say("stopping")
    bar.finished(REPORT)
    drawn = stream.getvalue()
    assert "stopping\n" in drawn
    assert "2/2, 2 done, 0 in flight" in drawn.split("\r")[-1]


def test_the_bar_says_at_once_what_it_waits_for() -> None:
    clock, stream = Clock(), StringIO()
    bar = Bar(clock, stream)
    bar.started(1, status(pending=1))
    bar.waiting("apiyi", clock.now + 120, "rate limit")
    assert "waiting until 02:02 for apiyi: rate limit" in stream.getvalue()
    bar.finished(REPORT)


def test_durations_are_as_exact_as_anyone_wants_to_know() -> None:
    texts = [duration(seconds) for seconds in (0.4, 89, 90, 3600, 12000, 7 * 86400)]
    assert texts == ["under 1 s", "89 s", "2 min", "60 min", "3 h 20 min", "7 d"]
