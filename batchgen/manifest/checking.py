"""Checks the rows of a manifest one by one and makes them entries: keys, ids, pictures, providers, models.

Nothing is kept of a row but a small hash of its id; what its kind has in common is found out once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final, TypeAlias

from pydantic import ValidationError

from batchgen.images.naming import names_apart, placeholders, templated, values_of
from batchgen.manifest.expand import Content, asked, fill_job, join_job, numbered, sent
from batchgen.manifest.head import Written
from batchgen.manifest.problems import Origin, Place, Problems
from batchgen.manifest.profiles import Lookup, ProfileMistake
from batchgen.manifest.references import Pictures, named
from batchgen.manifest.schema import JOB_KEYS, JobRow
from batchgen.manifest.seen import Seen
from batchgen.manifest.sources import Row
from batchgen.manifest.wording import job_problem
from batchgen.manifest.words import did_you_mean, nearest, shortened
from batchgen.model import Entry, Job
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.providers.shape import check, shape


@dataclass(frozen=True, slots=True)
class Overrides:
    """The run's `--provider` and `--model`, which take the place of every job's own."""

    provider: str | None = None
    model: str | None = None


MOST_KINDS: Final = 1000
"""Kinds of job that are remembered at a time."""

_LONG: Final = 1000
_KindKey: TypeAlias = tuple[object, ...]
# Every key of a job but `id`, `prompt` and `meta`, and but `params`, which is seldom the same twice.
_kind_values = attrgetter(
    "provider", "model", "n", "ratio", "size", "quality", "output_format", "output_compression", "background",
    "references", "mask", "after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Kind:
    """What jobs share that differ in id, prompt and meta alone: found out once, whatever their number.

    `job` is one of them with its pictures, provider and model found; `sent` None: it can't be sent.
    """

    job: Job
    asked: Content
    sent: Content | None = None
    warnings: tuple[str, ...] = ()

    def filled_in(self, job: Job, name: str) -> Job:
        """A job of this kind with its id and what was found."""
        own = self.job
        if (
            job.id == name
            and job.model == own.model
            and job.provider == own.provider
            and job.references == own.references
            and job.mask == own.mask
        ):
            return job
        return replace(
            job, id=name, provider=own.provider, model=own.model, references=own.references, mask=own.mask
        )


def _kind_key(job: Job) -> _KindKey | None:
    """What tells kinds apart; None for a job that is a kind of its own."""
    if job.params or any(len(reference) > _LONG for reference in job.references) or len(job.mask or "") > _LONG:
        return None
    values: _KindKey = _kind_values(job)
    return values


class Checker:
    """One pass over the rows. Mistakes go to the collector."""

    def __init__(
        self, written: Written, lookup: Lookup, pictures: Pictures, overrides: Overrides, problems: Problems
    ) -> None:
        self._written = written
        self._defaults = written.head.defaults or JobRow()
        self._lookup = lookup
        self._pictures = pictures
        self._overrides = overrides
        self._problems = problems
        self._kinds: dict[_KindKey, _Kind] = {}
        self._ids = Seen()
        self._counts: dict[int, int] = {}
        self._names = Seen()
        self._named_jobs = 0

    def entry(self, row: Row) -> Entry | None:
        """The row as an entry, or None when it has a mistake that leaves nothing to check."""
        parsed, doubtful = self._parse(row)
        job, unfilled = fill_job(join_job(parsed, self._defaults, self._written.head.provider))
        if not job.prompt and "prompt" not in doubtful:
            self._missing(row, "prompt", "")
        if job.after is not None:
            self._problems.add(self._place(row, "after"), "'after' is not supported yet")
        kind = self._kind(row, job, doubtful)
        job = kind.filled_in(job, self._id(row, job, kind.asked))
        if kind.sent is None:
            return None
        apart, about_name = self._named(job)
        return Entry(
            job=job,
            fingerprint=kind.sent.fingerprint(job.prompt),
            place=_line(row.start),
            warnings=(*unfilled, *kind.warnings, *about_name),
            apart=apart,
        )

    def _kind(self, row: Row, job: Job, doubtful: set[str]) -> _Kind:
        """What is known of jobs like this one, found out now if it is the first."""
        key = _kind_key(job)
        if key is None or doubtful:
            return self._new_kind(row, job, doubtful)
        kind = self._kinds.get(key)
        if kind is None:
            told = len(self._problems)
            kind = self._new_kind(row, job, doubtful)
            if len(self._problems) == told:  # else the next one is to be told too, at its own place
                if len(self._kinds) == MOST_KINDS:
                    self._kinds.clear()
                self._kinds[key] = kind
        return kind

    def _new_kind(self, row: Row, job: Job, doubtful: set[str]) -> _Kind:
        job = self._with_pictures(row, job)
        base = asked(job, self._pictures.digests)
        job, profiles = self._with_provider(row, job, doubtful)
        if not profiles:
            return _Kind(job, base)
        simulated = profiles[0].base_url == SIMULATED
        content = sent(job, simulated, self._pictures.digests)
        return _Kind(job, base, content, self._warnings(row, job, profiles))

    def _parse(self, row: Row) -> tuple[JobRow, set[str]]:
        """The row's values, without those that are wrong; and the keys that it may have meant."""
        try:
            return JobRow.model_validate(row.values), set(row.header.doubtful if row.header else ())
        except ValidationError as error:
            errors = error.errors(include_url=False)
        doubtful = set(row.header.doubtful if row.header else ())
        for found in errors:
            loc = found["loc"]
            unknown = found["type"] == "extra_forbidden"
            self._problems.add(row.place(loc, on_key=unknown), job_problem(found, row.name))
            doubtful.add(str(loc[0]))
            doubtful.add(nearest(str(loc[0]), JOB_KEYS) or "")
        rest = {key: value for key, value in row.values.items() if key not in doubtful}
        return JobRow.model_validate(rest), doubtful

    def _missing(self, row: Row, key: str, advice: str) -> None:
        """A key that the job can't do without: told once for a table that has no such column."""
        if row.header and key not in row.header.keys:
            place = row.origin.at(row.header.line)
            self._problems.add(place, f"no column '{key}'{advice}")
        else:
            self._problems.add(row.start, f"{row.name} has no {key}{advice}")

    def _place(self, row: Row, *loc: str | int) -> Place:
        """Where a value of the job was written: in its row, else in the manifest's defaults."""
        if loc[0] in row.values:
            return row.place(loc)
        if self._defaults and loc[0] in self._defaults.model_fields_set:
            return self._written.place("defaults", *loc)
        return row.start

    def _with_pictures(self, row: Row, job: Job) -> Job:
        """The job with resolved references. Each picture is looked at, so that its digest is known."""
        for index, reference in enumerate(job.references):
            trouble = self._pictures.problem(reference)
            if trouble:
                place = self._place(row, "references", index)
                self._problems.add(place, f"reference '{named(reference)}' {_joined(trouble)}")
        if job.mask:
            trouble = self._pictures.problem(job.mask, mask=True)
            if trouble:
                self._problems.add(self._place(row, "mask"), f"mask '{named(job.mask)}' {_joined(trouble)}")
        if not job.references and not job.mask:
            return job
        resolve = self._pictures.resolve
        mask = resolve(job.mask) if job.mask else None
        return replace(job, references=tuple(map(resolve, job.references)), mask=mask)

    def _id(self, row: Row, job: Job, content: Content) -> str:
        """The job's id, noted so that a second one like it is found."""
        here = row.place(("id",))
        packed = _packed(here)
        if job.id:
            first = self._ids.first(job.id, packed)
            if first != packed:
                place = row.origin.at(*_unpacked(first))
                self._problems.add(here, f"duplicate id '{shortened(job.id)}', first at {place}")
            return job.id
        base = content.derived_id(job.prompt)
        count = self._counts.get(hash(base), 0) + 1
        while self._ids.first(numbered(base, count), packed) != packed:
            count += 1
        if count > 1:
            # Only what repeats is counted, so that most rows cost one entry.
            self._counts[hash(base)] = count
        return numbered(base, count)

    def _named(self, job: Job) -> tuple[bool, tuple[str, ...]]:
        """Whether an earlier job takes one of this one's file names, and what there is to say of its names."""
        template = self._written.head.output and self._written.head.output.path
        if not template:
            return False, ()
        absent = [name for name in dict.fromkeys(placeholders(template)) if _absent(name, job)]
        warnings = [f"no {name} for output.path: 'none' stands in the file name" for name in absent]
        apart = False
        if not names_apart(template):
            self._named_jobs += 1
            for position in range(job.n):
                values = values_of(job, provider=job.provider[0], position=position, date="")
                # Case-folded: many file systems take Cat.png and cat.png for one.
                name = templated(template, values).casefold()
                apart |= self._names.first(name, self._named_jobs) != self._named_jobs
        if apart:
            warnings.append("output.path gives an earlier job's file name: the job's id is added to it")
        return apart, tuple(warnings)

    def _with_provider(self, row: Row, job: Job, doubtful: set[str]) -> tuple[Job, list[Profile]]:
        """The job with the provider and model that it will be sent to, and their profiles."""
        names = (self._overrides.provider,) if self._overrides.provider else job.provider
        if not names and "provider" not in doubtful:
            self._missing(row, "provider", ": name one in the manifest, or with --provider")
        profiles = [profile for name in names if (profile := self._profile(row, name))]
        model = self._overrides.model or job.model or (profiles[0].default_model if profiles else None)
        if profiles and not model and "model" not in doubtful:
            self._missing(row, "model", "")
        if len(profiles) < len(names) or not model:
            return job, []
        return replace(job, provider=names, model=model), profiles

    def _profile(self, row: Row, name: str) -> Profile | None:
        try:
            return self._lookup.find(name)
        except ProfileMistake as mistake:
            if self._overrides.provider:
                place = Origin("--provider").at()
            elif "provider" in row.values or "provider" in self._defaults.model_fields_set:
                place = self._place(row, "provider")
            else:
                place = self._written.place("provider")
            self._problems.add(place, str(mistake))
            return None

    def _warnings(self, row: Row, job: Job, profiles: list[Profile]) -> tuple[str, ...]:
        """Hold the job against the model's rules at each provider; the first one's warnings."""
        warnings: list[str] = []
        for profile in profiles:
            rule = profile.rule(job.model)
            if rule is None and profile.strict_models:
                # A family such as `gpt-image-1*` is suggested by the name it begins with, if that is one.
                stems = (rule.pattern.removesuffix("*") for rule in profile.models)
                known = [stem for stem in stems if not stem.endswith("-")]
                text = f"provider '{profile.name}' has no model '{job.model}'{did_you_mean(job.model, known)}"
                self._problems.add(self._place(row, "model"), text)
                continue
            for text in check(job, rule, profile.endpoint, profile.name):
                self._problems.add(row.start, text)
            if profile is profiles[0]:
                warnings.extend(shape(job, rule, profile.endpoint).warnings)
        return tuple(warnings)


def _joined(trouble: str) -> str:
    return f"({trouble})" if trouble == "no such file" else trouble


def _absent(placeholder: str, job: Job) -> bool:
    """Whether a placeholder names something that the job does not have."""
    if placeholder.startswith("meta."):
        return job.meta.get(placeholder.removeprefix("meta.")) in (None, "")
    return hasattr(job, placeholder) and getattr(job, placeholder) is None


def _line(place: Place) -> str:
    return f"{place.shown}:{place.line}"


def _packed(place: Place) -> int:
    return place.line << 20 | min(place.column, (1 << 20) - 1)


def _unpacked(packed: int) -> tuple[int, int]:
    return packed >> 20, packed & ((1 << 20) - 1)
