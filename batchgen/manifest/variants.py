"""The jobs that one row stands for: its matrices, its alternatives, and every `{name}` filled in. Pure.

They are made one at a time, when they are asked for; how many there are is known without making them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchgen.manifest.matrix import Axis, combinations, over, size, suffixed, word
from batchgen.manifest.prompts import Picked, parse
from batchgen.manifest.schema import JOB_KEYS
from batchgen.manifest.words import did_you_mean, shortened
from batchgen.model import Job, Json

_KEYS = frozenset(JOB_KEYS)
_OWN = ("ratio", "size", "quality", "output_format", "background")
"""Keys of the job itself that fill `{name}` where neither matrix nor `meta` has one."""

_FILLED = ("id", "prompt", "references", "mask", "after", "meta", *_OWN)
_ODD = re.compile(r"[\x00-\x1f\x7f\s]+")


@dataclass(frozen=True, slots=True)
class Variant:
    """One job of a row, with everything filled in, and what there is to say about that.

    `parent`: `after` as written, for a parent that the manifest's matrix does not multiply.
    """

    job: Job
    warnings: tuple[str, ...] = ()
    parent: str | None = None


def has_blanks(job: Job) -> bool:
    """Whether a job has a brace anywhere that `Variants` looks at; without one and a matrix it is itself."""
    return any("{" in text for text in (job.prompt, job.id, job.mask or "", job.after or "", *job.references))


class Variants:
    """Iterates over the jobs of a row; `count` is their number.

    Raises PromptMistake for a prompt that can't be meant so.
    """

    def __init__(self, job: Job, top: Sequence[Axis] = (), own: Sequence[Axis] = ()) -> None:
        """`top` is the manifest's matrix and `own` the job's, whose names win."""
        self._job = job
        self._axes = over(top, own)
        prompts = self._prompts()
        self._parsed = {text: parse(text) for text in prompts}
        others = [axis for axis in self._axes if "prompt" not in axis.names]
        self.count = size(others) * sum(self._parsed[text].count for text in prompts)
        # What an id says by itself is not said again behind it; a parent is multiplied by the top matrix alone.
        self._behind_id = self._unnamed(job.id, (name for axis in self._axes for name in axis.names))
        self._behind_after = self._unnamed(job.after or "", (name for axis in top for name in axis.names))
        self._warnings = self._said_of_all()

    def __iter__(self) -> Iterator[Variant]:
        for values in combinations(self._axes):
            changes = _changes(self._job, values)
            prompt = self._parsed[changes.get("prompt", self._job.prompt)]
            for index in range(prompt.count):
                yield self._variant(changes, values, prompt.pick(index))

    def _prompts(self) -> list[str]:
        """Each prompt that the matrix gives, one for each of its steps; else the job's own."""
        for axis in self._axes:
            if "prompt" in axis.names:
                place = axis.names.index("prompt")
                return [str(row[place] or "") for row in axis.rows]
        return [self._job.prompt]

    def _unnamed(self, text: str, names: Iterator[str]) -> tuple[str, ...]:
        """The matrix's names that a text does not name itself, in an order that no list decides."""
        return tuple(sorted(set(names) - parse(text, alternatives=False).names()))

    def _said_of_all(self) -> tuple[str, ...]:
        said = []
        for prompt in self._parsed.values():
            if prompt.unclosed is not None:
                never = shortened(prompt.unclosed, 30)
                said.append(f"'{never}' in the prompt is sent as it is: its brace is never closed")
        used = set().union(*(prompt.names() for prompt in self._parsed.values()))
        for text in (*self._job.references, self._job.mask or ""):
            used |= parse(text, alternatives=False).names()
        # Each value has a parent of its own, so that the requests differ.
        used.update(self._behind_after if self._job.after else ())
        for axis in self._axes:
            if len(axis.rows) > 1 and not _KEYS.intersection(axis.names) and not used.intersection(axis.names):
                name = axis.names[0]
                said.append(
                    f"matrix name '{name}' stands in no prompt or reference: its {len(axis.rows)} values "
                    f"make equal requests{did_you_mean(name, _KEYS)}"
                )
        return tuple(said)

    def _variant(self, changes: Mapping[str, Any], values: Mapping[str, Json], picked: Picked) -> Variant:
        told = dict.fromkeys(self._warnings)
        job = self._job
        # Any: each value was checked as its key's own kind when the row and its matrix were read.
        now: dict[str, Any] = {**{key: getattr(job, key) for key in _FILLED}, **changes}
        known = {**{key: now[key] for key in _OWN}, **now["meta"], **values}

        def fill(text: str, where: str, prompt: Picked | None = None) -> str:
            if prompt is None and "{" not in text:
                return text
            full, absent = (prompt or parse(text, alternatives=False).pick(0)).filled(known)
            for name in absent:
                told[f"{{{name}}} in {where} stays as it is: no meta key or matrix value of that name"] = None
            return full

        now["prompt"] = fill("", "the prompt", picked)
        now["references"] = tuple(fill(reference, "a reference") for reference in now["references"])
        if now["mask"]:
            now["mask"] = fill(now["mask"], "the mask")
        if now["id"]:
            words = [word(values[name]) for name in self._behind_id]
            now["id"] = suffixed(_one_line(fill(now["id"], "the id")), [*words, *map(word, picked.chosen)])
        parent = None
        if now["after"]:
            words = [word(values[name]) for name in self._behind_after]
            parent = _one_line(fill(now["after"], "'after'"))
            now["after"] = suffixed(parent, words)
        return Variant(replace(job, **now), tuple(told), parent)


def _changes(job: Job, values: Mapping[str, Json]) -> dict[str, Any]:
    """What a combination's values change: job keys are set, `meta` and `params` joined, other names go to `meta`."""
    changes: dict[str, Any] = {name: value for name, value in values.items() if name in _KEYS}
    for key, nothing in (("prompt", ""), ("n", 1)):
        if key in changes:
            changes[key] = changes[key] or nothing
    if "model" in changes:
        by_provider = changes["model"] if isinstance(changes["model"], dict) else {}
        changes |= {"model": "" if by_provider else changes["model"] or "", "models": by_provider}
    free = {name: value for name, value in values.items() if name not in _KEYS}
    if free or "meta" in changes:
        changes["meta"] = {**job.meta, **changes.get("meta", {}), **free}
    if "params" in changes:
        changes["params"] = {**job.params, **changes["params"]}
    return changes


def _one_line(text: str) -> str:
    return _ODD.sub(" ", text).strip()
