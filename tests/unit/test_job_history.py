"""What the page of a job says: every recorded fact in its order, and what its buttons would do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.ledger.records import AttemptRecord, ErrorRecord, JobRecord, OutputRecord
from batchgen.model import Job, JobState, Outcome, OutputState
from batchgen.web import history

DEAD = OutputState.EXPIRED
AT = 1_800_000_000.0
JOB = Job(id="cat", prompt="a cat", provider=("p",), model="m")


def attempt(outcome: Outcome, kind: str | None = None, *, task_id: str | None = "task_1") -> AttemptRecord:
    """One attempt, ten seconds long."""
    return AttemptRecord(
        number=1,
        provider="p",
        task_id=task_id,
        gen_id=None,
        request_id="req_1",
        http_status=200,
        outcome=outcome,
        error=ErrorRecord(kind, None, "why") if kind else None,
        started_at=AT,
        finished_at=None if outcome is Outcome.OPEN else AT + 10,
        cost=0.03 if outcome is Outcome.SUCCEEDED else None,
    )


def output(state: OutputState, *, url: str | None = "https://a.example/x", tries: int = 0) -> OutputRecord:
    """One picture of that attempt."""
    failed = state in (OutputState.BAD, OutputState.EXPIRED) or tries > 0
    saved = state is OutputState.SAVED
    return OutputRecord(
        position=0,
        url=url,
        expires_at=None,
        state=state,
        path="images/cat.png" if saved else None,
        sha256="0" * 64 if saved else None,
        bytes=2000 if saved else None,
        width=8 if saved else None,
        height=8 if saved else None,
        format="png" if saved else None,
        error=ErrorRecord("link_dead", None, "HTTP 410") if failed else None,
        attempt=1,
        settled_at=AT + 20,
        tries=tries,
    )


def record(state: JobState, *attempts: AttemptRecord, outputs: tuple[OutputRecord, ...] = ()) -> JobRecord:
    """A job with these."""
    return JobRecord(
        job=JOB,
        state=state,
        provider="p",
        cost=None,
        not_before=None,
        error=attempts[-1].error if attempts else None,
        warnings=(),
        attempts=attempts,
        outputs=outputs,
    )


def test_every_fact_is_told_in_its_order_with_its_time() -> None:
    done = record(JobState.DONE, attempt(Outcome.SUCCEEDED), outputs=(output(OutputState.SAVED, tries=1),))
    lines = history.log(done, {1: (AT + 9, "{}")})
    assert [line.at for line in lines] == [AT, None, AT + 9, AT + 10, AT + 20]
    said = " | ".join(line.words for line in lines)
    for words in ("attempt 1 begins at p", "task_1", "HTTP 200, request id req_1", "generated, 0.03", "after 1 try"):
        assert words in said, words


@pytest.mark.parametrize(
    ("outcome", "state", "words"),
    [
        (Outcome.UNKNOWN, JobState.HELD, "nobody knows how it ended, it may be billed: interrupted: why"),
        (Outcome.FAILED, JobState.FAILED, "failed: interrupted: why"),
        (Outcome.REFUSED, JobState.REFUSED, "refused: interrupted: why"),
        (Outcome.OPEN, JobState.RUNNING, "interrupted: why; its task is asked for"),
    ],
)
def test_an_attempt_that_brought_nothing_says_why(outcome: Outcome, state: JobState, words: str) -> None:
    assert history.log(record(state, attempt(outcome, "interrupted")), {})[-1].words == words


def test_what_a_gateway_told_is_shown_as_words_without_the_signature_of_its_links() -> None:
    text = '{"choices": [{"message": {"content": "> 进度 74%\\n![](https://a.example/x.png?Signature=secret)"}}]}'
    assert history.told({1: (AT, text), 2: (AT, "")}) == [(1, "> 进度 74%\n![](https://a.example/x.png?…)")]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (record(JobState.RUNNING, attempt(Outcome.OPEN)), None),
        (record(JobState.DONE, attempt(Outcome.SUCCEEDED)), "generates it anew, which is paid again"),
        (record(JobState.HELD, attempt(Outcome.UNKNOWN, "interrupted")), "asks the provider for its task first"),
        (record(JobState.HELD, attempt(Outcome.UNKNOWN, "interrupted", task_id=None)), "perhaps for the second time"),
        (record(JobState.FAILED, attempt(Outcome.FAILED, "bad_request")), "sends a new request, which is paid"),
        (record(JobState.CANCELLED), "puts it back"),
        (replace(record(JobState.CANCELLED), error=ErrorRecord("parent", "dog", "its parent failed")), None),
    ],
)
def test_beside_retry_stands_what_it_costs(job: JobRecord, words: str | None) -> None:
    told = history.retry_words(job, {"p"}, AT)
    assert told is None if words is None else words in (told or "")


@pytest.mark.parametrize(
    ("job", "gone", "words"),
    [
        (record(JobState.DONE, attempt(Outcome.SUCCEEDED), outputs=(output(OutputState.SAVED),)), [], None),
        (record(JobState.DONE, attempt(Outcome.SUCCEEDED), outputs=(output(OutputState.SAVED),)), [0], "picture 0"),
        (record(JobState.DONE, attempt(Outcome.SUCCEEDED), outputs=(output(OutputState.SAVED, url=None),)), [0], None),
        (record(JobState.EXPIRED, attempt(Outcome.SUCCEEDED), outputs=(output(DEAD),)), [], "fresh link"),
        (record(JobState.HELD, attempt(Outcome.UNKNOWN, "interrupted")), [], "asks p for task_1"),
        (record(JobState.HELD, attempt(Outcome.UNKNOWN, "interrupted", task_id=None)), [], None),
        (record(JobState.GENERATED, attempt(Outcome.SUCCEEDED), outputs=(output(OutputState.REMOTE),)), [], None),
    ],
)
def test_fetch_again_is_offered_where_something_free_may_come_of_it(
    job: JobRecord, gone: list[int], words: str | None
) -> None:
    told = history.fetch_words(job, {"p"}, gone, {})
    assert told is None if words is None else words in (told or "") and "sends no request that is paid" in (told or "")
