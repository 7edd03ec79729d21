"""Chains in the ledger: who waits, who is cancelled and why, who comes back, and whether anything may still come."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import BadImage, Interrupted
from batchgen.ledger.records import ErrorRecord, Filter, JobRecord
from batchgen.ledger.retrying import Retried
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
    entry,
    finish,
    generate,
    start,
    states,
)

CHAIN = [entry("cat"), entry("hat", after="cat"), entry("rain", after="hat")]
LOST = [JobState.FAILED, JobState.REFUSED, JobState.HELD, JobState.EXPIRED]


async def one(ledger: Ledger, name: str) -> JobRecord:
    record = await ledger.reader.job(name)
    assert record is not None
    return record


async def key_of(ledger: Ledger, name: str) -> int:
    (job,) = [job for job in await claim(ledger) if job.job.id == name]
    return job.key


async def test_a_child_waits_for_its_parent_to_be_done_wherever_it_stands(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("child", after="parent"), entry("parent")])
        assert await ledger.chained()
        assert [job.job.id for job in await claim(ledger)] == ["parent"]
        assert (await one(ledger, "child")).waits_for == "parent"
        await generate(ledger, "parent")
        assert await claim(ledger) == []
        assert await ledger.reader.waiting_children() == 1
        (output,) = await due(ledger, "parent")
        await ledger.output_failed(
            output.output_id, BadImage("cut"), NOW, state=OutputState.REMOTE, not_before=None
        )
        assert await claim(ledger) == []
        assert await ledger.reader.origin("parent", 0) is None


async def test_a_child_that_is_ready_is_found_before_all_that_begin_a_chain(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync([entry("cat"), entry("dog"), entry("hat", after="cat")])
        assert await ledger.next_turns(PROVIDER, 9, exclude=()) == []
        await finish(ledger, "cat")
        (turn,) = await ledger.next_turns(PROVIDER, 9, exclude=())
        assert (turn.job.id, (await one(ledger, "hat")).waits_for) == ("hat", None)
        assert await ledger.next_turns(PROVIDER, 9, exclude={turn.key}) == []
        found = await ledger.reader.origin("cat", 0)
        assert found is not None
        assert (found.path, found.provider, found.images) == ("images/cat-1-0.png", PROVIDER, 1)


@pytest.mark.parametrize("state", LOST)
async def test_what_descends_from_a_lost_job_is_cancelled_and_comes_back_with_it(
    tmp_path: Path, state: JobState
) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        key = await key_of(ledger, "cat")
        await end(ledger, "cat", state)
        assert await ledger.cancel_children(key) == ["hat", "rain"]
        assert await ledger.cancel_children(key) == []
        hat, rain = (await one(ledger, "hat")).error, (await one(ledger, "rain")).error
        assert hat is not None
        assert rain is not None
        assert (hat.kind, hat.code, rain.code) == ("parent", "cat", "cat")
        assert hat.message.startswith("its parent 'cat' ")
        assert rain.message == "its parent 'hat' was cancelled, because" + hat.message.removeprefix("its parent")
        retried = await ledger.put_back(Filter(states=frozenset({state, JobState.CANCELLED})), NOW)
        assert (retried.sent, retried.following, retried.left, retried.total) == (1, 2, 0, 3)
        assert await states(ledger) == {JobState.PENDING: 3}
        assert (await one(ledger, "rain")).error is None
        assert await ledger.check() == []


async def test_a_job_is_not_cancelled_while_its_parent_may_still_succeed(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        key = await key_of(ledger, "cat")
        assert await ledger.cancel_children(key) == []
        await finish(ledger, "cat")
        assert await ledger.cancel_children(key) == []
        assert await states(ledger) == {JobState.DONE: 1, JobState.PENDING: 2}


async def test_a_cancelled_child_stays_so_while_its_parent_is_not_retried(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        await end(ledger, "cat", JobState.REFUSED)
        assert await ledger.settle_children() == ["hat", "rain"]
        cancelled = Filter(states=frozenset({JobState.CANCELLED}))
        assert await ledger.put_back(cancelled, NOW) == Retried(left=2)
        assert await states(ledger) == {JobState.REFUSED: 1, JobState.CANCELLED: 2}


async def test_what_a_kill_left_between_a_parents_end_and_its_childrens_is_settled(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        await end(ledger, "cat", JobState.FAILED)
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        assert await ledger.settle_children() == ["hat", "rain"]
        assert await ledger.settle_children() == []


async def test_a_child_added_to_a_cancelled_one_names_the_job_that_it_began_with(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN[:2])
        await end(ledger, "cat", JobState.REFUSED)
        await ledger.settle_children()
        await ledger.sync(CHAIN)
        assert await ledger.settle_children() == ["rain"]
        told = "its parent 'hat' was cancelled, because 'cat' was refused: policy"
        assert (await one(ledger, "rain")).error == ErrorRecord("parent", "cat", told)


async def test_a_child_that_was_left_out_while_its_parent_was_retried_comes_back(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        await end(ledger, "cat", JobState.FAILED)
        await ledger.settle_children()
        await ledger.sync(CHAIN[:1])
        await ledger.put_back(Filter(), NOW)
        await ledger.sync(CHAIN)
        assert await ledger.settle_children() == []
        assert await states(ledger) == {JobState.PENDING: 3}


async def test_a_reply_read_again_brings_the_children_back(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN)
        attempt = await start(ledger, "cat")
        cut = Interrupted("cut")
        await ledger.settle(
            attempt, Outcome.UNKNOWN, cut, NOW, state=JobState.HELD, not_before=None, counted=True
        )
        await ledger.settle_children()
        await ledger.generated(attempt, delivered(), NOW, None)
        assert await states(ledger) == {JobState.GENERATED: 1, JobState.PENDING: 2}


async def test_something_may_come_only_while_something_is_afoot(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN[:2])

        async def may_come(*lanes: str, fetching: bool = True) -> bool:
            return await ledger.may_come(["other"], lanes, set() if fetching else None)

        assert not await may_come(PROVIDER)
        await ledger.sync([entry("cat"), entry("hat", after="cat", provider="other")])
        assert await may_come(PROVIDER)
        assert not await may_come()
        attempt = await start(ledger, "cat")
        assert await may_come()
        await ledger.generated(attempt, delivered(), NOW, None)
        assert await may_come()
        assert not await may_come(fetching=False)
        (output,) = await due(ledger, "cat")
        assert not await ledger.may_come(["other"], (), {output.output_id})


async def test_a_done_child_stays_when_its_parent_is_generated_anew(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(CHAIN[:2])
        await finish(ledger, "cat")
        await finish(ledger, "hat")
        assert (await ledger.put_back(Filter(states=frozenset({JobState.DONE}), id_glob="cat"), NOW)).sent == 1
        assert (await one(ledger, "hat")).state is JobState.DONE
