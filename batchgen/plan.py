"""What a run would do: jobs by novelty, requests, images, cost, time and everything worth a warning.

Pure computation over the manifest's jobs and how the ledger says they stand. Sends nothing,
reads nothing; cost and time are estimates and say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf
from operator import attrgetter

from batchgen.ledger.records import Difference, Outstanding, Standing
from batchgen.limiter import stated
from batchgen.model import Job, JobState
from batchgen.progress import duration
from batchgen.providers.costs import PriceList, no_price
from batchgen.providers.keys import missing_key, needs_key, partly_set, without_key
from batchgen.providers.prices import currency, money_text
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.providers.twins import TYPICAL_SECONDS
from batchgen.shards.division import Shard
from batchgen.simulator.settings import parse_settings

EXPECTED_AT_ONCE = 8
"""Requests that a provider whose limit nobody stated is expected to take at once; a run finds out."""

SHORT_LINK_LIFE = 3600.0
"""Links that live shorter than this (seconds) are worth a warning."""


@dataclass(slots=True)
class Share:
    """What one model of one provider is to do; amounts in millionths. `priced` False: they don't count it."""

    provider: str
    model: str
    jobs: int = 0
    requests: int = 0
    images: int = 0
    cost: int = 0
    low: int = 0
    high: int = 0
    priced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `run` would do. Amounts are in the price list's currency, `seconds` is an estimate.

    `cost` is for what is missing, by the image; `low` and `high` are the least and the most, where
    size, quality or tokens decide, or where answers bring more than was asked for. `spent` is what this
    workspace has cost, or may have. `providers` are all those that the jobs to be sent go to first;
    `shares` says what goes where first. `unpriced` are the lines for what no `max_cost` can cover.
    """

    jobs: Difference
    requests: int
    images: int
    cost: float
    low: float
    high: float
    unpriced_models: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...]
    providers: tuple[str, ...]
    shares: tuple[Share, ...] = ()
    spent: float = 0.0
    max_cost: float | None = None
    learned: bool = False
    """the time is that of earlier requests"""
    unpriced: tuple[str, ...] = ()
    shard: Shard | None = None
    """of which part of the batch this is the plan"""


_priced_by = attrgetter("provider", "model", "ratio", "size", "quality", "n")


@dataclass(slots=True)
class _Alike:
    """Jobs that cost the same but for the length of their prompts; one of them is kept."""

    first: Standing
    count: int = 0
    prompt_bytes: int = 0

    def outstanding(self) -> Outstanding:
        entry = self.first.entry
        job = replace(entry.like, prompt="x" * ceil(self.prompt_bytes / self.count))
        return Outstanding(job=job, missing=self.first.missing, warnings=entry.warnings, count=self.count)


class Planner:
    """Takes the manifest's jobs one after the other, so that a large batch needs no list."""

    def __init__(
        self, profiles: Mapping[str, Profile], concurrency: int | None = None, max_cost: float | None = None
    ) -> None:
        """`profiles` may still grow while jobs are added; the others are the run's own limits."""
        self._profiles = profiles
        self._concurrency = concurrency
        self._max_cost = max_cost
        self._spent = 0.0
        self._learned: Mapping[str, float] = {}
        self._alike: dict[tuple[object, ...], _Alike] = {}
        self._shares: dict[tuple[str, str], Share] = {}
        self._requests = Counter[str]()
        self._images = Counter[str]()
        self._steps = Counter[str]()
        self._waiting: dict[str, str] = {}
        self._open = False
        self._prices: dict[str, PriceList] = {}
        self._judged: set[tuple[str, str]] = set()
        self._unpriced: list[str] = []
        self._warnings = Counter[str]()
        self._providers: dict[str, None] = {}
        self._others: dict[str, None] = {}
        self._general: list[str] = []

    def warn(self, text: str) -> None:
        """Say something about the whole batch."""
        self._general.append(text)

    def earlier(self, spent: float, seconds: Mapping[str, float]) -> None:
        """What earlier runs tell: what they cost, and how long a request took by provider."""
        self._spent = spent
        self._learned = seconds

    def unpriced(self, lines: Iterable[str]) -> None:
        """Say what was sent earlier and has no price."""
        self._unpriced += lines

    def add(self, standing: Standing) -> None:
        """Take one job of the manifest."""
        if not standing.missing and standing.state is not JobState.RUNNING:
            return
        entry, job = standing.entry, standing.entry.like
        if job.after is not None and standing.missing and standing.waits:
            self._waiting[entry.id] = job.after
        kind = (*_priced_by(job), len(job.references), job.mask is None, job.after is None, *job.models.items())
        kind = (*kind, standing.missing, entry.warnings)
        alike = self._alike.get(kind)
        if alike is None:
            alike = self._alike[kind] = _Alike(standing)
        alike.count += 1
        alike.prompt_bytes += len(entry.prompt.encode())

    def send(self, outstanding: Outstanding) -> None:
        """Take jobs that have the same to ask for."""
        job, count = outstanding.job, outstanding.count
        self._judge(job)
        if not outstanding.missing:
            self._open = True
            return
        first, *others = job.provider
        self._providers[first] = None
        self._others.update(dict.fromkeys(others))
        self._send(job, outstanding.missing, count)
        self._warnings.update(dict.fromkeys(outstanding.warnings, count))

    def finish(self, jobs: Difference, key_variables: Collection[str]) -> Plan:
        """The plan. `jobs` is what the manifest changes; `key_variables` are set now."""
        for alike in self._alike.values():
            self.send(alike.outstanding())
        self._alike.clear()
        shares = tuple(self._shares.values())
        return Plan(
            jobs=jobs,
            requests=self._requests.total(),
            images=self._images.total(),
            cost=currency(sum(share.cost for share in shares)),
            low=currency(sum(share.low for share in shares)),
            high=currency(sum(share.high for share in shares)),
            unpriced_models=tuple(sorted({share.model for share in shares if not share.priced})),
            seconds=self._seconds(key_variables, max(jobs.turns, self._turns())),
            warnings=(
                *self._general,
                *self._job_warnings(),
                *self._link_warnings(),
                *self._budget_warnings(),
                *missing_keys(self._profiles, self._providers, key_variables),
                *self._key_warnings(key_variables),
            ),
            providers=tuple(self._providers),
            shares=shares,
            spent=self._spent,
            max_cost=self._max_cost,
            learned=not self._requests.keys().isdisjoint(self._learned),
            unpriced=self._must_be_priced(),
        )

    def _send(self, job: Job, missing: int, count: int) -> None:
        name = job.provider[0]
        profile = self._profiles[name]
        if name not in self._prices:
            self._prices[name] = PriceList(profile)
        prices = self._prices[name]
        requests = ceil(missing / prices.asked(job, missing)) * count
        images = missing * count
        self._requests[name] += requests
        self._steps[name] = max(self._steps[name], requests // count)
        self._images[name] += images
        share = self._shares.setdefault((name, job.model), Share(name, job.model))
        share.jobs += count
        share.requests += requests
        share.images += images
        offer = prices.quote(job)
        if offer is None:
            share.priced = False
        else:
            share.low += offer.low * images
            share.cost += offer.high * images
            share.high += offer.high * max(images, requests * prices.brought(job, 1)) + offer.sent * requests

    def _judge(self, job: Job) -> None:
        for place in ((one, job.at(one).model) for one in job.provider):
            if place not in self._judged:
                self._judged.add(place)
                self._unpriced += filter(None, [no_price(self._profiles[place[0]], place[1])])

    def _must_be_priced(self) -> tuple[str, ...]:
        """The lines for what has no price; none where there is no budget to keep, or nothing that may be sent."""
        matters = self._max_cost is not None and (self._requests or self._open)
        return tuple(dict.fromkeys(self._unpriced)) if matters else ()

    def _turns(self) -> int:
        """How many of the jobs that were added wait for one another, at the most."""
        turns: dict[str, int] = {}
        for job_id in self._waiting:
            chain = [job_id]
            while chain[-1] in self._waiting and chain[-1] not in turns:
                chain.append(self._waiting[chain[-1]])
            behind = turns.get(chain.pop(), 1)
            for one in reversed(chain):
                behind += 1
                turns[one] = behind
        return max(turns.values(), default=1)

    def _seconds(self, variables: Collection[str], turns: int) -> float:
        """Providers work side by side, so the slowest decides; all share the run's own concurrency.

        What waits for an image before it takes its turn, so many `turns` at the slowest provider.
        """
        longest = 0.0
        work = 0.0
        for name, requests in self._requests.items():
            profile = self._profiles[name]
            latency = self._learned.get(name) or typical_latency(profile)
            work += requests * latency
            one_by_one = latency * max(turns, self._steps[name])
            longest = max(longest, one_by_one, requests / self._pace(profile, requests, latency, variables))
        return max(longest, work / self._concurrency) if self._concurrency else longest

    def _pace(self, profile: Profile, requests: int, latency: float, variables: Collection[str]) -> float:
        """Requests a second that this provider takes: its limits count for each key that is set."""
        limits = profile.limits
        keys = max(1, sum(name in variables for name in profile.api_key_env)) if needs_key(profile) else 1
        at_once = keys * (stated(limits, self._concurrency) or EXPECTED_AT_ONCE)
        by_requests = limits.requests_per_minute or inf
        images_a_request = self._images[profile.name] / requests
        by_images = (limits.images_per_minute or inf) / images_a_request
        return min(at_once / latency if latency else inf, keys * by_requests / 60, keys * by_images / 60)

    def _key_warnings(self, variables: Collection[str]) -> Iterable[str]:
        named = {**self._providers, **self._others}
        yield from filter(None, (partly_set(self._profiles[name], variables) for name in named))
        others = (self._profiles[name] for name in self._others if name not in self._providers)
        for profile in without_key(others, variables):
            names = " or ".join(profile.api_key_env)
            yield (
                f"the environment variable {names} is not set: no job can go on to '{profile.name}' "
                "after those before it"
            )

    def _job_warnings(self) -> Iterable[str]:
        for text, count in self._warnings.most_common():
            yield f"{text} ({count} jobs)" if count > 1 else text

    def _budget_warnings(self) -> Iterable[str]:
        high = currency(sum(share.high for share in self._shares.values()))
        if self._max_cost is not None and high and self._spent + high > self._max_cost:
            left = money_text(max(0.0, self._max_cost - self._spent))
            yield f"max_cost leaves {left} and this may cost {money_text(high)}: the run may stop early (exit code 3)"

    def _link_warnings(self) -> Iterable[str]:
        for name in self._requests:
            profile = self._profiles[name]
            if profile.link_ttl < SHORT_LINK_LIFE:
                yield f"links of '{name}' live only {duration(profile.link_ttl)}: let the run download as it goes"


def typical_latency(profile: Profile) -> float:
    """Seconds that one request to this provider is expected to take."""
    if profile.base_url != SIMULATED:
        return TYPICAL_SECONDS
    return parse_settings(profile.simulate).latency


def missing_keys(profiles: Mapping[str, Profile], names: Iterable[str], variables: Collection[str]) -> tuple[str, ...]:
    """One line for each provider in `names` of whose key variables none is set."""
    return tuple(missing_key(profile) for profile in without_key((profiles[name] for name in names), variables))
