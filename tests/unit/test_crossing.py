"""What crosses between runner and workers arrives as it left: works, events, and every error with all it says."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from batchgen import errors
from batchgen.engines.outpost import Asks, Hello, Over, Said
from batchgen.errors import BatchgenError, JobError, ManifestError, Refused, UsageError, WorkspaceError
from batchgen.events import Event, Failed, Generated, Progress, RemoteImage, Replied, Saved, TaskSeen
from batchgen.model import Download, Job, OutputRules, Recovery, Submission, Turn, Work

JOB = Job(id="a", prompt="猫", provider=("tu-zi",), model="m", meta={"n": [1, None]}, params={"x": {"y": 1.5}})

WORKS: list[Work] = [
    Submission(attempt_id=1, job=JOB, provider="tu-zi", ask=2, idempotency_key="k", key="A", turns=(Turn("q", "a"),)),
    Recovery(attempt_id=1, job_id="a", provider="tu-zi", task_id="task_1"),
    Download(
        output_id=3,
        job_id="a",
        provider="tu-zi",
        position=0,
        urls=("https://host/a?sig=%2B",),
        spool=None,
        target="images/a",
        rules=OutputRules(embed=True),
        about={"prompt": "猫"},
    ),
]

EVENTS: list[Event] = [
    TaskSeen("task_1"),
    Progress(40),
    Replied(200, "req", "text"),
    Generated(images=(RemoteImage(url=None, spool="images/.incoming/a1-0"),), usage="{}"),
    Saved(path="images/a.png", sha256="0" * 64, bytes=1, width=1, height=1, format="png", warnings=("small",)),
]

HELLO = Hello(host="h", pid=1, version="1", code="c", public=b"p")
OTHERS = [Asks(), Over(), Said(30, "batchgen.worker", "line"), HELLO]


def leaves(kind: type[JobError] = JobError) -> Iterator[type[JobError]]:
    """Every error class below this one."""
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from leaves(one)


@pytest.mark.parametrize("value", [*WORKS, *EVENTS, *OTHERS], ids=lambda value: type(value).__name__)
def test_a_value_arrives_as_it_left(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_an_error_arrives_with_its_class_and_all_it_says(kind: type[JobError]) -> None:
    told = kind("words", code="c", status=503, retry_after=1.5, request_id="r")
    arrived = pickle.loads(pickle.dumps(Failed(told))).error
    assert type(arrived) is kind
    assert (str(arrived), vars(arrived)) == ("words", vars(told))


@pytest.mark.parametrize("error", [UsageError("one"), WorkspaceError("two"), ManifestError(("a", "b"))])
def test_an_error_that_ends_the_run_arrives_whole(error: BatchgenError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))


def test_what_a_class_adds_to_an_error_is_not_lost() -> None:
    assert pickle.loads(pickle.dumps(Refused("no"))).refused
