"""The retry policy as tables: every leaf of the error tree, every wait, every limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen import errors
from batchgen.errors import Disposition, JobError
from batchgen.model import JobState, OnUnknown, Outcome, OutputState
from batchgen.retry import MOST_DOWNLOADS, Action, History, decide, decide_download

NOW = 1_000_000.0


def _leaves(root: type[JobError]) -> list[type[JobError]]:
    below = root.__subclasses__()
    return [root] if not below else [leaf for child in below for leaf in _leaves(child)]


LEAVES = _leaves(JobError)


def _history(
    tries: int = 0,
    *,
    has_task: bool = False,
    on_unknown: OnUnknown = OnUnknown.HOLD,
    down: bool = False,
    repeats: int = 0,
    beyond: bool = False,
    others: bool = False,
) -> History:
    return History(
        tries=tries,
        max_attempts=6,
        has_task=has_task,
        on_unknown=on_unknown,
        provider_down=down,
        repeats=repeats,
        beyond=beyond,
        others=others,
    )


def test_every_leaf_has_a_kind_of_its_own() -> None:
    kinds = [leaf.kind for leaf in LEAVES]
    assert len(set(kinds)) == len(kinds) == len(LEAVES) > 20
    assert "error" not in kinds


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_gets_a_verdict_that_fits_its_disposition(leaf: type[JobError]) -> None:
    verdict = decide(leaf("x"), _history(), now=NOW, jitter=0.5)
    expected = {
        Disposition.RETRY: Action.AGAIN,
        Disposition.RECOVER: Action.END,
        Disposition.HOLD: Action.END,
        Disposition.END: Action.END,
        Disposition.STOP_PROVIDER: Action.PARK,
    }
    assert verdict.action is expected[leaf.disposition]
    assert (verdict.state is JobState.PENDING) == (verdict.action in (Action.AGAIN, Action.PARK))


@pytest.mark.parametrize("leaf", [errors.Interrupted, errors.Unfinished])
def test_an_unknown_outcome_is_recovered_when_the_task_is_known(leaf: type[JobError]) -> None:
    verdict = decide(leaf("x"), _history(has_task=True), now=NOW, jitter=0)
    assert verdict.action is Action.RECOVER
    assert verdict.outcome is Outcome.OPEN


@pytest.mark.parametrize("leaf", [errors.Interrupted, errors.Unfinished, errors.Unreadable, errors.TaskUnknown])
def test_an_unknown_outcome_without_a_task_holds_the_job(leaf: type[JobError]) -> None:
    verdict = decide(leaf("x"), _history(), now=NOW, jitter=0)
    assert (verdict.state, verdict.outcome) == (JobState.HELD, Outcome.UNKNOWN)


def test_an_unknown_outcome_is_resent_only_when_the_user_said_so() -> None:
    verdict = decide(errors.Interrupted("cut"), _history(on_unknown=OnUnknown.RESEND), now=NOW, jitter=0)
    assert (verdict.action, verdict.outcome) == (Action.AGAIN, Outcome.UNKNOWN)
    assert verdict.counted
    last = decide(errors.Interrupted("cut"), _history(5, on_unknown=OnUnknown.RESEND), now=NOW, jitter=0)
    assert last.state is JobState.HELD


def test_a_reply_that_cannot_be_read_is_never_resent() -> None:
    verdict = decide(errors.Unreadable("?"), _history(on_unknown=OnUnknown.RESEND), now=NOW, jitter=0)
    assert verdict.state is JobState.HELD


def test_a_refusal_is_final_and_has_its_own_state() -> None:
    verdict = decide(errors.Refused("no"), _history(), now=NOW, jitter=0)
    assert (verdict.state, verdict.outcome) == (JobState.REFUSED, Outcome.REFUSED)


@pytest.mark.parametrize(
    ("leaf", "most"),
    [
        (errors.RateLimited, 6),
        (errors.ServerError, 6),
        (errors.NoImage, 2),
        (errors.EmptyReply, 3),
        (errors.NoChannel, 4),
    ],
)
def test_a_job_fails_when_its_tries_are_spent(leaf: type[JobError], most: int) -> None:
    before = decide(leaf("x"), _history(most - 2), now=NOW, jitter=0)
    after = decide(leaf("x"), _history(most - 1), now=NOW, jitter=0)
    assert (before.action, after.state) == (Action.AGAIN, JobState.FAILED)


def test_the_same_server_error_a_third_time_is_not_sent_a_fourth_time() -> None:
    again = decide(errors.ServerError("x"), _history(1, repeats=1), now=NOW, jitter=0)
    ended = decide(errors.ServerError("x"), _history(2, repeats=2), now=NOW, jitter=0)
    assert (again.action, ended.state) == (Action.AGAIN, JobState.FAILED)
    outage = decide(errors.ServerError("x"), _history(2, repeats=2, down=True), now=NOW, jitter=0)
    limited = decide(errors.RateLimited("x"), _history(2, repeats=2), now=NOW, jitter=0)
    assert outage.action is limited.action is Action.AGAIN


def test_a_request_that_never_left_costs_no_try() -> None:
    verdict = decide(errors.NotSent("refused"), _history(99), now=NOW, jitter=0)
    assert (verdict.action, verdict.counted) == (Action.AGAIN, False)


def test_a_refusal_beyond_what_was_ever_served_at_once_costs_no_try_and_a_second() -> None:
    verdict = decide(errors.RateLimited("429"), _history(5, beyond=True), now=NOW, jitter=0.5)
    assert (verdict.action, verdict.counted, verdict.at) == (Action.AGAIN, False, NOW + 1)
    told = decide(errors.RateLimited("429", retry_after=20.0), _history(5, beyond=True), now=NOW, jitter=0.0)
    assert told.at == NOW + 20


def test_a_provider_that_is_down_costs_no_try() -> None:
    verdict = decide(errors.ServerError("502"), _history(5, down=True), now=NOW, jitter=0)
    assert (verdict.action, verdict.counted) == (Action.AGAIN, False)


@pytest.mark.parametrize("leaf", [errors.BadKey, errors.QuotaSpent, errors.NotAllowed, errors.WrongAddress])
def test_a_bad_key_or_spent_quota_parks_the_provider_and_keeps_the_job(leaf: type[JobError]) -> None:
    verdict = decide(leaf("x"), _history(5), now=NOW, jitter=0)
    assert (verdict.action, verdict.state, verdict.counted) == (Action.PARK, JobState.PENDING, False)


def test_the_provider_is_never_asked_earlier_than_it_said() -> None:
    for jitter in (0.0, 0.5, 0.999):
        at = decide(errors.RateLimited("x", retry_after=12.0), _history(), now=NOW, jitter=jitter).at
        assert at is not None
        assert NOW + 12 <= at <= NOW + 12 * 1.25 + 0.1


def test_waits_grow_and_are_spread() -> None:
    def wait(tries: int, jitter: float) -> float:
        return (decide(errors.Saturated("x"), _history(tries), now=NOW, jitter=jitter).at or 0) - NOW

    assert [round(wait(tries, 0.5), 6) for tries in range(5)] == [5, 15, 45, 90, 180]
    assert wait(0, 0.0) < wait(0, 0.99)


def test_the_words_about_the_gateways_own_account_are_not_obeyed() -> None:
    at = decide(errors.UpstreamLimit("x", retry_after=84480.0), _history(), now=NOW, jitter=0.5).at
    assert at is not None
    assert at - NOW < 60


def _download(error: JobError, tries: int = 0, *, expires_at: float | None = NOW + 600, can_ask: bool = False):  # type: ignore[no-untyped-def]  # the verdict's type is what the tests look at
    return decide_download(error, tries=tries, expires_at=expires_at, can_ask=can_ask, now=NOW, jitter=0.5)


def test_a_broken_download_is_tried_again_and_then_left_to_the_next_run() -> None:
    assert _download(errors.DownloadFailed("reset")).at > NOW
    last = _download(errors.DownloadFailed("reset"), MOST_DOWNLOADS - 1)
    assert (last.state, last.at, last.ask_task) == (OutputState.REMOTE, None, False)


def test_a_file_that_is_not_there_yet_is_waited_for_and_then_its_link_counts_as_dead() -> None:
    assert _download(errors.NotThereYet("404")).at > NOW
    assert _download(errors.NotThereYet("404"), 4).state is OutputState.EXPIRED


def test_a_dead_link_asks_the_task_first_and_is_expired_without_one() -> None:
    assert _download(errors.LinkDead("410"), can_ask=True).ask_task
    assert _download(errors.LinkDead("410")).state is OutputState.EXPIRED


def test_a_passed_deadline_is_a_dead_link() -> None:
    assert _download(errors.DownloadFailed("reset"), expires_at=NOW - 1).state is OutputState.EXPIRED


def test_a_page_instead_of_an_image_gets_one_more_try() -> None:
    assert _download(errors.BadImage("html")).at > NOW
    assert _download(errors.BadImage("html"), 1).state is OutputState.BAD


def test_a_forbidden_address_is_final() -> None:
    assert _download(errors.Blocked("private")).state is OutputState.BAD


@pytest.mark.parametrize("leaf", LEAVES)
def test_an_error_crosses_a_process_border_whole(leaf: type[JobError]) -> None:
    import pickle

    error = leaf("message", code="c", status=429, retry_after=1.5, request_id="r")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is leaf
    assert (again.message, again.code, again.status, again.retry_after, again.request_id) == (
        "message",
        "c",
        429,
        1.5,
        "r",
    )


@pytest.mark.parametrize(
    "error", [errors.ServerError("502"), errors.NoChannel("no channel"), errors.RateLimited("slow down")]
)
def test_a_job_that_a_provider_never_served_goes_to_the_next_one_instead_of_failing(error: JobError) -> None:
    last = _history(tries=5, others=True)
    assert decide(error, last, now=NOW, jitter=0.0).action is Action.ELSEWHERE
    assert decide(error, _history(tries=5), now=NOW, jitter=0.0).state is JobState.FAILED
    assert decide(error, _history(tries=0, others=True), now=NOW, jitter=0.0).action is Action.AGAIN


def test_a_model_that_is_not_there_is_asked_for_elsewhere_at_once() -> None:
    verdict = decide(errors.UnknownModel("no such model"), _history(others=True), now=NOW, jitter=0.0)
    assert (verdict.action, verdict.state, verdict.at, verdict.counted) == (
        Action.ELSEWHERE,
        JobState.PENDING,
        None,
        False,
    )


@pytest.mark.parametrize(
    "error",
    [
        errors.Refused("policy"),
        errors.NoImage("words"),
        errors.EmptyReply(""),
        errors.Interrupted("cut"),
        errors.Unreadable("?"),
        errors.BadRequest("no"),
    ],
)
def test_what_was_refused_or_may_have_been_billed_never_goes_elsewhere(error: JobError) -> None:
    assert decide(error, _history(tries=5, others=True), now=NOW, jitter=0.0).action is Action.END


def test_a_reference_whose_host_is_down_is_the_jobs_own_trouble_even_while_its_provider_is_down() -> None:
    error = errors.ReferenceLost("reference https://a.test/b.png can't be fetched now: HTTP 503")
    for tries, state in ((0, JobState.PENDING), (5, JobState.FAILED)):
        verdict = decide(error, _history(tries, down=True), now=NOW, jitter=0.0)
        assert (verdict.state, verdict.counted) == (state, True)


@pytest.mark.parametrize("leaf", _leaves(JobError))
def test_what_is_only_asked_for_is_never_sent(leaf: type[JobError]) -> None:
    """Whatever the task page answers, and also where the user lets unknown outcomes be sent again."""
    history = replace(_history(), only_ask=True, on_unknown=OnUnknown.RESEND)
    assert decide(leaf("no"), history, now=0.0, jitter=0.5).state is not JobState.PENDING
