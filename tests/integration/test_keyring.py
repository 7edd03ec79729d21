"""The keys of a provider and their gates: places, the rate, the breaker, parking. The clock is the test's own."""

from __future__ import annotations

import math

import anyio
import pytest

from batchgen.errors import BadKey, QuotaSpent, RateLimited, ServerError, WrongAddress
from batchgen.lanes.keyring import DOWN_AFTER, Keyring
from batchgen.ledger.records import Paces
from batchgen.limiter import Gate, Pass, Places
from batchgen.pacing import FIRST, Breaker, Learned, Pace
from batchgen.providers.profile import Limits, Profile


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def never() -> bool:
    return False


def keyring(
    limits: Limits | None = None,
    *keys: str,
    now: Clock | None = None,
    concurrency: int | None = None,
    everyone: Places | None = None,
    patience: float = math.inf,
    paces: Paces | None = None,
) -> Keyring:
    profile = Profile(name="p", base_url="https://p.example/v1", limits=limits or Limits())
    return Keyring(
        profile, keys, concurrency=concurrency, now=now or Clock(), everyone=everyone, patience=patience, paces=paces
    )


async def taken(ring: Keyring) -> Pass:
    place = await ring.enter("m", 1, never)
    assert place is not None
    return place


async def test_a_full_gate_lets_the_next_one_in_when_somebody_leaves() -> None:
    ring = keyring(Limits(concurrency=1))
    first = await taken(ring)
    entered = []
    async with anyio.create_task_group() as group:

        async def second() -> None:
            entered.append(await taken(ring))

        group.start_soon(second)
        await anyio.lowlevel.checkpoint()
        assert entered == []
        first.leave(0.0)
    assert [place.gate for place in entered] == [first.gate]
    assert first.gate.in_flight == 1


@pytest.mark.parametrize(
    ("stated", "run", "places"), [(8, 3, 3), (3, 8, 3), (20, None, 20), (None, 50, 50), (None, None, FIRST)]
)
def test_the_smaller_of_the_providers_limit_and_the_runs_is_kept(
    stated: int | None, run: int | None, places: int
) -> None:
    assert Gate(Limits(concurrency=stated), concurrency=run).limit == places


async def test_all_providers_together_keep_to_the_runs_concurrency() -> None:
    everyone, clock = Places(2), Clock()
    one, two = (keyring(concurrency=2, now=clock, everyone=everyone) for _ in range(2))
    first, second = await taken(one), await taken(two)
    assert first.gate.ready_at("m", clock.time) == math.inf
    second.leave(0.0)
    assert (await taken(one)).gate is first.gate


async def test_the_places_of_all_go_round_among_the_providers() -> None:
    everyone, clock = Places(1), Clock()
    rings = {name: keyring(concurrency=1, now=clock, everyone=everyone) for name in ("one", "two")}
    turns: list[str] = []
    async with anyio.create_task_group() as group:

        async def lane(name: str) -> None:
            for _ in range(3):
                gate = await taken(rings[name])
                turns.append(name)
                await anyio.lowlevel.checkpoint()
                gate.leave(0.0)
                await anyio.lowlevel.checkpoint()

        for name in rings:
            group.start_soon(lane, name)
    assert set(turns[:3]) == {"one", "two"}
    assert sorted(turns) == ["one"] * 3 + ["two"] * 3


async def test_a_wait_told_to_one_job_holds_for_all_of_the_key() -> None:
    clock = Clock()
    ring = keyring(now=clock)
    place = await taken(ring)
    place.failed(RateLimited("too many", retry_after=6), clock.time)
    assert place.gate.ready_at("m", clock.time) == clock.time + 6
    assert ring.status(None, clock.time).reason == "rate limit"


async def test_a_provider_that_never_served_is_given_up_after_the_patience_and_not_later() -> None:
    clock = Clock()
    ring = keyring(now=clock, patience=20.0)
    assert ring.gives_up_at() == math.inf
    gate = await taken(ring)
    gate.line.breaker.failed(ServerError("503"), clock.time)
    assert ring.gives_up_at() == clock.time + 20
    gate.line.breaker.succeeded()
    assert ring.gives_up_at() == math.inf


async def test_a_parked_provider_lets_nobody_in_and_says_why() -> None:
    ring = keyring()
    ring.park((await taken(ring)).gate, BadKey("the key is wrong"))
    assert await ring.enter("m", 1, never) is None
    assert ring.status(None, 0.0).reason == "stopped: the key was refused (the key is wrong)"


async def test_a_gate_that_closes_meanwhile_turns_the_waiting_away() -> None:
    ring = keyring(Limits(concurrency=1))
    await taken(ring)
    closed: list[bool] = []
    answers = []
    async with anyio.create_task_group() as group:

        async def waiting() -> None:
            answers.append(await ring.enter("m", 1, lambda: bool(closed)))

        group.start_soon(waiting)
        await anyio.lowlevel.checkpoint()
        closed.append(True)
        ring.bell.ring()
    assert answers == [None]


async def test_an_open_breaker_lets_one_probe_through_at_a_time() -> None:
    clock = Clock()
    ring = keyring(Limits(concurrency=8), now=clock)
    gate = await taken(ring)
    gate.leave(0.0)
    for _ in range(Breaker.THRESHOLD):
        gate.line.breaker.failed(ServerError("502"), clock.time)
    clock.time += Breaker.FIRST_PROBE
    await taken(ring)
    assert gate.gate.ready_at("m", clock.time) == math.inf
    gate.line.breaker.succeeded()
    await taken(ring)
    assert gate.gate.in_flight == 2


async def test_status_says_what_the_provider_waits_for() -> None:
    clock = Clock()
    ring = keyring(now=clock)
    assert ring.status(None, clock.time).reason is None
    assert ring.status(clock.time + 60, clock.time).reason == "retry"
    gate = await taken(ring)
    for _ in range(Breaker.THRESHOLD):
        gate.line.breaker.failed(ServerError("bad gateway"), clock.time)
    status = ring.status(None, clock.time)
    assert (status.reason, status.waiting_until) == ("down: bad gateway", clock.time + Breaker.FIRST_PROBE)


async def test_a_breaker_that_rate_limits_opened_is_no_outage_in_words() -> None:
    clock = Clock()
    ring = keyring(now=clock)
    place = await taken(ring)
    for _ in range(Breaker.THRESHOLD):
        place.failed(RateLimited("too many requests"), clock.time)
    assert ring.status(None, clock.time).reason == "rate limit: too many requests"


async def test_a_stall_is_told_in_status_as_long_as_it_lasts_and_once_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ring = keyring(now=clock)
    first, _ = await taken(ring), await taken(ring)
    for _ in range(3):
        clock.time += 200
        status = ring.status(None, clock.time)
    assert status.reason == "nothing came back for 10 min, 2 in flight, the oldest for 10 min"
    assert status.waiting_until is None
    assert caplog.messages == ["p: nothing came back for 7 min, 2 in flight, the oldest for 7 min"]
    first.leave(clock.time)
    assert ring.status(None, clock.time).reason is None


async def test_limits_count_for_each_key_and_the_load_is_even() -> None:
    ring = keyring(Limits(concurrency=2), "A", "B")
    assert sorted([(await taken(ring)).key for _ in range(4)], key=str) == ["A", "A", "B", "B"]
    assert ring.status(None, 0.0).limit == 4
    assert ring._chosen("m", ring._now(), None).ready_at("m", ring._now()) == math.inf


async def test_a_rate_spent_at_one_key_leaves_the_other_free() -> None:
    ring = keyring(Limits(requests_per_minute=1), "A", "B")
    assert {(await taken(ring)).key for _ in range(2)} == {"A", "B"}


async def test_a_bad_or_spent_key_is_dropped_and_the_others_go_on() -> None:
    ring = keyring(Limits(concurrency=4), "A", "B")
    while (bad := await taken(ring)).key != "A":
        pass
    ring.park(bad.gate, QuotaSpent("no money left"))
    assert ring.parked is None
    assert {(await taken(ring)).key for _ in range(3)} == {"B"}
    status = ring.status(None, 0.0)
    assert (status.limit, status.reason) == (4, None)
    assert status.note == "key A dropped: out of credit (no money left)"


async def test_the_provider_stops_with_its_last_key() -> None:
    ring = keyring(None, "A", "B")
    for _ in range(2):
        ring.park((await taken(ring)).gate, BadKey("wrong"))
    assert isinstance(ring.parked, BadKey)
    assert await ring.enter("m", 1, never) is None


async def test_keys_that_were_lost_for_different_reasons_are_each_told_by_name() -> None:
    ring = keyring(None, "A", "B")
    first = await taken(ring)
    ring.park(first.gate, BadKey("wrong"))
    ring.park((await taken(ring)).gate, QuotaSpent("no money left"))
    told = {first.key: "the key was refused (wrong)"}
    told[({"A", "B"} - {first.key}).pop()] = "out of credit (no money left)"
    words = f"has no key left: A: {told['A']}, B: {told['B']}"
    assert ring.gone(0.0) is not None
    assert str(ring.gone(0.0)).endswith(words)
    assert ring.status(None, 0.0).reason == f"stopped: {words}"


async def test_a_wrong_address_is_not_the_keys_fault_and_stops_them_all() -> None:
    ring = keyring(None, "A", "B")
    ring.park((await taken(ring)).gate, WrongAddress("404"))
    assert isinstance(ring.parked, WrongAddress)


async def test_an_outage_at_one_key_is_no_outage_of_the_provider() -> None:
    clock = Clock()
    ring = keyring(None, "A", "B", now=clock, patience=20.0)
    gate = await taken(ring)
    for _ in range(Breaker.THRESHOLD):
        gate.line.breaker.failed(ServerError("503"), clock.time)
    assert not ring.is_down
    assert ring.gives_up_at() == math.inf
    assert (await taken(ring)).key != gate.key


async def test_an_ask_that_nobody_answered_goes_again_with_its_own_key_while_that_one_serves() -> None:
    ring = keyring(None, "A", "B")
    for _ in range(3):
        place = await ring.enter("m", 1, never, "B")
        assert place is not None
        assert place.key == "B"
        last = place
    ring.park(last.gate, BadKey("wrong"))
    other = await ring.enter("m", 1, never, "B")
    assert other is not None
    assert other.key == "A"


async def test_a_provider_that_nobody_states_a_limit_of_begins_small_and_grows_as_it_serves() -> None:
    clock = Clock()
    ring = keyring(now=clock)
    for _ in range(3):
        places: list[Pass] = []
        while len(places) < (ring.status(None, clock.time).limit or 0):
            clock.time += 1
            places.append(await taken(ring))
        for place in places:
            place.served(place.trip.left + 60)
            place.leave(clock.time)
    assert ring.status(None, 0.0).limit == FIRST * 2**3


async def test_what_a_run_learned_is_told_once_and_is_where_the_next_one_begins() -> None:
    ring, clock = keyring(None, "A"), Clock()
    assert ring.fresh_paces() == {}
    for _ in range(2):
        (place := await taken(ring)).served(clock.time)
    place.failed(RateLimited("too many", retry_after=60), clock.time)
    noted = ring.fresh_paces()
    assert noted == {("A", "m"): Pace(Learned(2, limited=False), clock.time + 60)}
    assert ring.fresh_paces() == {}
    again = keyring(None, "A", paces=noted)
    assert again._gates[0].ready_at("m", clock.time) == clock.time + 60
    assert again._gates[0].ready_at("other", clock.time) <= clock.time


async def down(ring: Keyring, clock: Clock, model: str = "m") -> Pass:
    """Every key fails as often as opens the breaker."""
    place = await ring.enter(model, 1, never)
    assert place is not None
    place.leave(clock.time)
    for _ in range(Breaker.THRESHOLD):
        place.line.breaker.failed(ServerError("503"), clock.time)
    return place


async def test_a_provider_is_out_once_it_has_served_nobody_for_a_minute_and_back_with_its_first_image() -> None:
    clock = Clock()
    ring = keyring(now=clock, patience=1800.0)
    place = await down(ring, clock)
    clock.time += DOWN_AFTER - 1
    assert not ring.is_out(clock.time)
    clock.time += 1
    assert ring.gone(clock.time) == "p has served nobody for 60 s: 503"
    assert not ring.gives_up(clock.time)
    place.line.breaker.succeeded()
    assert not ring.is_out(clock.time)


async def test_a_model_that_is_done_does_not_hide_the_outage_of_the_others() -> None:
    clock = Clock()
    ring = keyring(now=clock, patience=100.0)
    done = await ring.enter("done", 1, never)
    assert done is not None
    done.served(clock.time)
    done.leave(clock.time)
    clock.time += 500
    await down(ring, clock, "other")
    clock.time += 100
    assert ring.gives_up(clock.time)


async def test_a_model_that_is_served_keeps_the_provider_of_one_that_is_not() -> None:
    clock = Clock()
    ring = keyring(now=clock, patience=1800.0)
    await down(ring, clock, "broken")
    clock.time += 500
    served = await ring.enter("fine", 1, never)
    assert served is not None
    assert ring.failing_since() is None
    served.served(clock.time)
    served.leave(clock.time)
    assert ring.failing_since() == clock.time
    assert not ring.is_out(clock.time + DOWN_AFTER - 1)


async def test_a_provider_without_any_of_its_keys_is_stopped_from_the_beginning() -> None:
    profile = Profile(name="p", base_url="https://p.example/v1", api_key_env=("A_KEY", "B_KEY"))
    ring = Keyring(profile, (), concurrency=None, now=Clock())
    assert ring.gone(0.0) == "p has no key (A_KEY or B_KEY is not set)"
    assert await ring.enter("m", 1, never) is None


async def test_of_keys_that_stand_alike_the_one_that_went_last_comes_last() -> None:
    ring, went = keyring(Limits(), "A", "B", "C"), []
    for _ in range(6):
        place = await taken(ring)
        place.leave(0.0)
        went.append(place.key)
    assert went == ["A", "B", "C"] * 2
