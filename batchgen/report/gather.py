"""What the report tells, collected from the ledger in one pass: counts, times, sums, pictures, reasons. No I/O.

Memory stays small for a million jobs: times are plain arrays, pictures and failed jobs are kept up to a number.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchgen.export.choices import Condition, all_fit, value_of
from batchgen.ledger.records import AttemptRecord, JobRecord, OutputRecord
from batchgen.model import JobState, Outcome, OutputState
from batchgen.summary import Unfinished, Way, reason

MOST_PICTURES: Final = 5_000
"""So many are shown; of more, the first in the order of the manifest."""

MOST_IN_CELL: Final = 8
"""Pictures of one cell of a grid; what is more is counted."""

MOST_NAMED: Final = 100
"""So many failed jobs of one kind are shown one by one."""

_LONGEST_PROMPT: Final = 600


def _times() -> array[float]:
    return array("d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One saved picture. `groups` are its values of the keys that the user groups by."""

    id: str
    position: int
    prompt: str
    model: str
    provider: str
    ratio: str | None
    path: str
    store: str | None
    sha256: str
    width: int
    height: int
    groups: tuple[str, ...]


@dataclass(slots=True)
class Maker:
    """What one model of one provider did."""

    jobs: int = 0
    images: int = 0
    attempts: int = 0
    failed: int = 0
    cost: float | None = None
    seconds: array[float] = field(default_factory=_times)


@dataclass(slots=True)
class Reason:
    """Jobs that are not done for one kind of reason; `named` are the first: id, prompt, why."""

    count: int = 0
    named: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Timeline:
    """When things happened, epoch seconds; a second array of the same length holds how much."""

    saved: array[float] = field(default_factory=_times)
    answered: array[float] = field(default_factory=_times)
    seconds: array[float] = field(default_factory=_times)
    paid: array[float] = field(default_factory=_times)
    cost: array[float] = field(default_factory=_times)
    errors: dict[str, array[float]] = field(default_factory=dict)


class Facts:
    """Takes the jobs one by one. `askable`: providers that can be asked for a task."""

    def __init__(
        self, group_by: Sequence[str], where: Sequence[Condition], askable: Collection[str], now: float
    ) -> None:
        self.group_by = tuple(group_by)
        self._where = where
        self._unfinished = Unfinished(askable, now)
        self.states = Counter[JobState]()
        self.outputs = Counter[OutputState]()
        self.attempts = 0
        self.cost: float | None = None
        self.bytes = 0
        self.makers: dict[tuple[str, str], Maker] = {}
        self.timeline = Timeline()
        self.pictures: list[Shot] = []
        self.hidden = Counter[tuple[str, ...]]()
        """Pictures that their cell of a grid has no room for, by the values of its keys."""
        self._cells = Counter[tuple[str, ...]]()
        self.reasons: dict[tuple[JobState, str, Way], Reason] = {}

    @property
    def jobs(self) -> int:
        """All jobs that fit."""
        return self.states.total()

    def add(self, record: JobRecord) -> None:
        """Take one job, if it fits."""
        if not all_fit(self._where, record):
            return
        self.states[record.state] += 1
        maker = self._maker(record, record.provider)
        maker.jobs += 1
        for attempt in record.attempts:
            self._attempt(record, attempt)
        for output in record.outputs:
            self._output(record, output, maker)
        if record.state is not JobState.DONE:
            self._reason(record)

    def _maker(self, record: JobRecord, provider: str) -> Maker:
        return self.makers.setdefault((provider, record.job.at(provider).model), Maker())

    def _attempt(self, record: JobRecord, attempt: AttemptRecord) -> None:
        maker = self._maker(record, attempt.provider)
        self.attempts += 1
        maker.attempts += 1
        at = attempt.finished_at or attempt.started_at
        if attempt.outcome is Outcome.SUCCEEDED:
            took = max(0.0, at - attempt.started_at)
            maker.seconds.append(took)
            self.timeline.answered.append(at)
            self.timeline.seconds.append(took)
        elif attempt.error is not None:
            maker.failed += 1
            self.timeline.errors.setdefault(attempt.error.kind, _times()).append(at)
        if attempt.cost is not None:
            self.cost = (self.cost or 0.0) + attempt.cost
            maker.cost = (maker.cost or 0.0) + attempt.cost
            self.timeline.paid.append(at)
            self.timeline.cost.append(attempt.cost)

    def _output(self, record: JobRecord, output: OutputRecord, maker: Maker) -> None:
        self.outputs[output.state] += 1
        if output.state is not OutputState.SAVED or output.path is None or output.sha256 is None:
            return
        maker.images += 1
        self.bytes += output.bytes or 0
        if output.settled_at is not None:
            self.timeline.saved.append(output.settled_at)
        if len(self.pictures) >= MOST_PICTURES:
            return
        groups = tuple(shortened(value_of(record, key) or "–", 80) for key in self.group_by)
        if len(groups) > 1:
            if self._cells[groups] == MOST_IN_CELL:
                self.hidden[groups] += 1
                return
            self._cells[groups] += 1
        job = record.job
        shot = Shot(
            id=job.id,
            position=output.position,
            prompt=shortened(job.prompt),
            model=job.at(record.provider).model,
            provider=record.provider,
            ratio=job.size or job.ratio,
            path=output.path,
            store=output.store,
            sha256=output.sha256,
            width=output.width or 1,
            height=output.height or 1,
            groups=groups,
        )
        self.pictures.append(shot)

    def _reason(self, record: JobRecord) -> None:
        error = record.error or (record.attempts[-1].error if record.attempts else None)
        key = (record.state, error.kind if error else "", self._unfinished.way(record))
        found = self.reasons.setdefault(key, Reason())
        found.count += 1
        if len(found.named) < MOST_NAMED:
            found.named.append((record.id, shortened(record.job.prompt, 200), reason(record)))


def shortened(text: str, longest: int = _LONGEST_PROMPT) -> str:
    """The text in one line, cut with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
