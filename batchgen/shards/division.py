"""Which shard of a batch a job belongs to, and which part of a stated amount a shard may use. Pure.

A job's shard follows from the id at the root of its chain alone: neither the order of the manifest nor
the machine changes it, and a job that is added moves no other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from batchgen.errors import UsageError
from batchgen.model import Settings
from batchgen.providers.prices import currency, exact
from batchgen.providers.profile import Limits

_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
# Another word than that of `export --split`, or a shard would hold jobs of one side of a split only.
_SALT = b"shard "


class Indivisible(Exception):
    """A stated amount that is too small to be divided; its text says of how many shards it could be."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` shards, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of `2/8`. Raises `UsageError`."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"--shard {text!r}: expected I/N, such as 2/8 for the second of eight")
        number, of = map(int, found.groups())
        if not 1 <= number <= of:
            raise UsageError(f"--shard {text}: the first number counts from 1 to the second")
        return cls(number, of)

    def has(self, root: str) -> bool:
        """Whether the jobs of the chain that begins with this id are in this shard."""
        digest = hashlib.sha256(_SALT + root.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1

    def part(self, whole: int) -> int:
        """This shard's part of an amount; the parts of all shards make the whole."""
        each, rest = divmod(whole, self.of)
        return each + (self.number <= rest)

    def limits(self, limits: Limits) -> Limits:
        """What is left of a provider's limits when every shard runs at the same time. Raises `Indivisible`.

        Whole numbers only: with a part of a request a minute each, the shards' first ones would come together.
        """
        return Limits(
            requests_per_minute=self._least(limits.requests_per_minute, "requests a minute"),
            images_per_minute=self._least(limits.images_per_minute, "images a minute"),
            concurrency=self._least(limits.concurrency, "requests at once"),
        )

    def settings(self, settings: Settings) -> Settings:
        """The run's own limits, divided likewise. Raises `Indivisible`."""
        money = settings.max_cost
        return replace(
            settings,
            concurrency=self._least(settings.concurrency, "requests at once"),
            max_cost=None if money is None else currency(self.part(exact(money))),
        )

    def _least(self, whole: float | None, what: str) -> int | None:
        if whole is None:
            return None
        if whole < self.of:
            most = f", at most {int(whole)}" if whole >= 1 else ""
            raise Indivisible(f"{whole:g} {what} can't be divided among {self.of} shards{most}")
        return self.part(int(whole))


@dataclass(frozen=True, slots=True)
class Shards:
    """Which shards of a division a workspace holds: one that was run, or some that were merged."""

    numbers: tuple[int, ...]
    of: int

    def __str__(self) -> str:
        return f"{','.join(map(str, self.numbers))}/{self.of}"

    @classmethod
    def noted(cls, text: str | None) -> Shards | None:
        """Of a ledger's note; None: it holds the whole batch."""
        if not text:
            return None
        numbers, _, of = text.partition("/")
        return cls(tuple(map(int, numbers.split(","))), int(of))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers that are not among them."""
        return tuple(number for number in range(1, self.of + 1) if number not in self.numbers)

    def with_others(self, others: Iterable[Shards]) -> Shards:
        """All of them together."""
        numbers = {*self.numbers, *(number for other in others for number in other.numbers)}
        return Shards(tuple(sorted(numbers)), self.of)

    def words(self) -> str:
        """`shard 2/8`, `shards 1, 2 and 4 of 8`, or `all 8 shards`."""
        return f"all {self.of} shards" if self.of > 1 and not self.missing else some(self.numbers, self.of)


def some(numbers: tuple[int, ...], of: int) -> str:
    """Shards by their numbers, for people."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}/{of}"
    return f"shards {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} of {of}"


def folder_name(manifest: str, shard: Shard | None) -> str:
    """The folder below `out` of a manifest's stem: `demo`, or `demo.shard-2-of-8`."""
    return manifest if shard is None else f"{manifest}.shard-{shard.number}-of-{shard.of}"
