"""The plan: requests, images, cost, time and warnings, from standings alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.ledger.records import Change, Difference, Outstanding, Standing
from batchgen.model import Entry, Job, JobState
from batchgen.plan import Plan, Planner, missing_keys
from batchgen.providers.prices import Price
from batchgen.providers.profile import SIMULATED, Limits, ModelRule, Profile
from batchgen.providers.twins import TYPICAL_SECONDS

APIYI = Profile(
    name="apiyi",
    base_url="https://api.example/v1",
    api_key_env=("A_KEY", "B_KEY"),
    prices={"priced": Price(per_image=30_000)},
    limits=Limits(requests_per_minute=60, concurrency=8),
    models=(ModelRule(pattern="four", max_images=4), ModelRule(pattern="*")),
)
SIM = Profile(name="simulator", base_url=SIMULATED, simulate={"latency": 2})
PROFILES = {"apiyi": APIYI, "simulator": SIM}


def standing(
    missing: int,
    change: Change = Change.NEW,
    *,
    model: str = "priced",
    provider: tuple[str, ...] = ("apiyi",),
    warnings: tuple[str, ...] = (),
) -> Standing:
    """One job that still wants `missing` images."""
    job = Job(id="x", prompt="p", provider=provider, model=model, n=4)
    entry = Entry(job.id, job.prompt, job, fingerprint="f", place="a.yaml:1", warnings=warnings)
    return Standing(entry=entry, change=change, state=JobState.PENDING, missing=missing)


def plan_of(
    *standings: Standing, concurrency: int | None = None, keys: tuple[str, ...] = ("A_KEY",)
) -> Plan:
    planner = Planner(PROFILES, concurrency)
    for one in standings:
        planner.add(one)
    return planner.finish(Difference(), keys)


def test_jobs_that_are_alike_cost_what_they_would_one_by_one() -> None:
    entry = standing(2, model="four", warnings=("odd",)).entry
    planner = Planner(PROFILES)
    planner.send(Outstanding(job=entry.job, missing=2, warnings=("odd",), count=3))
    one_by_one = plan_of(*[standing(2, model="four", warnings=("odd",)) for _ in range(3)])
    assert planner.finish(Difference(), ("A_KEY",)) == one_by_one
    assert (one_by_one.requests, one_by_one.images) == (3, 6)


def test_missing_images_become_requests_of_the_size_that_the_model_takes() -> None:
    plan = plan_of(standing(6, model="four"), standing(3, model="priced"), standing(0))
    assert (plan.requests, plan.images) == (2 + 3, 9)


def test_cost_counts_only_missing_images_and_names_models_without_a_price() -> None:
    plan = plan_of(standing(2), standing(1, model="four"), standing(0, model="never sent"))
    assert plan.cost == pytest.approx(0.06)
    assert plan.unpriced_models == ("four",)


def test_nothing_to_send_takes_no_time() -> None:
    assert plan_of(standing(0, Change.UNCHANGED)).seconds == 0


def test_time_follows_the_tighter_of_rate_and_concurrency() -> None:
    jobs = [standing(1) for _ in range(80)]
    assert plan_of(*jobs).seconds == pytest.approx(80 / (8 / TYPICAL_SECONDS))
    assert plan_of(*jobs, concurrency=2).seconds == pytest.approx(80 / (2 / TYPICAL_SECONDS))


def test_one_request_takes_as_long_as_one_request() -> None:
    assert plan_of(standing(1, provider=("simulator",))).seconds == pytest.approx(2)


def test_a_warning_that_many_jobs_share_is_said_once_with_their_number() -> None:
    plan = plan_of(*[standing(1, warnings=("16:9 becomes 3:2",)) for _ in range(3)])
    assert plan.warnings[0] == "16:9 becomes 3:2 (3 jobs)"


def test_a_provider_without_its_key_is_named_with_the_variable_and_the_way_out() -> None:
    assert missing_keys(PROFILES, ("apiyi", "simulator"), ()) == (
        "provider 'apiyi' needs the environment variable A_KEY or B_KEY: "
        "export it, or play the batch through without a key: run --rehearse",
    )


def test_one_of_several_key_variables_is_enough() -> None:
    assert missing_keys(PROFILES, ("apiyi",), {"B_KEY"}) == ()


def test_a_key_of_a_list_that_is_not_set_is_told_and_the_others_do_the_work() -> None:
    assert plan_of(standing(1)).warnings == ("B_KEY of provider 'apiyi' is not set: all goes with A_KEY",)
    assert plan_of(standing(1), keys=("A_KEY", "B_KEY")).warnings == ()


def test_limits_count_for_each_key_so_that_two_keys_take_half_the_time() -> None:
    jobs = [standing(1) for _ in range(800)]
    assert plan_of(*jobs, keys=("A_KEY", "B_KEY")).seconds == pytest.approx(plan_of(*jobs).seconds / 2)


def _turn(job_id: str, after: str | None, *, waits: bool = True) -> Standing:
    job = Job(id=job_id, prompt="p", provider=("simulator",), model="m", after=after)
    entry = Entry(job.id, job.prompt, job, fingerprint=job_id, place="a.yaml:1")
    return Standing(entry=entry, change=Change.NEW, state=JobState.PENDING, missing=1, waits=waits)


def test_jobs_that_wait_for_one_another_take_one_answer_after_the_other() -> None:
    chain = [_turn("c", "b"), _turn("b", "a"), _turn("a", None), _turn("d", "c"), _turn("e", "b")]
    assert plan_of(*chain).seconds == 4 * 2
    assert plan_of(*reversed(chain)).seconds == 4 * 2
    assert plan_of(_turn("c", "b"), _turn("b", "a", waits=False)).seconds == 2 * 2
    assert plan_of(_turn("a", None), _turn("b", None)).seconds == 2


def test_a_chain_that_the_ledger_tells_of_counts_as_well() -> None:
    planner = Planner(PROFILES)
    planner.add(_turn("a", None))
    assert planner.finish(Difference(turns=5), ()).seconds == 5 * 2


def test_requests_of_one_job_follow_each_other() -> None:
    planner = Planner(PROFILES)
    planner.send(Outstanding(job=_turn("a", None).entry.job, missing=3, warnings=(), count=2))
    assert planner.finish(Difference(), ()).seconds == 3 * 2


def test_an_open_request_whose_model_lost_its_price_can_not_be_kept_within_a_budget() -> None:
    running = Standing(
        entry=standing(1, model="lost").entry, change=Change.UNCHANGED, state=JobState.RUNNING, missing=0
    )
    for budget, told in ((1.0, 1), (None, 0)):
        planner = Planner(PROFILES, None, budget)
        planner.add(running)
        plan = planner.finish(Difference(), ("A_KEY",))
        assert (plan.requests, len(plan.unpriced)) == (0, told)


def test_links_that_live_for_seconds_are_told_in_seconds() -> None:
    planner = Planner({**PROFILES, "apiyi": replace(APIYI, link_ttl=20.0)})
    planner.add(standing(1))
    told = planner.finish(Difference(), ("A_KEY",)).warnings
    assert "links of 'apiyi' live only 20 s: let the run download as it goes" in told
