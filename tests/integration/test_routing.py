"""Which provider a job goes to now, by who is out. The keyrings are real, the clock is the test's own."""

from __future__ import annotations

from batchgen.errors import QuotaSpent, ServerError
from batchgen.lanes.keyring import DOWN_AFTER, Keyring
from batchgen.lanes.routing import Routing
from batchgen.ledger.records import PendingJob
from batchgen.limiter import Pass
from batchgen.model import Job
from batchgen.pacing import Breaker
from batchgen.providers.profile import Profile

NAMES = ("a", "b", "c")
ROUTE = " > ".join(NAMES)


class Night:
    """Three providers, a list of all of them, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.routing = Routing()
        self.routing.learn({ROUTE: NAMES, "b": ("b",)})
        self.rings = {name: self._ring(name) for name in NAMES}
        for name, ring in self.rings.items():
            self.routing.join(name, ring)

    def _ring(self, name: str) -> Keyring:
        profile = Profile(name=name, base_url="https://p.example/v1")
        return Keyring(profile, (), concurrency=None, now=lambda: self.now, patience=1800.0)

    async def sent(self, name: str) -> Pass:
        """One request at a provider, over at once."""
        place = await self.rings[name].enter("m", 1, lambda: False)
        assert place is not None
        place.leave(self.now)
        return place

    async def down(self, name: str) -> Pass:
        """The provider fails as often as opens its breaker."""
        place = await self.sent(name)
        for _ in range(Breaker.THRESHOLD):
            place.line.breaker.failed(ServerError("503"), self.now)
        return place

    async def spent(self, name: str) -> None:
        """The provider has no money left."""
        self.rings[name].park((await self.sent(name)).gate, QuotaSpent("no money"))

    def going(self) -> list[str]:
        """Who takes jobs of the list now."""
        return [name for name in NAMES if ROUTE in self.routing.open_to(name, self.now)]


async def test_jobs_go_to_the_first_of_their_list_while_it_serves() -> None:
    assert Night().going() == ["a"]


async def test_a_stopped_provider_leaves_its_jobs_to_the_next_and_that_one_to_the_next_again() -> None:
    night = Night()
    await night.spent("a")
    assert "b" in night.going()
    assert "c" not in night.going()
    await night.spent("b")
    assert "c" in night.going()


async def test_jobs_go_back_to_a_provider_that_returns() -> None:
    night = Night()
    place = await night.down("a")
    assert night.going() == ["a"]
    night.now += DOWN_AFTER
    # Both: the first one is still asked now and then whether it is back.
    assert night.going() == ["a", "b"]
    place.served(night.now)
    assert night.going() == ["a"]


async def test_a_lane_that_left_is_no_reason_to_wait_unless_its_provider_gave_out() -> None:
    night = Night()
    assert night.routing.with_("b", night.now) == [ROUTE, "b"]
    night.routing.leave("a", gone=False)
    # The budget is reached there: nobody takes over, so nobody waits for these jobs.
    assert night.routing.with_("b", night.now) == ["b"]
    night.routing.leave("a", gone=True)
    assert night.routing.with_("b", night.now) == [ROUTE, "b"]
    assert "b" in night.going()


async def test_a_provider_is_missed_only_where_no_other_of_a_list_goes_on() -> None:
    night = Night()
    night.routing.leave("a", gone=True)
    assert not night.routing.stranded("a")
    night.routing.leave("b", gone=True)
    assert night.routing.stranded("b")
    assert not night.routing.stranded("a")
    night.routing.leave("c", gone=True)
    assert night.routing.stranded("a")


async def test_a_job_that_was_turned_away_has_the_rest_of_its_list_left() -> None:
    night = Night()
    job = Job(id="x", prompt="p", provider=NAMES, model="m")
    pending = PendingJob(
        key=1, job=job, have=0, tries=0, round=1, last_error=None, repeats=0, unanswered_key=None, route=NAMES
    )
    assert night.routing.turned_away(pending, "a") == ("b", "c")
    assert "b > c" in night.routing.open_to("b", night.now)


async def test_where_jobs_went_is_told_with_the_reason() -> None:
    night = Night()
    await night.spent("a")
    for key in (1, 2, 2):
        job = Job(id="x", prompt="p", provider=NAMES, model="m")
        pending = PendingJob(
            key=key, job=job, have=0, tries=0, round=1, last_error=None, repeats=0, unanswered_key=None, route=NAMES
        )
        night.routing.sent(pending, "b", night.now)
    assert night.routing.told() == ("a is out of credit (no money): 2 jobs went to b",)
    assert night.routing.note("a") == "2 jobs went to b"
    assert night.routing.note("b") is None
