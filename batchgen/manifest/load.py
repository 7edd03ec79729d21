"""Opens a manifest: reads its head, then streams its jobs one by one, checked and fingerprinted.

Reads files and nothing else: no network, no ledger, no environment. Every mistake is collected and
raised together. Memory does not grow with the jobs, but for one small hash an id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from batchgen.errors import UsageError
from batchgen.manifest.checking import Checker, Overrides
from batchgen.manifest.files import digest_now
from batchgen.manifest.head import Written, read_head
from batchgen.manifest.lineage import Lineage
from batchgen.manifest.problems import Fatal, Origin, Problems
from batchgen.manifest.profiles import Lookup, ProfileMistake
from batchgen.manifest.reading import same_words, words
from batchgen.manifest.references import Pictures
from batchgen.manifest.schema import OutputSection, SettingsSection
from batchgen.model import Entry, Json, LookedAt, OnUnknown, OutputRules, Settings
from batchgen.providers.profile import Profile
from batchgen.providers.twins import Night, without_links
from batchgen.shards.division import Indivisible, Shard
from batchgen.simulator.settings import parse_settings


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest whose head is right; its jobs are read by `entries`.

    `profiles` holds the providers that it defines and, after `entries` was exhausted, every other
    one that a job may go to. `digest` is the sha256 of the manifest's text and its job file's.
    """

    name: str
    path: Path
    digest: str
    settings: Settings
    profiles: Mapping[str, Profile]
    output: OutputRules
    night: Night | None = None
    """the kind of night that is rehearsed; None: this is the real thing"""
    shard: Shard | None = None
    """which part of the jobs `entries` brings; None: all of them"""
    _written: Written = field(repr=False)
    _lookup: Lookup = field(repr=False)
    _overrides: Overrides = field(repr=False)
    _pictures: Pictures = field(repr=False)

    @property
    def pictures(self) -> Mapping[str, LookedAt]:
        """The local pictures by path that the jobs refer to, after `entries` was exhausted."""
        return self._pictures.looks

    def reading(self) -> str | None:
        """What the jobs depend on, but for their pictures, after `entries` was exhausted.

        None when a file is no longer what it was when the manifest was opened.
        """
        if any(digest_now(path) != digest for path, digest in self._written.digests.items()):
            return None
        return words(self._decided(), self.profiles)

    def reads_as(self, noted: str) -> bool:
        """Whether `entries` would bring what it brought when `reading` said this; pictures apart.

        If so, `profiles` are complete.
        """
        return same_words(noted, self._decided(), self._lookup)

    def _decided(self) -> Mapping[str, Json]:
        """What decides the jobs and is known before one is read."""
        return {
            "text": self.digest,
            # Pictures are found from there.
            "folder": os.path.abspath(self.path.parent),
            "options": [self._overrides.provider, self._overrides.model, self.night, str(self.shard or "")],
        }

    def settings_with(self, *, concurrency: int | None = None, max_cost: float | None = None) -> Settings:
        """The settings with what the run itself says in their place; of a shard, its part of them.

        Raises `UsageError` for what can't be divided.
        """
        settings = replace(
            self.settings,
            concurrency=concurrency or self.settings.concurrency,
            max_cost=self.settings.max_cost if max_cost is None else max_cost,
        )
        try:
            return settings if self.shard is None else self.shard.settings(settings)
        except Indivisible as mistake:
            raise UsageError(f"--shard {self.shard}: {mistake}") from None

    def entries(self) -> Iterator[Entry]:
        """Stream the jobs in the order of the manifest; those of a shard with their position in it.

        Raises ManifestError, with every mistake, once all were read: take them into one
        transaction. After the first mistake no more are yielded.
        """
        problems = Problems()
        lineage = cache(self._lineage)
        checked = self._checked(problems, lineage)
        if self.shard is not None:
            checked = _of_shard(self.shard, checked, lineage)
        yield from checked if self.night is None else map(without_links, checked)
        if problems:
            raise problems.error()

    def check(self) -> int:
        """Read all jobs and return their number. Raises ManifestError with every mistake."""
        return sum(1 for _ in self.entries())

    def _checked(self, problems: Problems, lineage: Callable[[], Lineage]) -> Iterator[Entry]:
        checker = self._checker(problems)
        rows = 0
        try:
            for row in self._written.source(problems):
                rows += 1
                for entry in checker.entries(row, lineage):
                    if not problems:
                        yield entry
            checker.finish()
        except Fatal as fatal:
            problems.add(fatal.place, fatal.text)
        if rows == 0 and not problems:
            problems.add(Origin(str(self.path)).at(), "no jobs in it: it needs one at least")

    def _checker(self, problems: Problems) -> Checker:
        return Checker(self._written, self._lookup, self._pictures, self._overrides, problems)

    def _lineage(self) -> Lineage:
        """Read all rows once more: a parent may stand after its child. Their mistakes are told elsewhere."""
        checker = self._checker(Problems())
        rows = self._written.source(Problems())
        return Lineage(outline for row in rows for outline in checker.outlines(row))


def _of_shard(shard: Shard, entries: Iterator[Entry], lineage: Callable[[], Lineage]) -> Iterator[Entry]:
    """Those whose chain begins in the shard. All were checked, so a file is named as if all were here."""
    for position, entry in enumerate(entries):
        if shard.has(entry.id if entry.like.after is None else lineage().root(entry.id)):
            yield entry._replace(position=position)


def open_manifest(
    path: Path,
    *,
    provider: str | None = None,
    model: str | None = None,
    night: Night | None = None,
    shard: Shard | None = None,
) -> Manifest:
    """Open a YAML, CSV, TSV or JSONL manifest.

    `provider` and `model` take the place of every job's own; ids derived from the content stay what
    they are without them. With a `night` it is a rehearsal: every provider is its simulated twin, and
    references that are links are not fetched. With a `shard` only its jobs come, and providers keep to
    its part of their limits. Raises ManifestError when the head has a mistake, then with those of the
    jobs as well.
    """
    problems = Problems()
    try:
        written = read_head(path, problems)
    except Fatal as fatal:
        problems.add(fatal.place, fatal.text)
        raise problems.error() from None
    lookup = Lookup(written.head.providers, night, shard)
    _resolve_defined(written, lookup, problems)
    manifest = Manifest(
        name=written.head.name or path.stem,
        path=path,
        digest=hashlib.sha256("".join(written.digests.values()).encode()).hexdigest(),
        settings=_settings(written.head.settings),
        profiles=lookup.found,
        output=_output(written.head.output, night),
        night=night,
        shard=shard,
        _written=written,
        _lookup=lookup,
        _overrides=Overrides(provider, model),
        _pictures=Pictures(path.parent),
    )
    if problems:
        for _ in manifest._checked(problems, cache(manifest._lineage)):
            pass
        raise problems.error()
    return manifest


def _resolve_defined(written: Written, lookup: Lookup, problems: Problems) -> None:
    """Every provider that the manifest defines must make a profile, used or not."""
    lookup.silenced |= written.broken
    for name in written.head.providers:
        try:
            profile = lookup.find(name)
        except ProfileMistake as mistake:
            lookup.silenced.add(name)
            loc = (name, mistake.key) if mistake.key else (name,)
            problems.add(written.place("providers", *loc, on_key=True), str(mistake))
            continue
        try:
            parse_settings(profile.simulate if profile else {})
        except ValueError as mistake:
            text = f"simulate of provider '{name}': {mistake}"
            problems.add(written.place("providers", name, "simulate", on_key=True), text)


def _settings(section: SettingsSection | None) -> Settings:
    """What the section writes over the defaults of `Settings`."""
    written = section.model_dump(exclude_none=True) if section else {}
    if "on_unknown" in written:
        written["on_unknown"] = OnUnknown(written["on_unknown"])
    return Settings(**written)


def _output(section: OutputSection | None, night: Night | None) -> OutputRules:
    """What the section writes over the defaults of `OutputRules`; a rehearsal leaves the real bucket alone."""
    rules = OutputRules(**section.model_dump(exclude_none=True)) if section else OutputRules()
    return rules if night is None else dataclasses.replace(rules, store=None)
