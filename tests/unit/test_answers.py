"""The JSON answers: exact keys, exact order of meaning, ISO times, `null` rather than absence."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batchgen.answers import iso, job_answer, plan_answer, provider_answer, status_answer, verify_answer
from batchgen.ledger.records import (
    AttemptRecord,
    Difference,
    ErrorRecord,
    JobRecord,
    OutputRecord,
    ProviderStatus,
    Status,
)
from batchgen.model import Job, JobState, Outcome, OutputState
from batchgen.plan import Plan
from batchgen.providers.profile import Profile
from batchgen.verify import Comparison

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()

ATTEMPT = AttemptRecord(
    number=1,
    provider="tu-zi",
    task_id="task_1",
    gen_id="gen_1",
    request_id="req",
    http_status=200,
    outcome=Outcome.SUCCEEDED,
    error=None,
    started_at=TEN,
    finished_at=TEN + 60,
    cost=0.03,
)
OUTPUT = OutputRecord(
    position=0,
    url="https://files.example/a.png?sig=1",
    expires_at=TEN + 3600,
    state=OutputState.SAVED,
    path="images/cat.png",
    sha256="ab" * 32,
    bytes=123,
    width=1024,
    height=768,
    format="png",
    error=None,
)
RECORD = JobRecord(
    job=Job(id="cat", prompt="a cat", provider=("tu-zi", "apiyi"), model="m", ratio="16:9"),
    state=JobState.DONE,
    provider="tu-zi",
    cost=0.1 + 0.2,
    not_before=None,
    error=None,
    warnings=("w",),
    attempts=(ATTEMPT,),
    outputs=(OUTPUT,),
)


def test_a_job_that_is_done_answers_with_every_promised_key() -> None:
    assert job_answer(RECORD) == {
        "id": "cat",
        "state": "done",
        "prompt": "a cat",
        "model": "m",
        "provider": "tu-zi",
        "ratio": "16:9",
        "cost": 0.3,
        "not_before": None,
        "error": None,
        "warnings": ["w"],
        "attempts": [
            {
                "number": 1,
                "provider": "tu-zi",
                "task_id": "task_1",
                "gen_id": "gen_1",
                "request_id": "req",
                "http_status": 200,
                "outcome": "succeeded",
                "error": None,
                "started_at": "2026-11-20T10:00:00Z",
                "finished_at": "2026-11-20T10:01:00Z",
            }
        ],
        "outputs": [
            {
                "position": 0,
                "url": "https://files.example/a.png?sig=1",
                "expires_at": "2026-11-20T11:00:00Z",
                "state": "saved",
                "path": "images/cat.png",
                "sha256": "ab" * 32,
                "bytes": 123,
                "width": 1024,
                "height": 768,
                "format": "png",
            }
        ],
    }


def test_a_job_without_attempts_says_in_its_own_error_why_it_is_not_done() -> None:
    record = JobRecord(
        job=RECORD.job,
        state=JobState.CANCELLED,
        provider="tu-zi",
        cost=None,
        not_before=None,
        error=ErrorRecord("parent", None, "its parent 'dog' is failed"),
        warnings=(),
        attempts=(),
        outputs=(),
    )
    answer = job_answer(record)
    assert answer["error"] == {"kind": "parent", "code": None, "message": "its parent 'dog' is failed"}
    assert (answer["cost"], answer["attempts"], answer["outputs"]) == (None, [], [])


def test_status_names_every_state_also_those_that_count_nothing() -> None:
    status = Status(
        jobs={JobState.DONE: 2, JobState.HELD: 1},
        outputs={OutputState.SAVED: 2},
        attempts=4,
        cost=0.09,
        next_expiry=TEN,
        expiring_within_24h=1,
        providers={"apiyi": ProviderStatus(in_flight=3, limit=8, waiting_until=TEN, reason="rate limit")},
    )
    zeros = dict.fromkeys(("pending", "running", "generated", "failed", "refused", "expired", "cancelled"), 0)
    assert status_answer(status) == {
        "jobs": {"total": 3, "done": 2, "held": 1, **zeros},
        "outputs": {"remote": 0, "saved": 2, "expired": 0, "bad": 0},
        "attempts": 4,
        "cost": 0.09,
        "next_expiry": "2026-11-20T10:00:00Z",
        "expiring_within_24h": 1,
        "providers": {
            "apiyi": {
                "in_flight": 3,
                "limit": 8,
                "waiting_until": "2026-11-20T10:00:00Z",
                "reason": "rate limit",
                "cost": 0.0,
            }
        },
        "unsettled": {"requests": 0, "cost": 0.0},
    }


def test_plan_answers_with_the_promised_shape() -> None:
    plan = Plan(
        jobs=Difference(new=1, changed=2, unchanged=3, removed=4),
        requests=5,
        images=6,
        cost=0.18,
        low=0.1,
        high=0.2,
        max_cost=5.0,
        unpriced_models=("m",),
        seconds=12.34,
        warnings=("look out",),
        providers=("tu-zi",),
    )
    assert plan_answer(plan) == {
        "jobs": {"new": 1, "changed": 2, "unchanged": 3, "removed": 4},
        "requests": 5,
        "images": 6,
        "cost": {
            "estimate": 0.18,
            "unpriced_models": ["m"],
            "low": 0.1,
            "high": 0.2,
            "spent": 0.0,
            "max_cost": 5.0,
        },
        "seconds": 12.3,
        "warnings": ["look out"],
    }


def test_verify_answers_with_lists_of_paths() -> None:
    comparison = Comparison(checked=2, missing=("a",), changed=("b",), unknown=("c",), leftovers=())
    assert verify_answer(comparison) == {
        "checked": 2,
        "missing": ["a"],
        "changed": ["b"],
        "unknown": ["c"],
        "leftovers": [],
    }


def test_a_provider_answers_with_the_name_of_its_key_variable_and_whether_it_is_set() -> None:
    profile = Profile(name="mine", base_url="https://gateway.example/v1", api_key_env=("MINE_KEY",))
    answer = provider_answer(profile, key_set=True)
    assert (answer["api_key_env"], answer["key_set"], answer["endpoint"]) == (["MINE_KEY"], True, "chat")


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, None), (0.0, "1970-01-01T00:00:00Z"), (TEN + 0.9, "2026-11-20T10:00:00Z")]
)
def test_times_are_utc_whole_seconds_with_a_z(seconds: float | None, text: str | None) -> None:
    assert iso(seconds) == text
