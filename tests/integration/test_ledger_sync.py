"""The manifest against the ledger: new, changed, removed, returned, and back to an earlier wording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.errors import Interrupted, ManifestError
from batchgen.ledger.records import Change, Difference, Filter
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, Job, JobState, Outcome, OutputState
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


async def test_a_job_comes_back_exactly_as_the_manifest_meant_it(tmp_path: Path) -> None:
    job = Job(
        id="käse-01",
        prompt="a “quoted”\nline",
        provider=("apiyi", "tu-zi"),
        model="gpt-image-1",
        ratio="16:9",
        size="1024x1024",
        quality="high",
        output_format="webp",
        output_compression=80,
        background="transparent",
        n=3,
        references=("/a b.png", "https://x.example/y?z=%20"),
        mask="/m.png",
        after="other",
        meta={"category": "猫", "deep": {"list": [1, 2.5, None, True]}},
        params={"seed": 7},
    )
    bare = Job(id="bare", prompt="x", provider=("apiyi",), model="m")
    async with Ledger.open(tmp_path, now=clock) as ledger:
        given = [Entry(one.id, one.prompt, one, "f", "p", warnings=("w1", "w2")) for one in (job, bare)]
        assert await ledger.sync(given) == Difference(new=2)
        records = [record async for record in ledger.reader.jobs(Filter())]
    assert [record.job for record in records] == [job, bare]
    assert records[0].warnings == ("w1", "w2")
    assert records[0].provider == "apiyi"


async def test_the_same_manifest_again_changes_nothing(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        await finish(ledger, "a")
        assert await ledger.sync(entries("a", "b")) == Difference(unchanged=2)
        assert await states(ledger) == {JobState.DONE: 1, JobState.PENDING: 1}


async def test_order_and_words_that_are_not_sent_are_refreshed_in_place(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        await finish(ledger, "a")
        moved = Job(id="a", prompt="a cat", provider=("apiyi",), model="m", meta={"k": 1})
        await ledger.sync([entry("b"), Entry(moved.id, moved.prompt, moved, fingerprint="a cat/1", place="p")])
        records = [record async for record in ledger.reader.jobs(Filter())]
    assert [record.job.id for record in records] == ["b", "a"]
    assert records[1].job.meta == {"k": 1}
    assert (records[1].state, records[1].provider) == (JobState.DONE, PROVIDER)


async def test_a_changed_job_starts_a_new_round_and_its_old_images_stay(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", "old")])
        await finish(ledger, "cat")
        assert await ledger.sync([entry("cat", "new")]) == Difference(changed=1)
        (job,) = await claim(ledger)
        assert (job.job.prompt, job.round, job.have, job.tries) == ("new", 2, 0, 0)
        (shown,) = [record async for record in ledger.reader.jobs(Filter())]
        (whole,) = [record async for record in ledger.reader.jobs(Filter(), all=True)]
        assert (len(shown.outputs), len(whole.outputs), len(shown.attempts)) == (0, 1, 1)
        assert (await ledger.status()).outputs[OutputState.SAVED] == 0
        assert await ledger.check() == []


async def test_going_back_to_an_earlier_wording_sends_nothing(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", "old")])
        await finish(ledger, "cat")
        await ledger.sync([entry("cat", "new")])
        await generate(ledger, "cat")
        assert await ledger.sync([entry("cat", "old")]) == Difference(unchanged=1)
        assert await states(ledger) == {JobState.DONE: 1}
        assert (await ledger.status()).outputs[OutputState.SAVED] == 1
        await ledger.sync([entry("cat", "new")])
        assert await states(ledger) == {JobState.GENERATED: 1}
        (output,) = await due(ledger, "cat")
        assert await ledger.saved(output.output_id, file("new"), NOW) is JobState.DONE
        assert await ledger.check() == []


async def test_going_back_to_a_half_delivered_round_asks_for_the_rest_only(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", "old", n=3)])
        await generate(ledger, "cat", 2)
        await ledger.sync([entry("cat", "new", n=3)])
        await ledger.sync([entry("cat", "old", n=3)])
        (job,) = await claim(ledger)
        assert (job.have, job.round) == (2, 1)
        (standing,) = [one async for one in ledger.reader.standings([entry("cat", "old", n=3)])]
        assert (standing.change, standing.missing) == (Change.UNCHANGED, 1)


async def test_going_back_to_a_round_that_may_have_been_billed_is_held(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", "old")])
        await end(ledger, "cat", JobState.HELD)
        await ledger.sync([entry("cat", "new")])
        await ledger.sync([entry("cat", "old")])
        record = await ledger.reader.job("cat")
        assert record is not None
        assert record.state is JobState.HELD
        assert record.error is not None
        assert record.error.kind == "interrupted"


async def test_a_failed_wording_is_tried_anew_when_it_comes_back(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat", "old")])
        await end(ledger, "cat", JobState.FAILED)
        await ledger.sync([entry("cat", "new")])
        assert await ledger.sync([entry("cat", "old")]) == Difference(changed=1)
        assert (await claim(ledger))[0].round == 3


async def test_an_attempt_of_an_earlier_round_is_recorded_without_touching_the_job(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("a", "old"), entry("b", "old")])
        first, second = await start(ledger, "a"), await start(ledger, "b")
        await ledger.sync([entry("a", "new"), entry("b", "new")])
        assert await ledger.generated(first, delivered(), NOW, 0.5) is JobState.PENDING
        await ledger.settle(
            second, Outcome.UNKNOWN, Interrupted("x"), NOW, state=JobState.HELD, not_before=None, counted=True
        )
        assert await states(ledger) == {JobState.PENDING: 2}
        (output,) = await due(ledger, "a")
        assert output.round == 1
        assert await ledger.saved(output.output_id, file("a-old"), NOW) is JobState.PENDING
        assert await ledger.check() == []


async def test_a_removed_job_is_kept_unclaimed_and_stands_as_it_was_when_it_returns(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b", "c"))
        await ledger.generated(await start(ledger, "a"), delivered(), NOW, 0.25)
        await end(ledger, "b", JobState.FAILED)
        assert await ledger.sync(entries("c")) == Difference(unchanged=1, removed=2)
        status = await ledger.status()
        assert (sum(status.jobs.values()), status.attempts, status.cost) == (1, 0, 0.25)
        assert [job.job.id for job in await claim(ledger)] == ["c"]
        assert (await ledger.put_back(Filter(), NOW)).total == 0
        (output,) = await due(ledger, "a")
        await ledger.saved(output.output_id, file("a"), NOW)
        everything = [record.job.id async for record in ledger.reader.jobs(Filter(), all=True)]
        assert (everything[0], sorted(everything)) == ("c", ["a", "b", "c"])
        assert await ledger.sync(entries("a", "b", "c")) == Difference(unchanged=3)
        status = await ledger.status()
        assert (status.attempts, status.cost, status.outputs[OutputState.SAVED]) == (2, 0.25, 1)
        assert await states(ledger) == {JobState.DONE: 1, JobState.FAILED: 1, JobState.PENDING: 1}
        assert await ledger.check() == []


async def test_a_mistake_late_in_the_manifest_rolls_everything_back(tmp_path: Path) -> None:
    def broken() -> Iterator[Entry]:
        yield entry("a", "new")
        yield entry("z")
        raise ManifestError(("jobs/a.csv:7: ratio",))

    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(entries("a", "b"))
        with pytest.raises(ManifestError, match=r"jobs/a\.csv:7"):
            await ledger.sync(broken())
        assert [job.job.id for job in await claim(ledger)] == ["a", "b"]
        assert (await claim(ledger))[0].round == 1


async def test_an_id_that_comes_twice_is_the_users_mistake(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        for _ in range(2):
            with pytest.raises(ManifestError, match=r"used twice"):
                await ledger.sync([entry("a"), entry("b"), entry("a", "other")])
            await ledger.sync(entries("a", "b"))


async def test_comparing_says_what_sync_would_and_writes_nothing(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("same"), entry("back", "old"), entry("gone"), entry("away")])
        await finish(ledger, "back")
        await ledger.sync([entry("same"), entry("back", "mid"), entry("gone"), entry("other")])
        manifest = [entry("same"), entry("back", "old"), entry("new"), entry("other", "x"), entry("away")]
        told = await ledger.reader.compare(manifest)
        assert told == Difference(new=1, changed=1, unchanged=3, removed=1)
        missing = {one.entry.job.id: one.missing async for one in ledger.reader.standings(manifest)}
        assert missing == {"same": 1, "back": 0, "new": 1, "other": 1, "away": 1}
        assert await ledger.sync(manifest) == told


async def test_a_manifest_of_many_batches_is_streamed_and_paged(tmp_path: Path) -> None:
    count = 25_000
    async with Ledger.open(tmp_path, now=clock) as ledger:
        assert await ledger.sync(entry(f"j{i:05}") for i in range(count)) == Difference(new=count)
        assert await ledger.sync(entry(f"j{i:05}") for i in range(1, count)) == Difference(
            unchanged=count - 1, removed=1
        )
        seen = [record.job.id async for record in ledger.reader.jobs(Filter(id_glob="j0[01]*"))]
        assert seen == [f"j{i:05}" for i in range(1, 2000)]
        assert await ledger.check() == []
