"""The file names that `output.path` gives to the jobs of a manifest: who meets whom, and what is missing in them. Pure.

Nothing is kept of a name but its place in `Seen`.
"""

from __future__ import annotations

from batchgen.images.naming import FROM_JOB, PLACEHOLDERS, names_apart, placeholders, templated, values_of
from batchgen.manifest.problems import Place, Problems
from batchgen.manifest.seen import Seen
from batchgen.manifest.words import nearest, shortened
from batchgen.model import Job


class FileNames:
    """One pass over the jobs, in their order."""

    def __init__(self, template: str | None) -> None:
        """`template` None: every file is named by its job's id, which is its own."""
        self._template = template
        self._placeholders = tuple(dict.fromkeys(placeholders(template or "")))
        # What is no word of ours is meant to be in some job's `meta`.
        self._unmet = {name for name in self._placeholders if name not in PLACEHOLDERS and "." not in name}
        self._seen = Seen()
        self._jobs = 0

    def of(self, like: Job, name: str, prompt: str) -> tuple[bool, tuple[str, ...]]:
        """Whether an earlier job takes one of this one's file names, and what there is to say of its names.

        The job is `like` with that id and prompt.
        """
        if not self._template:
            return False, ()
        job = like.named(name, prompt)
        absent = [name for name in self._placeholders if _absent(name, job)]
        warnings = [f"no {name} for output.path: 'none' stands in the file name" for name in absent]
        apart = False
        if not names_apart(self._template):
            self._jobs += 1
            for position in range(job.n):
                values = values_of(job, provider=job.provider[0], position=position, date="")
                # Case-folded: many file systems take Cat.png and cat.png for one.
                name = templated(self._template, values).casefold()
                apart |= self._seen.first(name, self._jobs) != self._jobs
        if apart:
            warnings.append("output.path gives an earlier job's file name: the job's id is added to it")
        return apart, tuple(warnings)

    def met(self, job: Job) -> None:
        """Note the names in a job's `meta`, also in one that has mistakes."""
        if self._unmet:
            self._unmet.difference_update(job.meta)

    def finish(self, place: Place, problems: Problems) -> None:
        """Tell the names that no job of the manifest had in its `meta`."""
        for name in sorted(self._unmet):
            close = nearest(name, PLACEHOLDERS)
            hint = f", did you mean '{{{close}}}'?" if close else ""
            said = f"'{shortened(self._template)}' has the unknown placeholder '{{{shortened(name)}}}'{hint}"
            problems.add(place, f"output.path {said}")


def _absent(placeholder: str, job: Job) -> bool:
    """Whether a placeholder names something that the job does not have."""
    if placeholder in FROM_JOB:
        return getattr(job, placeholder) is None
    return placeholder not in PLACEHOLDERS and job.meta.get(placeholder.removeprefix("meta.")) in (None, "")
