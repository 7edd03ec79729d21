"""Which job of a manifest edits whose image: the parents that are missing, the rings, and what a child's
fingerprint takes over from those before it. Pure.

Ids are kept as hashes, so that a long manifest with chains costs some hundred bytes a job, not its texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from batchgen.manifest.expand import descended
from batchgen.manifest.words import did_you_mean, shortened
from batchgen.model import Job

_SUGGESTED = 1000
"""So many ids are kept as text, to suggest the nearest for one that is misspelt."""

_NAMED = 8
"""So many jobs of a ring are named."""


class Outline(NamedTuple):
    """A job as its lineage sees it: its own fingerprint is empty where it has a mistake.

    `parent` takes the place of `after` where that is no job: a matrix does not multiply every parent.
    """

    id: str
    after: str | None
    n: int
    own: str
    parent: str | None = None


class Lineage:
    """Every job of a manifest by its id, with its own fingerprint and its parent's id."""

    def __init__(self, outlines: Iterable[Outline]) -> None:
        """`outlines`: all jobs, in any order."""
        self._own: dict[int, bytes] = {}
        self._parents: dict[int, tuple[str, str | None]] = {}
        self._counts: dict[int, int] = {}
        self._whole: dict[int, str] = {}
        self._roots: dict[int, str] = {}
        self._told: set[int] = set()
        self._names: list[str] = []
        for outline in outlines:
            key = hash(outline.id)
            self._own[key] = bytes.fromhex(outline.own)
            if outline.after is not None:
                self._parents[key] = (outline.after, outline.parent)
            if outline.n > 1:
                self._counts[key] = outline.n
            if len(self._names) < _SUGGESTED:
                self._names.append(outline.id)

    def parent(self, job_id: str) -> str | None:
        """The id of the job whose image this one edits."""
        after, otherwise = self._parents.get(hash(job_id), (None, None))
        known = otherwise is None or hash(after) in self._own or hash(otherwise) not in self._own
        return after if known else otherwise

    def problem(self, job: Job) -> str | None:
        """Why the job can't follow on its parent, or None. A ring is told once, by the first job asked about."""
        parent = self.parent(job.id) or ""
        if hash(parent) not in self._own:
            return f"after '{shortened(parent)}' is no job of this manifest{did_you_mean(parent, self._names)}"
        ring = self._ring(job.id)
        self.fingerprint(job.id)  # so that nobody goes along this line again
        if not ring or not self._told.isdisjoint(map(hash, ring)):
            return None
        self._told.update(map(hash, ring))
        shown = [*ring[:_NAMED], "…"] if len(ring) > _NAMED else [*ring, ring[0]]
        return f"'after' goes round in a ring: {' -> '.join(map(shortened, shown))}"

    def warning(self, job: Job) -> str | None:
        """What is odd about the image that the job asks its parent for."""
        parent = self.parent(job.id) or ""
        asked = self._counts.get(hash(parent), 1)
        if job.after_image < asked:
            return None
        return (
            f"after: image {job.after_image} of '{shortened(parent)}' may not be there: "
            f"it asks for {asked}, and they count from 0"
        )

    def fingerprint(self, job_id: str) -> str:
        """The job's fingerprint with those of all that it descends from, as far as they are known."""
        line: dict[int, None] = {}
        name, key = job_id, hash(job_id)
        while key not in self._whole and key not in line and (parent := self.parent(name)) is not None:
            line[key] = None
            name, key = parent, hash(parent)
        whole = self._whole.get(key) or self._own.get(key, b"").hex()
        for key in reversed(line):
            whole = self._whole[key] = descended(self._own[key].hex(), whole)
        return whole

    def root(self, job_id: str) -> str:
        """The id at which the job's chain begins; in a ring, some id of it."""
        line: dict[int, None] = {}
        name, key = job_id, hash(job_id)
        while key not in self._roots and key not in line and (parent := self.parent(name)) is not None:
            line[key] = None
            name, key = parent, hash(parent)
        root = self._roots.get(key, name)
        self._roots.update(dict.fromkeys(line, root))
        return root

    def _ring(self, start: str) -> list[str]:
        """The ring that the line from `start` runs into, in the order of `after`; empty when there is none."""
        line: dict[int, str] = {}
        name: str | None = start
        while name is not None:
            key = hash(name)
            if key in self._whole:
                return []
            if key in line:
                names = list(line.values())
                return names[names.index(line[key]) :]
            line[key] = name
            name = self.parent(name)
        return []
