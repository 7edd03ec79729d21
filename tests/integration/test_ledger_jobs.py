"""A job's way through the ledger: claims, attempts, outputs, retries, the counts beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import BadImage, BadRequest, DownloadFailed, Interrupted, NotSent, RateLimited
from batchgen.events import RemoteImage, Replied
from batchgen.ledger.records import ErrorRecord, Filter, JobRecord
from batchgen.ledger.states import IllegalStep, Withdrawn
from batchgen.ledger.store import Ledger
from batchgen.model import JobState, Outcome, OutputState
from tests.integration.ledger_builders import (
    NOW,
    PROVIDER,
    claim,
    clock,
    delivered,
    due,
    end,
    entries,
    entry,
    file,
    finish,
    generate,
    start,
    states,
)


async def one(ledger: Ledger, name: str) -> JobRecord:
    record = await ledger.reader.job(name)
    assert record is not None
    return record


async def test_a_job_goes_from_pending_to_done_and_is_told_whole(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        await ledger.task_seen(attempt, "task_1")
        await ledger.replied(attempt, Replied(200, "req_1", "{}"))
        assert (
            await ledger.generated(attempt, delivered(expires_at=NOW + 60), NOW + 5, 0.03)
            is JobState.GENERATED
        )
        (output,) = await due(ledger, "cat")
        assert output.task_id == "task_1"
        assert output.urls == ("https://a.example/0.png",)
        assert await ledger.saved(output.output_id, file("cat"), NOW + 6) is JobState.DONE
        record = await one(ledger, "cat")
        status = await ledger.status()
        assert await ledger.check() == []
    assert (record.state, record.cost, record.error) == (JobState.DONE, 0.03, None)
    (tried,) = record.attempts
    assert (tried.number, tried.outcome, tried.http_status, tried.request_id) == (
        1,
        Outcome.SUCCEEDED,
        200,
        "req_1",
    )
    assert (record.outputs[0].state, record.outputs[0].path) == (OutputState.SAVED, "images/cat.png")
    assert (status.attempts, status.cost, status.outputs[OutputState.SAVED]) == (1, 0.03, 1)


async def test_claims_come_in_manifest_order_without_those_held_or_not_yet_due(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("d", "c", "b", "a"))
        await end(ledger, "c", JobState.PENDING, not_before=NOW)
        await end(ledger, "b", JobState.PENDING, not_before=NOW + 1)
        first, *rest = await claim(ledger)
        assert [job.job.id for job in (first, *rest)] == ["d", "c", "a"]
        others = await ledger.pending(PROVIDER, NOW, 1, exclude={first.key})
        assert [job.job.id for job in others] == ["c"]
        assert [job.job.id for job in await ledger.pending(PROVIDER, NOW, 9, (), id_glob="[!c]")] == [
            "d",
            "a",
        ]
        assert await ledger.pending("apiyi", NOW, 9, exclude=()) == []


async def test_the_next_due_time_is_at_once_then_the_earliest_then_none(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        assert await ledger.next_due(PROVIDER) == 0.0
        await end(ledger, "a", JobState.PENDING, not_before=NOW + 9)
        await end(ledger, "b", JobState.PENDING, not_before=NOW + 5)
        assert await ledger.next_due(PROVIDER) == NOW + 5
        assert await ledger.next_due(PROVIDER, id_glob="a") == NOW + 9
        assert await ledger.next_due("apiyi") is None


async def test_a_job_of_two_images_asks_again_until_it_has_them(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", n=2)])
        assert await generate(ledger, "cat") is JobState.PENDING
        (again,) = await claim(ledger)
        # The rest is a new ask: it has all of its tries.
        assert (again.have, again.tries, again.repeats) == (1, 0, 0)
        (first,) = await due(ledger, "cat")
        assert await ledger.saved(first.output_id, file("cat-0"), NOW) is JobState.PENDING
        assert await generate(ledger, "cat") is JobState.GENERATED
        (second,) = await due(ledger, "cat")
        assert (first.position, second.position) == (0, 1)
        assert await ledger.saved(second.output_id, file("cat-1"), NOW) is JobState.DONE
        assert await ledger.check() == []


async def test_a_failure_for_the_rest_keeps_the_images_that_are_there(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", n=2)])
        await generate(ledger, "cat")
        await end(ledger, "cat", JobState.FAILED)
        (output,) = await due(ledger, "cat")
        assert await ledger.saved(output.output_id, file("cat-0"), NOW) is JobState.FAILED
        assert (await ledger.put_back(Filter(), NOW)).total == 1
        (again,) = await claim(ledger)
        assert (again.have, again.tries) == (1, 0)


async def test_tries_count_what_counts_and_the_same_error_is_noticed(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        seen = []
        for message, counted in (("a", True), ("a", True), ("down", False), ("a", True), ("b", True)):
            attempt = await start(ledger, "cat")
            await ledger.settle(
                attempt,
                Outcome.FAILED,
                RateLimited(message, status=429, request_id="r"),
                NOW,
                state=JobState.PENDING,
                not_before=None,
                counted=counted,
            )
            (job,) = await claim(ledger)
            seen.append((job.tries, job.last_error, job.repeats))
        # What a provider that is down answers says nothing about the job and is not remembered of it.
        assert seen == [
            (1, "rate_limit||a", 1),
            (2, "rate_limit||a", 2),
            (2, "rate_limit||a", 2),
            (3, "rate_limit||a", 3),
            (4, "rate_limit||b", 1),
        ]
        assert (await one(ledger, "cat")).attempts[2].http_status == 429


async def test_an_ask_that_nobody_answered_keeps_its_idempotency_key(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        keys = []
        for error, outcome in (
            (NotSent("refused"), Outcome.FAILED),
            (Interrupted("cut"), Outcome.UNKNOWN),
            (RateLimited("429"), Outcome.FAILED),
        ):
            (job,) = await claim(ledger)
            attempt = await ledger.begin_attempt(job.key, PROVIDER, NOW, f"key-{outcome}-{error.kind}")
            await ledger.settle(
                attempt, outcome, error, NOW, state=JobState.PENDING, not_before=None, counted=True
            )
            (again,) = await claim(ledger)
            keys.append(again.unanswered_key)
        assert keys == ["key-failed-connection", "key-unknown-interrupted", None]


async def test_a_free_probe_uses_up_no_try(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        (job,) = await claim(ledger)
        attempt = await ledger.begin_attempt(job.key, PROVIDER, NOW, "k", counts=False)
        (found,) = await ledger.open_attempts()
        assert (found.attempt_id, found.tries) == (attempt, 0)
        await ledger.keep_open(attempt, Interrupted("cut"), NOW)
        assert [a.attempt_id for a in await ledger.open_attempts()] == [attempt]
        assert (await states(ledger)) == {JobState.RUNNING: 1}
        await ledger.settle(
            attempt,
            Outcome.FAILED,
            BadRequest("no"),
            NOW,
            state=JobState.PENDING,
            not_before=None,
            counted=False,
        )
        assert (await claim(ledger))[0].tries == 0


async def test_illegal_steps_raise_and_leave_no_trace(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        (job,) = await claim(ledger)
        attempt = await ledger.begin_attempt(job.key, PROVIDER, NOW, "k")
        with pytest.raises(IllegalStep):
            await ledger.begin_attempt(job.key, PROVIDER, NOW, "k")
        with pytest.raises(IllegalStep, match="can't go from running to expired"):
            await ledger.settle(
                attempt,
                Outcome.FAILED,
                BadRequest(""),
                NOW,
                state=JobState.EXPIRED,
                not_before=None,
                counted=True,
            )
        assert [a.attempt_id for a in await ledger.open_attempts()] == [attempt]
        await ledger.generated(attempt, delivered(), NOW, None)
        with pytest.raises(IllegalStep, match="has its images already"):
            await ledger.generated(attempt, delivered(), NOW, None)
        (output,) = await due(ledger, "cat")
        await ledger.saved(output.output_id, file("cat"), NOW)
        with pytest.raises(IllegalStep):
            await ledger.saved(output.output_id, file("cat"), NOW)
        with pytest.raises(IllegalStep):
            await ledger.task_seen(99, "task")
        assert await ledger.check() == []
        assert (await ledger.status()).attempts == 1


async def test_a_failed_download_waits_for_its_time_and_the_first_to_die_goes_first(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("late", "never", "soon"))
        for name, at in (("late", NOW + 90), ("never", None), ("soon", NOW + 30)):
            await ledger.generated(await start(ledger, name), delivered(expires_at=at), NOW, None)
        found = await ledger.due_outputs(NOW, 9, exclude=())
        assert [output.job.id for output in found] == ["soon", "late", "never"]
        status = await ledger.status()
        assert (status.next_expiry, status.expiring_within_24h) == (NOW + 30, 2)
        assert await ledger.next_output_due() == 0.0
        for output in found:
            moved = await ledger.output_failed(
                output.output_id, DownloadFailed("cut"), NOW, state=OutputState.REMOTE, not_before=NOW + 7
            )
            assert moved is JobState.GENERATED
        assert await ledger.due_outputs(NOW, 9, exclude=()) == []
        assert await ledger.next_output_due() == NOW + 7
        again = await ledger.due_outputs(NOW + 7, 1, exclude={found[0].output_id})
        assert [(output.job.id, output.tries) for output in again] == [("late", 1)]


async def test_a_dead_link_expires_the_job_and_a_fresh_one_revives_it(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        await end(ledger, "cat", JobState.EXPIRED)
        record = await one(ledger, "cat")
        assert record.error == ErrorRecord("link_dead", None, "gone")
        assert await ledger.fresh_links(1, [RemoteImage(url="https://new.example/x", expires_at=NOW + 5)])
        (output,) = await due(ledger, "cat")
        assert output.urls == ("https://new.example/x",)
        assert await ledger.saved(output.output_id, file("cat"), NOW) is JobState.DONE
        assert not await ledger.fresh_links(1, [RemoteImage(url="https://new.example/y")])
        assert (await one(ledger, "cat")).error is None


async def test_a_bad_image_fails_the_job_once_nothing_is_outstanding(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", n=2)])
        await generate(ledger, "cat", 2)
        first, second = await due(ledger, "cat")
        moved = await ledger.output_failed(
            first.output_id, BadImage("cut"), NOW, state=OutputState.BAD, not_before=None
        )
        assert moved is JobState.GENERATED
        assert await ledger.saved(second.output_id, file("cat-1"), NOW) is JobState.FAILED
        assert (await one(ledger, "cat")).error == ErrorRecord("bad_image", None, "cut")
        assert (await ledger.put_back(Filter(), NOW)).total == 1
        (once_more,) = await due(ledger, "cat")
        await ledger.output_failed(
            once_more.output_id, BadImage("cut"), NOW, state=OutputState.BAD, not_before=None
        )
        assert (await ledger.put_back(Filter(), NOW)).total == 1
        (job,) = await claim(ledger)
        assert job.have == 1
        await generate(ledger, "cat")
        (output,) = await due(ledger, "cat")
        assert output.position == 0
        assert await ledger.saved(output.output_id, file("cat-0"), NOW) is JobState.DONE
        shown = [out.position for out in (await one(ledger, "cat")).outputs]
        everything = [r async for r in ledger.reader.jobs(Filter(), all=True)]
        assert (shown, len(everything[0].outputs)) == ([0, 1], 3)
        assert await ledger.check() == []


async def test_retry_takes_the_states_and_filters_it_is_told(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("done", "expired", "failed", "held", "pending", "refused"))
        await finish(ledger, "done")
        for state in (JobState.EXPIRED, JobState.FAILED, JobState.HELD, JobState.REFUSED):
            await end(ledger, state.value, state)
        assert (await ledger.put_back(Filter(error="moder*"), NOW)).total == 1
        assert (await ledger.put_back(Filter(states=frozenset({JobState.HELD}), id_glob="x*"), NOW)).total == 0
        assert (await ledger.put_back(Filter(states=frozenset({JobState.HELD, JobState.PENDING})), NOW)).total == 1
        assert (await ledger.put_back(Filter(provider="apiyi"), NOW)).total == 0
        assert (await ledger.put_back(Filter(model="m", provider="tu-*"), NOW)).total == 2
        assert await states(ledger) == {JobState.PENDING: 5, JobState.DONE: 1}
        assert await ledger.check() == []


async def test_retrying_a_done_job_makes_a_new_round_and_keeps_the_old_images(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        await finish(ledger, "cat")
        assert (await ledger.put_back(Filter(), NOW)).total == 0
        assert (await ledger.put_back(Filter(states=frozenset({JobState.DONE})), NOW)).total == 1
        (job,) = await claim(ledger)
        assert (job.round, job.have) == (2, 0)
        assert (await ledger.status()).outputs[OutputState.SAVED] == 0
        await finish(ledger, "cat")
        assert [found.path async for found in ledger.reader.files()] == [
            "images/cat-1-0.png",
            "images/cat-2-0.png",
        ]
        assert (await ledger.sync(entries("cat"))).unchanged == 1
        assert await states(ledger) == {JobState.DONE: 1}


async def test_a_reply_read_again_completes_a_held_job(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("cat"))
        attempt = await start(ledger, "cat")
        await ledger.replied(attempt, Replied(200, None, "odd " + "x" * 70_000))
        await ledger.settle(
            attempt,
            Outcome.UNKNOWN,
            Interrupted("odd"),
            NOW,
            state=JobState.HELD,
            not_before=None,
            counted=True,
        )
        (reply,) = [reply async for reply in ledger.reader.replies(Filter(states=frozenset({JobState.HELD})))]
        assert (reply.attempt_id, len(reply.text), reply.outcome) == (attempt, 64 * 1024, Outcome.UNKNOWN)
        assert await ledger.generated(attempt, delivered(), NOW, 0.1) is JobState.GENERATED
        assert await ledger.check() == []


async def test_a_job_that_is_cancelled_after_it_was_claimed_is_not_begun(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        first, _ = await claim(ledger)
        assert await ledger.cancel(Filter(id_glob="a")) == ["a"]
        with pytest.raises(Withdrawn):
            await ledger.begin_attempt(first.key, PROVIDER, at=NOW, idempotency_key="k")
        assert await states(ledger) == {JobState.CANCELLED: 1, JobState.PENDING: 1}
        assert await ledger.check() == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("100%", ["sale"]), ("%", ["sale"]), ("OFF", ["between", "sale"]),
        ("a_b", ["under"]), ("und", ["under"]), ("C:\\", ["path"]),
    ],
)
async def test_words_are_looked_for_as_they_are_written(tmp_path: Path, words: str, found: list[str]) -> None:
    prompts = {"sale": "100% off", "under": "a_b", "between": "a-b, 1000 offers", "path": "C:\\cats"}
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry(name, prompt) for name, prompt in prompts.items()])
        _, jobs = await ledger.reader.page(Filter(words=words))
        assert sorted(job.id for job in jobs) == found
