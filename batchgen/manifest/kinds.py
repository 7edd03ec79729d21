"""Kinds of jobs: what those share that differ in id, prompt, parent and meta alone, found out once for all. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, TypeAlias

from batchgen.manifest.expand import Content
from batchgen.model import Job

_LONG: Final = 1000
KindKey: TypeAlias = tuple[object, ...]
# Every key of a job but `id`, `prompt`, `after` and `meta`, and but the mappings `params` and `models`.
_kind_values = attrgetter(
    "provider", "model", "n", "ratio", "size", "quality", "output_format", "output_compression", "background",
    "references", "mask", "after_image",
)  # fmt: skip

_FOUND: Final = ("provider", "model", "models", "references", "mask")
_found_values = attrgetter(*_FOUND)


@dataclass(frozen=True, slots=True)
class Kind:
    """What jobs share that differ in id, prompt, parent and meta alone: found out once, whatever their number.

    `job` is one of them with its pictures, provider and model found; `sent` None: it can't be sent.
    """

    job: Job
    asked: Content
    sent: Content | None = None
    warnings: tuple[str, ...] = ()

    def filled_in(self, job: Job, name: str) -> Job:
        """A job of this kind with its id and what was found."""
        found = _found_values(self.job)
        if job.id == name and _found_values(job) == found:
            return job
        return replace(job, id=name, **dict(zip(_FOUND, found, strict=True)))


def kind_key(job: Job) -> KindKey | None:
    """What tells kinds apart; None for a job that is a kind of its own."""
    if job.params or any(len(source) > _LONG for source in (*job.references, job.mask or "")):
        return None
    # Any child sends its parent's picture, whichever that is.
    return (*_kind_values(job), job.after is None, *job.models.items())
