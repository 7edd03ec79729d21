"""Jobs that are not done for the same reason, told together: how many, why, and which.

Text only. Reasons that differ in numbers and ids alone count as one; however many jobs there are, little is kept.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

NAMED = 20
"""So many jobs of one reason are named; of more, only the count is told."""

TOLD = 8
"""So many reasons are told, those with the most jobs first."""

KEPT = 100
"""So many reasons are kept apart; jobs with yet another one are only counted."""

_WIDTH = 110
_VARYING = re.compile(r"\b(?=[\w-]*\d)[\w-]{12,}\b|\d+")
"""What differs from one job to the next in what is otherwise the same message: ids and numbers."""


@dataclass(slots=True)
class _Reason:
    words: str
    count: int = 0
    ids: list[str] = field(default_factory=list)


class Reasons:
    """Collects jobs by why they are not done."""

    def __init__(self) -> None:
        self.count = 0
        """all jobs that were added"""
        self._reasons: dict[str, _Reason] = {}

    def add(self, job_id: str, words: str) -> None:
        """Take one job and why it is not done, in a line; empty: nothing is known of that."""
        self.count += 1
        alike = _VARYING.sub("#", words)
        if alike not in self._reasons and len(self._reasons) >= KEPT:
            return
        reason = self._reasons.setdefault(alike, _Reason(words))
        reason.count += 1
        if len(reason.ids) < NAMED:
            reason.ids.append(job_id)

    def more(self, count: int) -> None:
        """Count jobs that nothing is known of."""
        self.count += count
        self._reasons.setdefault("", _Reason("")).count += count

    def lines(self) -> Iterator[str]:
        """A line for a job that is alone with its reason, else one for the reason and the names below it."""
        told = self._told()
        single = [reason for reason in told if reason.count == 1]
        width = max((len(reason.ids[0]) for reason in single), default=0)
        for reason in told:
            if reason.count == 1:
                yield f"  {reason.ids[0]:<{width}}  {reason.words}".rstrip()
                continue
            if reason.words:
                yield f"  {reason.count} jobs: {reason.words}"
            elif len(told) > 1:
                yield f"  {reason.count} jobs"
            yield from _names(reason, 4 if reason.words or len(told) > 1 else 2)
        if more := self.count - sum(reason.count for reason in told):
            yield f"  and {more} more, each for another reason"

    @property
    def whole(self) -> bool:
        """Whether `lines` names every job."""
        return self.count == sum(len(reason.ids) for reason in self._told())

    def _told(self) -> list[_Reason]:
        return sorted(self._reasons.values(), key=lambda reason: -reason.count)[:TOLD]


def _names(reason: _Reason, indent: int) -> Iterator[str]:
    if not reason.ids:
        return
    names = ", ".join(reason.ids) + (", …" if reason.count > len(reason.ids) else "")
    gap = " " * indent
    yield from textwrap.wrap(
        names, _WIDTH, initial_indent=gap, subsequent_indent=gap, break_long_words=False, break_on_hyphens=False
    )
