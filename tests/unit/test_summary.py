"""The closing summary: every job that is not done, in plain words, with the command that deals with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from batchgen.alike import NAMED
from batchgen.ledger.records import AttemptRecord, ErrorRecord, JobRecord, OutputRecord, Status
from batchgen.model import Job, JobState, Outcome, OutputState
from batchgen.sinks import Report
from batchgen.summary import Commands, Unfinished, closing, cost_words, counts, link_warning, reason

COMMANDS = Commands("out/demo", "batchgen run jobs/demo.yaml")
REFUSED = ErrorRecord("refused", "content_policy_violation", "Your request\nwas rejected")


def record(
    job_id: str,
    state: JobState,
    error: ErrorRecord | None = None,
    *,
    not_before: float | None = None,
    attempts: tuple[AttemptRecord, ...] = (),
) -> JobRecord:
    """One job as the ledger gives it."""
    return JobRecord(
        job=Job(id=job_id, prompt="p", provider=("apiyi",), model="m"),
        state=state,
        provider="apiyi",
        cost=None,
        not_before=not_before,
        error=error,
        warnings=(),
        attempts=attempts,
        outputs=(),
    )


def text_of(
    *records: JobRecord,
    reason: str | None = None,
    exit_code: int = 1,
    dying: int = 0,
    next_expiry: float | None = None,
) -> str:
    """The summary of a batch of one done job and these."""
    unfinished = Unfinished()
    states = [JobState.DONE]
    for one in records:
        unfinished.add(one)
        states.append(one.state)
    status = Status(
        jobs={state: states.count(state) for state in JobState},
        outputs={},
        attempts=3,
        cost=0.09,
        next_expiry=next_expiry,
        expiring_within_24h=dying,
    )
    report = Report(exit_code=exit_code, reason=reason, status=status, run_seconds=754, requests=3, images=1)
    return closing("demo", report, unfinished, COMMANDS)


def test_a_batch_that_is_done_says_so_and_where_the_images_are() -> None:
    assert text_of() == (
        "demo: the one job done\n\n"
        "images   out/demo/images\n"
        "cost     0.09 by the price list, for the whole batch; 0.00 in this run\n"
        "time     13 min in this run: 3 requests, 1 image"
    )


def test_every_job_that_is_not_done_is_named_with_its_reason_and_the_command() -> None:
    other = ErrorRecord("refused", None, "no")
    text = text_of(record("cat", JobState.REFUSED, REFUSED), record("lighthouse", JobState.REFUSED, other))
    assert "demo: 1 of 3 jobs done" in text
    assert "\n2 refused by the content policy\n" in text
    assert "\n  cat         refused: Your request was rejected\n" in text
    assert "batchgen retry out/demo --state refused && batchgen run jobs/demo.yaml" in text


def test_every_state_but_done_comes_with_a_command() -> None:
    for state in set(JobState) - {JobState.DONE}:
        text = text_of(record("cat", state))
        assert "\n  cat\n" in text, state
        assert "\n  -> " in text, state
        assert "batchgen " in text.split("\n  -> ")[1].split("\n")[0], state


def test_held_jobs_are_said_to_be_perhaps_paid_for_already() -> None:
    text = text_of(record("cat", JobState.HELD, ErrorRecord("interrupted", None, "read time-out")))
    assert "may have been billed" in text
    assert "perhaps paid twice" in text


def test_many_of_one_kind_are_counted_with_the_command_that_lists_them() -> None:
    empty = ErrorRecord("quota", None, "empty")
    many = [record(f"job-{number}", JobState.FAILED, empty) for number in range(NAMED + 1)]
    text = text_of(*many, record("cat", JobState.FAILED, ErrorRecord("bad_request", None, "no such size")))
    assert "\n  21 jobs: quota: empty\n    job-0, job-1, job-2" in text
    assert "job-19, …\n  all of them: batchgen jobs out/demo --state failed --error quota\n" in text
    assert "  cat  bad_request: no such size" in text
    assert text.count("all of them") == 1


def test_jobs_with_the_same_reason_but_for_its_numbers_and_ids_are_told_together() -> None:
    slow = [
        record(name, JobState.FAILED, ErrorRecord("rate_limit", None, f"try again in {wait}ms (task_01kb{wait}xyz)"))
        for name, wait in (("a", 467), ("b", 1230))
    ]
    text = text_of(*slow, record("c", JobState.FAILED, ErrorRecord("rate_limit", None, "slow down")))
    first = "  2 jobs: rate_limit: try again in 467ms (task_01kb467xyz)\n    a, b\n"
    assert f"\n{first}  c  rate_limit: slow down\n" in text


def test_of_very_many_reasons_the_commonest_are_told_and_the_others_counted() -> None:
    words = [letter * 3 for letter in "abcdefghijklmnop"]
    rare = [record(word, JobState.FAILED, ErrorRecord("bad_request", None, f"no {word}")) for word in words]
    common = [record(name, JobState.FAILED, ErrorRecord("bad_request", None, "no such size")) for name in "xyz"]
    text = text_of(*rare, *common)
    assert "3 jobs: bad_request: no such size\n    x, y, z\n  aaa  bad_request: no aaa\n" in text
    assert "\n  and 9 more, each for another reason\n  all of them: batchgen jobs out/demo --state failed" in text


def test_trouble_that_passes_by_itself_asks_for_nothing_to_be_mended() -> None:
    passing, own = ErrorRecord("server_error", None, "oops"), ErrorRecord("bad_request", None, "no")
    assert "so try again when it is well: batchgen retry out/demo --state failed &&" in text_of(
        record("a", JobState.FAILED, passing)
    )
    both = text_of(record("a", JobState.FAILED, passing), record("b", JobState.FAILED, own))
    assert "when it is well: batchgen retry out/demo --state failed --error server_error &&" in both
    assert "mend the cause, then: batchgen retry out/demo --state failed --error bad_request &&" in both


def test_stopping_early_is_said_before_anything_else() -> None:
    text = text_of(record("cat", JobState.PENDING), reason="apiyi: the key is wrong")
    assert text.splitlines()[1] == "stopped early: apiyi: the key is wrong"


def test_an_interrupted_run_says_that_nothing_is_lost() -> None:
    text = text_of(record("cat", JobState.PENDING), exit_code=130)
    assert text.splitlines()[1] == "interrupted: the ledger is whole, run again to continue"


def test_links_about_to_die_come_with_the_hour_and_the_command() -> None:
    text = text_of(
        record("cat", JobState.GENERATED), dying=3, next_expiry=datetime(2026, 11, 20, 14, 5).timestamp()
    )
    assert "links    3 images not on disk" in text
    assert "the first at 14:05 on 20 November: batchgen fetch out/demo" in text


def test_a_waiting_job_says_until_when_and_after_what() -> None:
    failed = AttemptRecord(
        number=1,
        provider="apiyi",
        task_id=None,
        gen_id=None,
        request_id=None,
        http_status=429,
        outcome=Outcome.FAILED,
        error=ErrorRecord("rate_limit", None, "slow down"),
        started_at=0,
        finished_at=1,
        cost=None,
    )
    hour = datetime(2026, 11, 20, 2, 14).timestamp()
    waiting = record("cat", JobState.PENDING, not_before=hour, attempts=(failed,))
    assert reason(waiting) == "waits until 02:14 after rate_limit: slow down"


def test_a_long_message_is_cut_to_one_line() -> None:
    words = reason(record("cat", JobState.FAILED, ErrorRecord("bad_request", None, "x" * 500)))
    assert len(words) == 160
    assert words.endswith("…")


def test_counts_leave_out_what_counts_nothing() -> None:
    assert counts({JobState.HELD: 1, JobState.DONE: 97}, JobState) == "97 done, 1 held"
    assert counts({}, JobState) == "none"


def test_jobs_with_warnings_are_counted_in_one_line_with_the_command_that_lists_them() -> None:
    unfinished = Unfinished()
    unfinished.warned = 2
    status = Status(
        jobs={JobState.DONE: 2}, outputs={}, attempts=2, cost=0.0, next_expiry=None, expiring_within_24h=0
    )
    report = Report(exit_code=0, reason=None, status=status, run_seconds=1, requests=2, images=2)
    last = closing("demo", report, unfinished, COMMANDS).splitlines()[-1]
    assert last == "warnings 2 jobs with something to look at: batchgen jobs out/demo --warnings"
    assert "warnings" not in text_of()


def spoilt(name: str, *, expires_at: float | None = None, second_chance: bool = False) -> JobRecord:
    """A job whose picture came and could not be had."""
    error = ErrorRecord("bad_image", None, "too large")
    output = OutputRecord(
        position=0,
        url="https://a.example/x",
        expires_at=expires_at,
        state=OutputState.BAD,
        path=None,
        sha256=None,
        bytes=None,
        width=None,
        height=None,
        format=None,
        error=error,
        second_chance=second_chance,
    )
    return replace(record(name, JobState.FAILED, error), outputs=(output,))


def cut_off(name: str, *, asked_again: bool = False, kind: str = "interrupted") -> JobRecord:
    """A held job with a task."""
    error = ErrorRecord(kind, None, "cut")
    attempt = AttemptRecord(
        number=1,
        provider="tu-zi",
        task_id="task_1",
        gen_id=None,
        request_id=None,
        http_status=None,
        outcome=Outcome.UNKNOWN,
        error=error,
        started_at=0,
        finished_at=1,
        cost=None,
        asked_again=asked_again,
    )
    return record(name, JobState.HELD, error, attempts=(attempt,))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (spoilt("a"), "tries the download again at no cost"),
        (spoilt("a", expires_at=50), "paid again"),
        (spoilt("a", second_chance=True), "paid again"),
        (cut_off("a"), "asks its task first, at no cost; a second retry sends it again"),
        (cut_off("a", asked_again=True), "perhaps paid twice"),
        (cut_off("a", kind="task_unknown"), "perhaps paid twice"),
    ],
    ids=["link", "dead link", "fetched twice", "task", "asked twice", "unknown task"],
)
def test_the_hint_says_whether_a_retry_is_paid(job: JobRecord, words: str) -> None:
    unfinished = Unfinished({"tu-zi"}, now=100)
    unfinished.add(job)
    (hint,) = [line for line in unfinished.lines(COMMANDS) if "->" in line]
    assert words in hint
    assert f"batchgen retry out/demo --state {job.state} && batchgen run jobs/demo.yaml" in hint


def test_where_some_are_free_and_some_are_paid_each_kind_has_its_own_command() -> None:
    text = text_of(spoilt("a"), record("b", JobState.FAILED, ErrorRecord("bad_request", None, "no")))
    assert "at no cost: batchgen retry out/demo --state failed --error bad_image &&" in text
    assert "mend the cause, then: batchgen retry out/demo --state failed --error bad_request &&" in text


def test_where_one_kind_of_error_has_both_the_free_command_comes_first_and_pays_for_nothing() -> None:
    lines = text_of(spoilt("dead", expires_at=-1), spoilt("alive"), spoilt("dead too", expires_at=-2)).splitlines()
    (free, paid) = [line for line in lines if "->" in line]
    assert free == "  -> what these still bring comes at no cost: batchgen fetch out/demo"
    assert paid.startswith("  -> what is left after that costs again: mend the cause, then generate them anew (paid")
    assert "batchgen retry out/demo --state failed --error bad_image && batchgen run jobs/demo.yaml" in paid
    assert lines.index(free) > next(n for n, line in enumerate(lines) if "alive" in line)
    assert lines.index(free) < next(n for n, line in enumerate(lines) if "dead" in line)


def numbers(*, saved: int = 0, cost: float = 0.0, soon: int = 0, past: int = 0) -> Status:
    """A batch in numbers; its first link dies, or died, at 14:05."""
    return Status(
        jobs={},
        outputs={OutputState.SAVED: saved},
        attempts=1,
        cost=cost,
        next_expiry=datetime(2026, 11, 20, 14, 5).timestamp(),
        expiring_within_24h=soon,
        past_their_date=past,
    )


def test_a_batch_without_a_price_is_not_said_to_cost_nothing() -> None:
    assert cost_words(numbers(saved=2)) == "unknown: no price given"
    assert cost_words(numbers(saved=2, cost=0.5)) == "0.50 by the price list"
    assert cost_words(numbers()) == "0.00 by the price list"


def test_links_past_their_date_are_not_said_to_die_soon() -> None:
    told = link_warning(numbers(soon=2, past=2), COMMANDS)
    assert told is not None
    assert "2 images not on disk, and the links are past their date, the first since 14:05" in told
    told = link_warning(numbers(soon=3, past=1), COMMANDS)
    assert told is not None
    assert "1 link past the date, the others die within 24 hours" in told
