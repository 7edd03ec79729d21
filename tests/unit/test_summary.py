"""The closing summary: every job that is not done, in plain words, with the command that deals with it."""

from __future__ import annotations

from datetime import datetime

from batchgen.ledger.records import AttemptRecord, ErrorRecord, JobRecord, Status
from batchgen.model import Job, JobState, Outcome
from batchgen.sinks import Report
from batchgen.summary import NAMED, Commands, Unfinished, closing, counts, reason

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
        "demo: all 1 jobs done\n\n"
        "images   out/demo/images\n"
        "cost     0.09 by the price list, for the whole batch\n"
        "time     13 min in this run: 3 requests, 1 image"
    )


def test_every_job_that_is_not_done_is_named_with_its_reason_and_the_command() -> None:
    text = text_of(record("cat", JobState.REFUSED, REFUSED), record("lighthouse", JobState.REFUSED, REFUSED))
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
    assert "21 jobs with quota, for one: quota: empty" in text
    assert "batchgen jobs out/demo --state failed --error quota" in text
    assert "job-3" not in text
    assert "  cat  bad_request: no such size" in text


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
