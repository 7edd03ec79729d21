"""Keeps a batch within `max_cost`: what may be billed is set aside before a request leaves, never after.

Amounts are whole millionths of the price list's currency. The budget is that of the workspace, over
all of its runs: what the ledger says was paid, or may have been, is spent already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from batchgen.errors import UsageError
from batchgen.ledger.records import OpenAttempt, Status, Unpriced
from batchgen.ledger.store import Ledger
from batchgen.limiter import Bell
from batchgen.model import Settings
from batchgen.providers.costs import PriceList, no_price
from batchgen.providers.prices import currency, exact, money_text
from batchgen.providers.profile import Profile
from batchgen.stop import BUDGET_REACHED


class Budget:
    """What may still be spent. With `limit` None nothing is ever refused, and costs are only added up."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.reached: str | None = None
        """why a job was not sent, in plain words"""
        self.paid = 0
        """of this run"""
        self._spent = 0
        self._aside = 0
        self._flying = 0
        self._waiting: set[Bell] = set()

    def begin(self, status: Status, found: Iterable[OpenAttempt]) -> None:
        """Start from what the ledger says; the attempts `found` open are asked for and may still be free."""
        for attempt in found:
            self._flying += 1
            self._aside += exact(attempt.reserved or 0.0)
        # What is aside for them is among what is unsettled.
        self._spent = exact(status.cost + status.unsettled_cost) - self._aside

    async def take(self, most: int | None, bell: Bell, closed: Callable[[], bool]) -> bool:
        """Set aside what a request may cost at most, waiting for others to come back cheaper.

        False: it can't be afforded, which `reached` then says, or `closed` became true meanwhile.
        `bell` is rung whenever it is worth another look. `most` None: no price is known.
        """
        amount = most or 0
        while not closed():
            seen = bell.rings
            if self.limit is None or self._spent + self._aside + amount <= self.limit:
                self._aside += amount
                self._flying += 1
                return True
            if not self._flying:
                self.reached = self._words(amount, self.limit)
                return False
            self._waiting.add(bell)
            await bell.wait(seen)
        return False

    def again(self, most: int | None) -> None:
        """A request that counted as perhaps billed is asked about once more: it may be free after all."""
        self._flying += 1
        self._aside += most or 0
        self._spent -= most or 0

    def settle(self, most: int | None, cost: int | None, *, perhaps: bool = False) -> None:
        """A request is over: it cost so much, or nothing; with `perhaps` nobody knows, so all of it is spent."""
        self._flying -= 1
        self._aside -= most or 0
        self._spent += (most or 0) if perhaps else (cost or 0)
        self.paid += cost or 0
        while self._waiting:
            self._waiting.pop().ring()

    def _words(self, amount: int, limit: int) -> str:
        spent, cost, most = (money_text(currency(one)) for one in (self._spent, amount, limit))
        return (
            f"{BUDGET_REACHED}: {spent} of {most} is spent or may have been billed, and the next request may "
            f"cost {cost}; a higher max_cost continues"
        )


def no_late_price(profiles: Mapping[str, Profile], late: Unpriced) -> str | None:
    """The line for what was sent earlier and still has no price; None when today's lists have one."""
    profile = profiles.get(late.provider)
    if profile is not None:
        return no_price(profile, late.job.model)
    return (
        f"max_cost can't be kept: earlier images came from '{late.provider}', which the manifest no longer names; "
        f"write providers.{late.provider} with its prices again"
    )


async def prepare(ledger: Ledger, profiles: Mapping[str, Profile], settings: Settings) -> Budget:
    """The budget of a run. Under a `max_cost` nothing is sent before all that was, or will be, has a price.

    What was sent when no price was known gets today's. Raises `UsageError` with one line for each
    model that has none.
    """
    if settings.max_cost is None:
        return Budget(None)
    missing: dict[str, None] = {}
    sending = await ledger.reader.to_send()
    for provider, model in sending:
        if line := no_price(profiles[provider], model):
            missing[line] = None
    async for late in ledger.reader.unpriced():
        if line := no_late_price(profiles, late):
            missing[line] = None
        else:
            prices = PriceList(profiles[late.provider])
            most = prices.worst(late.job, late.job.n)
            cost = None if late.images is None else prices.charge(late.job, late.images, late.usage)
            await ledger.price(late, currency(cost), currency(most))
    if missing and sending:
        raise UsageError("\n".join(missing))
    return Budget(exact(settings.max_cost))
