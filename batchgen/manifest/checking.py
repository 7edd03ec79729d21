"""Checks the rows of a manifest one by one and makes them entries: keys, ids, pictures, providers, models.

Nothing is kept of a row but a small hash of its id; what its kind has in common is found out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from pydantic import ValidationError

from batchgen.manifest.expand import asked, join_job, sent
from batchgen.manifest.filenames import FileNames
from batchgen.manifest.head import Written
from batchgen.manifest.ids import Ids
from batchgen.manifest.kinds import Kind, KindKey, kind_key
from batchgen.manifest.lineage import Lineage, Outline
from batchgen.manifest.patterns import Patterns
from batchgen.manifest.problems import Fatal, Origin, Place, Problems
from batchgen.manifest.profiles import Lookup, ProfileMistake
from batchgen.manifest.prompts import PromptMistake
from batchgen.manifest.references import Pictures, hidden_picture
from batchgen.manifest.row import Row
from batchgen.manifest.schema import JOB_KEYS, JobRow
from batchgen.manifest.variants import Variant, Variants, has_blanks
from batchgen.manifest.wording import job_problem
from batchgen.manifest.words import LISTED, known_or, nearest
from batchgen.model import Entry, Job
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.providers.shape import check, shape


@dataclass(frozen=True, slots=True)
class Overrides:
    """The run's `--provider` and `--model`, which take the place of every job's own."""

    provider: str | None = None
    model: str | None = None


MOST_MULTIPLIED: Final = 10_000_000
"""Jobs that matrices and alternatives of one manifest may make: more is a slip of the pen."""

MOST_KINDS: Final = 1000
"""Kinds of job that are remembered at a time."""


class _Found(NamedTuple):
    """A job of a row: `like` is it but for id and prompt."""

    id: str
    prompt: str
    like: Job
    kind: Kind
    variant: Variant


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
        self._matrix = written.head.matrix.axes() if written.head.matrix else ()
        self._matrix_keys = {name for axis in self._matrix for name in axis.names}
        self._multiplied = 0
        self._kinds: dict[KindKey, Kind] = {}
        self._patterns = Patterns[tuple[Job, Kind, Variant]]()
        self._ids = Ids(problems)
        self._names = FileNames(written.head.output.path if written.head.output else None)

    def entries(self, row: Row, lineage: Callable[[], Lineage]) -> Iterator[Entry]:
        """The jobs of a row as entries, without those that have a mistake that leaves nothing to check.

        `lineage` is asked for when one of them edits the image of another.
        """
        for one in self._jobs(row):
            like, kind, warnings = one.like, one.kind, one.variant.warnings
            if like.after is not None:
                like = like.named(one.id, one.prompt)
                warnings += self._followed(row, like, lineage())
                parent = lineage().parent(one.id)
                like = like if like.after == parent else replace(like, after=parent)
            if kind.sent is None:
                continue
            content = kind.sent.fingerprint(one.prompt) if like.after is None else lineage().fingerprint(one.id)
            apart, about_name = self._names.of(like, one.id, one.prompt)
            warnings += kind.warnings + about_name
            yield Entry(one.id, one.prompt, like, content, f"{row.origin.shown}:{row.line}", warnings, apart)

    def outlines(self, row: Row) -> Iterator[Outline]:
        """The jobs of a row, those with a mistake too."""
        for one in self._jobs(row):
            own = one.kind.sent.fingerprint(one.prompt, one.like.after) if one.kind.sent else ""
            yield Outline(one.id, one.like.after, one.like.n, own, one.variant.parent)

    def _followed(self, row: Row, job: Job, lineage: Lineage) -> tuple[str, ...]:
        """Look at the job's parent; returns what to warn of."""
        if problem := lineage.problem(job):
            self._problems.add(self._place(row, "after"), problem)
        warning = lineage.warning(job)
        return (warning,) if warning else ()

    def _jobs(self, row: Row) -> Iterator[_Found]:
        """The jobs of a row, each with its id, what it shares with its kind, and what it came from."""
        words = row.words()
        if words and (known := self._patterns.find(words)):
            like, kind, variant = known
            name = self._ids.of(row, 0, kind.asked, (words.id, words.prompt, like.after))
            yield _Found(name, words.prompt, like, kind, variant)
            return
        told = len(self._problems)
        parsed, doubtful = self._parse(row)
        base = join_job(parsed, self._defaults, self._written.head.provider)
        for number, variant in enumerate(self._variants(row, parsed, base)):
            job = variant.job
            self._names.met(job)
            if not job.prompt.strip() and "prompt" not in doubtful:
                self._missing(row, "prompt", "")
            kind = self._kind(row, job, doubtful)
            name = self._ids.of(row, number, kind.asked, (job.id, job.prompt, job.after))
            yield _Found(name, job.prompt, kind.filled_in(job, name), kind, variant)
            plain = job is base and not doubtful and len(self._problems) == told
            if plain and words and job.id == words.id:
                self._patterns.learn(words, (kind.filled_in(job, name), kind, variant))

    def finish(self) -> None:
        """Tell what only the whole manifest shows: names in `output.path` that no job has."""
        if self._defaults.meta and (text := hidden_picture(self._defaults.meta, "meta")):
            self._problems.add(self._written.place("defaults", "meta"), text)
        self._names.finish(self._written.place("output", "path"), self._problems)

    def _variants(self, row: Row, parsed: JobRow, job: Job) -> Iterable[Variant]:
        """The row's jobs, made one at a time."""
        written = parsed.model_fields_set
        own = parsed.matrix if "matrix" in written else self._defaults.matrix
        # A matrix written as null takes back the manifest's.
        top = () if "matrix" in written and own is None else self._matrix
        if not top and own is None and not has_blanks(job):
            return (Variant(job),)
        try:
            variants = Variants(job, top, own.axes() if own else ())
        except PromptMistake as mistake:
            self._problems.add(self._place(row, "prompt"), f"prompt {mistake}")
            return ()
        self._multiplied += variants.count if variants.count > 1 else 0
        if self._multiplied > MOST_MULTIPLIED:
            # A count may have more digits than Python writes, let alone a line.
            power = int(variants.count.bit_length() * 0.30103)
            count = f"{variants.count:,}" if power < 15 else f"about 10^{power}"
            text = f"{row.name} makes {count} jobs: a manifest may multiply to {MOST_MULTIPLIED:,}"
            raise Fatal(self._place(row, "matrix" if top or own else "prompt"), text)
        return variants

    def _kind(self, row: Row, job: Job, doubtful: set[str]) -> Kind:
        """What is known of jobs like this one, found out now if it is the first."""
        key = kind_key(job)
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

    def _new_kind(self, row: Row, job: Job, doubtful: set[str]) -> Kind:
        written = job
        job = self._with_pictures(row, job)
        if job.models:
            # The model at the first provider stands for the job.
            job = replace(job, model=next((job.models.get(name, "") for name in job.provider), ""))
        base = asked(job, self._pictures.digests)
        job, profiles = self._with_provider(row, job, doubtful)
        if not profiles:
            return Kind(job, base)
        simulated = profiles[0].base_url == SIMULATED
        for profile in profiles if job.references else ():
            for loc, text in self._pictures.misfits(written, profile, job.at(profile.name).model):
                self._problems.add(self._place(row, *loc), text)
        content = sent(job, simulated, self._pictures.as_sent(written, profiles[0].bounds(job.model)))
        large = self._pictures.remarks(written, profiles[0])
        return Kind(job, base, content, (*self._warnings(row, job, profiles), *large))

    def _parse(self, row: Row) -> tuple[JobRow, set[str]]:
        """The row's values, without those that are wrong; and the keys that it may have meant."""
        try:
            parsed = JobRow.model_validate(row.values)
            if parsed.meta and (text := hidden_picture(parsed.meta, "meta")):
                self._problems.add(self._place(row, "meta"), text)
            return parsed, set(row.header.doubtful if row.header else ())
        except ValidationError as error:
            errors = error.errors(include_url=False)
        doubtful = set(row.header.doubtful if row.header else ())
        for found in errors:
            loc = found["loc"]
            unknown = found["type"] == "extra_forbidden"
            self._problems.add(row.place(loc, on_key=unknown), job_problem(found, row.name))
            doubtful.add(str(loc[0]))
            if unknown:
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
        """Where a value of the job was written: in a matrix, in its row, else in the manifest's defaults or top."""
        key, own, written = loc[0], row.values.get("matrix"), self._written
        if isinstance(own, dict) and key in own:
            return row.place(("matrix", key))
        if ("matrix" not in row.values or own is not None) and key in self._matrix_keys:
            return written.place("matrix", key)
        if key in row.values:
            return row.place(loc)
        if key in self._defaults.model_fields_set:
            return written.place("defaults", *loc)
        # `place` gives the file alone where the manifest's top has no such key.
        top = written.place(*loc) if key in ("provider", "matrix") else row.start
        return top if top.line else row.start

    def _with_pictures(self, row: Row, job: Job) -> Job:
        """The job with resolved references. Each picture is looked at, so that its digest is known."""
        for loc, text in self._pictures.problems(job):
            self._problems.add(self._place(row, *loc), text)
        return self._pictures.resolved(job)

    def _with_provider(self, row: Row, job: Job, doubtful: set[str]) -> tuple[Job, list[Profile]]:
        """The job with the providers and the models that it will be sent to, and their profiles."""
        names = (self._overrides.provider,) if self._overrides.provider else job.provider
        if not names and "provider" not in doubtful:
            self._missing(row, "provider", ": name one in the manifest, or with --provider")
        profiles = [profile for name in names if (profile := self._profile(row, name))]
        models = self._models(row, job, profiles)
        if profiles and not all(models.values()) and "model" not in doubtful:
            lacking = next(name for name, model in models.items() if not model)
            self._missing(row, "model", "" if len(names) == 1 else f" for provider '{lacking}'")
        if len(profiles) < len(names) or not profiles or not all(models.values()):
            return job, []
        first = models[names[0]]
        others = {name: model for name, model in models.items() if model != first}
        return replace(job, provider=names, model=first, models=others), profiles

    def _models(self, row: Row, job: Job, profiles: list[Profile]) -> dict[str, str]:
        """The job's model at each provider, "" where there is none."""
        if self._overrides.model:
            return {profile.name: self._overrides.model for profile in profiles}
        for name in job.models:
            if problem := self._lookup.problem(name):
                self._problems.add(self._place(row, "model", name), f"model of {problem}")
        if not job.models and job.model:
            return {profile.name: job.model for profile in profiles}
        found = {profile.name: job.models.get(profile.name) or profile.default_model or "" for profile in profiles}
        # Nobody said anything of models: one that has no default is asked for the first one's.
        first = next(iter(found.values()), "")
        return found if job.models else {name: model or first for name, model in found.items()}

    def _profile(self, row: Row, name: str) -> Profile | None:
        try:
            return self._lookup.find(name)
        except ProfileMistake as mistake:
            by_option = self._overrides.provider is not None
            place = Origin("--provider").at() if by_option else self._place(row, "provider")
            self._problems.add(place, str(mistake))
            return None

    def _warnings(self, row: Row, job: Job, profiles: list[Profile]) -> tuple[str, ...]:
        """Hold the job against the model's rules at each provider; the first one's warnings."""
        warnings: list[str] = []
        for profile in profiles:
            at = job.at(profile.name)
            rule = profile.rule(at.model)
            if rule is None and profile.strict_models:
                # A family such as `gpt-image-1*` is suggested by the name it begins with, if that is one.
                stems = (rule.pattern.removesuffix("*") for rule in profile.models)
                known = [stem for stem in stems if not stem.endswith("-")]
                text = f"provider '{profile.name}' has no model '{at.model}'{known_or(at.model, known, LISTED)}"
                self._problems.add(self._place(row, "model", profile.name), text)
                continue
            for text in check(at, rule, profile.endpoint, profile.name):
                self._problems.add(row.start, text)
            if profile is profiles[0]:
                warnings.extend(shape(at, rule, profile.endpoint).warnings)
        return tuple(warnings)
