"""What a retry does to a job: first what is free, and a new request only the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import BadImage, Interrupted, JobError, Refused, TaskUnknown, Unfinished
from batchgen.events import Generated, RemoteImage
from batchgen.ledger.records import Filter
from batchgen.ledger.retrying import Retried
from batchgen.ledger.store import Ledger
from batchgen.model import JobState, Outcome, OutputState
from batchgen.providers.profile import Profile
from batchgen.providers.stored import dump_profiles
from tests.integration.ledger_builders import (
    NOW,
    PROVIDER,
    claim,
    clock,
    delivered,
    due,
    entries,
    entry,
    file,
    start,
    states,
)

ASKED, DOWNLOADED, SENT = Retried(asked=1), Retried(downloaded=1), Retried(sent=1)
ANY = Filter(states=frozenset({JobState.FAILED, JobState.HELD}))


async def spoil(ledger: Ledger, name: str) -> None:
    """Every image of a job that is not on disk turns out to be none."""
    for output in await due(ledger, name):
        await ledger.output_failed(
            output.output_id, BadImage("cut"), NOW, state=OutputState.BAD, not_before=None
        )


async def fail(
    ledger: Ledger, attempt: int, error: JobError, state: JobState, outcome: Outcome = Outcome.UNKNOWN
) -> None:
    """An attempt ends without images."""
    await ledger.settle(attempt, outcome, error, NOW, state=state, not_before=None, counted=True)


async def askable(ledger: Ledger) -> None:
    """The provider of these tests can be asked for its tasks."""
    url = "https://a.example"
    profile = Profile(name=PROVIDER, base_url=url, task_url=f"{url}/source/{{task_id}}")
    await ledger.note("profiles", dump_profiles({PROVIDER: profile}))


async def test_a_bad_image_is_fetched_once_more_and_then_generated_anew(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        await ledger.generated(await start(ledger, "cat"), delivered(expires_at=NOW + 1), NOW, 0.1)
        await spoil(ledger, "cat")
        assert await states(ledger) == {JobState.FAILED: 1}
        assert await ledger.put_back(ANY, NOW) == DOWNLOADED
        assert await claim(ledger) == []
        (output,) = await due(ledger, "cat")
        assert output.tries == 0
        record = await ledger.reader.job("cat")
        assert record is not None
        assert (record.state, record.error, record.outputs[0].error) == (JobState.GENERATED, None, None)
        await spoil(ledger, "cat")
        assert await ledger.put_back(ANY, NOW) == SENT
        assert len(await claim(ledger)) == 1
        assert await ledger.check() == []


@pytest.mark.parametrize(
    ("image", "then"),
    [
        (RemoteImage(url="https://a.example/x"), DOWNLOADED),
        (RemoteImage(url="https://a.example/x", expires_at=NOW), SENT),
        (RemoteImage(url=None, spool="spool/1-0"), DOWNLOADED),
    ],
    ids=["no date", "past its date", "spooled"],
)
async def test_only_what_may_still_be_there_has_a_second_chance(
    tmp_path: Path, image: RemoteImage, then: Retried
) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        await ledger.generated(await start(ledger, "cat"), Generated(images=(image,)), NOW, None)
        await spoil(ledger, "cat")
        assert await ledger.put_back(ANY, NOW) == then


async def test_a_saved_image_lost_later_has_its_second_chance_again(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        await ledger.generated(await start(ledger, "cat"), delivered(), NOW, None)
        await spoil(ledger, "cat")
        await ledger.put_back(ANY, NOW)
        (output,) = await due(ledger, "cat")
        await ledger.saved(output.output_id, file("cat"), NOW)
        assert await ledger.lost(output.output_id)
        await spoil(ledger, "cat")
        assert await ledger.put_back(ANY, NOW) == DOWNLOADED


@pytest.mark.parametrize(
    ("error", "state"),
    [(Interrupted("cut"), JobState.HELD), (Unfinished("slow"), JobState.FAILED)],
    ids=["held", "failed"],
)
async def test_a_task_is_asked_once_more_and_then_its_job_is_sent_again(
    tmp_path: Path, error: JobError, state: JobState
) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await askable(ledger)
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        await ledger.task_seen(attempt, "task_1")
        await fail(ledger, attempt, error, state)
        assert await ledger.put_back(ANY, NOW) == ASKED
        assert await states(ledger) == {JobState.RUNNING: 1}
        (open_one,) = await ledger.open_attempts()
        assert (open_one.attempt_id, open_one.task_id, open_one.tries) == (attempt, "task_1", 0)
        assert await ledger.check() == []
        await fail(ledger, attempt, error, state)
        assert await ledger.put_back(ANY, NOW) == SENT
        assert await ledger.open_attempts() == []


async def test_a_task_asked_once_more_may_bring_its_images(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await askable(ledger)
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        await ledger.task_seen(attempt, "task_1")
        await fail(ledger, attempt, Interrupted("cut"), JobState.HELD)
        await ledger.put_back(ANY, NOW)
        assert await ledger.generated(attempt, delivered(), NOW, 0.1) is JobState.GENERATED
        assert await ledger.check() == []


@pytest.mark.parametrize(
    ("error", "state", "task", "known"),
    [
        (TaskUnknown("404"), JobState.HELD, "task_1", True),
        (Interrupted("cut"), JobState.HELD, None, True),
        (Interrupted("cut"), JobState.HELD, "task_1", False),
        (Refused("policy"), JobState.FAILED, "task_1", True),
    ],
    ids=["unknown task", "no task", "no task address", "final"],
)
async def test_a_job_whose_task_can_bring_nothing_is_sent_again_at_once(
    tmp_path: Path, error: JobError, state: JobState, task: str | None, known: bool
) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        if known:
            await askable(ledger)
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        if task is not None:
            await ledger.task_seen(attempt, task)
        await fail(ledger, attempt, error, state)
        assert await ledger.put_back(ANY, NOW) == SENT


async def test_a_lost_image_beside_an_asked_task_is_not_sent_with_it(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await askable(ledger)
        await ledger.sync([entry("cat", n=2)])
        await ledger.generated(await start(ledger, "cat"), delivered(expires_at=NOW), NOW, None)
        await spoil(ledger, "cat")
        attempt = await start(ledger, "cat")
        await ledger.task_seen(attempt, "task_1")
        await fail(ledger, attempt, Interrupted("cut"), JobState.HELD)
        assert await ledger.put_back(ANY, NOW) == ASKED
        assert await ledger.generated(attempt, delivered(), NOW, None) is JobState.GENERATED
        assert await claim(ledger) == []


async def test_links_past_their_date_are_counted_apart(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("old", "new"))
        for name, at in (("old", NOW - 1), ("new", NOW + 60)):
            await ledger.generated(await start(ledger, name), delivered(expires_at=at), NOW, None)
        status = await ledger.status()
    assert (status.expiring_within_24h, status.past_their_date) == (2, 1)


async def test_to_fetch_again_never_puts_a_job_back_to_be_sent(tmp_path: Path) -> None:
    """One of two images came and was bad, and the other was refused: the bad one is fetched, the job stays failed."""
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", n=2)])
        await ledger.generated(await start(ledger, "cat"), delivered(), NOW, None)
        await spoil(ledger, "cat")
        await fail(ledger, await start(ledger, "cat"), Refused("no"), JobState.FAILED, Outcome.FAILED)
        assert (await ledger.fetch_again(Filter(), tasks=True)).downloads == 1
        assert await states(ledger) == {JobState.FAILED: 1}
        (output,) = await due(ledger, "cat")
        await ledger.saved(output.output_id, file("cat"), NOW)
        assert await states(ledger) == {JobState.FAILED: 1}
        assert await claim(ledger) == []
        assert await ledger.check() == []


async def test_a_task_is_asked_for_as_often_as_somebody_wants_and_its_attempt_says_so(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await askable(ledger)
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        await ledger.task_seen(attempt, "task_1")
        for _ in range(3):
            await fail(ledger, attempt, TaskUnknown("404"), JobState.HELD)
            assert (await ledger.fetch_again(Filter(), tasks=False)).reopened == ()
            assert (await ledger.fetch_again(Filter(), tasks=True)).reopened == (attempt,)
            (opened,) = await ledger.open_attempts()
            assert opened.only_ask
        assert await ledger.check() == []
