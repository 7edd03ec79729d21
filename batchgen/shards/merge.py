"""The workspaces of a batch's shards made one: a ledger that goes on as if it had been one run.

The shards are only read, and held meanwhile. The whole is built aside and renamed at the end, so it is
there or it is not; what a kill leaves behind, the next merge to that place clears away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from batchgen.errors import UsageError
from batchgen.export.place import WHOLE, building
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.lock import hold
from batchgen.ledger.merging import Attached, Facts, Whole, facts_of
from batchgen.model import JobState
from batchgen.shards.division import Shards, some
from batchgen.shards.files import Files

_NAMED = 3
_OF_THE_BATCH = ("manifest", "manifest_path", "rehearsal", "settings", "output")


@dataclass(frozen=True, slots=True)
class Part:
    """One workspace that is merged."""

    workspace: Path
    held: Shards
    facts: Facts

    @property
    def manifest(self) -> str:
        """The name of the file that it was made by."""
        return self.facts.notes.get("manifest", "a manifest that it does not name")

    @property
    def text(self) -> str | None:
        """The hash of the manifest's text when it was last read; None: it changed meanwhile."""
        noted = self.facts.notes.get("reading")
        return None if noted is None else str(json.loads(noted)["text"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of a merge. `lost`: saved images that are not on disk; `remarks`: what the user should know."""

    held: Shards
    jobs: Mapping[JobState, int]
    images: int
    copied: int
    lost: tuple[str, ...]
    remarks: tuple[str, ...]


def merge(place: Path, workspaces: Sequence[Path], told: Callable[[int], Callable[[int], None]]) -> Merged:
    """Make one workspace at `place`. `told` is given the number of images, and what it returns each image's number.

    Raises `UsageError` for workspaces that do not belong together, with a line for each reason, and
    `WorkspaceError` for one that is in use or can't be read; then there is nothing at `place`.
    """
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise UsageError(f"{place} is there already: give another DEST")
    with ExitStack() as stack:
        for workspace in dict.fromkeys(path.resolve() for path in workspaces):
            if (workspace / LEDGER).exists():  # else it is told with everything else
                stack.enter_context(hold(workspace))
        parts = require_one_batch(workspaces)
        with building(place, *workspaces) as aside:
            return _built(aside / WHOLE, parts, told)


def require_one_batch(workspaces: Sequence[Path]) -> list[Part]:
    """The workspaces in the order of their shards. Raises `UsageError` and `WorkspaceError` as `merge`."""
    problems = [
        f"{workspace} is no workspace: there is no {LEDGER} in it"
        for workspace in workspaces
        if not (workspace / LEDGER).exists()
    ]
    parts: list[Part] = []
    for workspace in workspaces if not problems else ():
        facts = facts_of(workspace)
        held = Shards.noted(facts.notes.get("shard"))
        if held is None:
            problems.append(f"{workspace} holds a whole batch: only workspaces made with --shard are merged")
        else:
            parts.append(Part(workspace, held, facts))
    for part in parts[1:]:
        problems += _differences(parts[0], part)
    taken: dict[int, Part] = {}
    for part in parts:
        for number in part.held.numbers:
            first = taken.setdefault(number, part)
            if first is not part and first.held.of == part.held.of:
                both = f"{first.workspace} and in {part.workspace}"
                problems.append(f"shard {number}/{part.held.of} is in {both}: name one of them")
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))
    return sorted(parts, key=lambda part: part.held.numbers)


def _differences(first: Part, part: Part) -> list[str]:
    """Why two workspaces are not of one batch."""
    one, other = first.workspace, part.workspace
    if part.held.of != first.held.of:
        both = f"{one} is of {first.held.of} shards and {other} of {part.held.of}"
        return [f"{both}: merge those of one division, and run the jobs that are missing in one of its shards"]
    told = []
    if part.manifest != first.manifest and (part.text is None or part.text != first.text):
        both = f"{one} was made by {first.manifest} and {other} by {part.manifest}"
        told.append(f"{both}: merge the shards of one manifest")
    if bool(part.facts.notes.get("rehearsal")) != bool(first.facts.notes.get("rehearsal")):
        rehearsed, real = (one, other) if first.facts.notes.get("rehearsal") else (other, one)
        told.append(f"{rehearsed} is a rehearsal and {real} is not: leave one of them out")
    return told


def _built(whole: Path, parts: Sequence[Part], told: Callable[[int], Callable[[int], None]]) -> Merged:
    files = Files(whole)
    pace = told(sum(part.facts.saved for part in parts))
    with Whole(whole) as ledger:
        for number, part in enumerate(parts, 1):
            with ledger.attached(part.workspace) as shard:
                _require_sent_once(shard, part)
                shard.take(_moved(shard, part.workspace, files, f"m{number}-", pace).items())
            files.remembered(part.workspace)
        jobs = ledger.close(_notes(parts))
    os.sync()  # all that was linked and copied, at once
    held = parts[0].held.with_others(part.held for part in parts[1:])
    return Merged(
        held=held,
        jobs=jobs,
        images=files.images,
        copied=files.copied,
        lost=tuple(files.lost),
        remarks=tuple(_remarks(parts, held)),
    )


def _require_sent_once(shard: Attached, part: Part) -> None:
    if twice := shard.sent_twice():
        named = ", ".join(f"'{name}'" for name in twice[:_NAMED]) + (", …" if len(twice) > _NAMED else "")
        raise UsageError(
            f"{part.workspace} and an earlier shard have both sent {named}: the chain was moved by another `after` "
            "between their runs; merge without this one, and keep it beside"
        )


def _moved(
    shard: Attached, workspace: Path, files: Files, mark: str, pace: Callable[[int], None]
) -> dict[str, str]:
    """Bring the files of a shard; returns the paths that are other ones now."""
    moved = {}
    for kept in shard.files():
        path = files.keep(workspace, kept)
        if path != kept.path:
            moved[kept.path] = path
        pace(files.images)
    for path in shard.spools():
        moved[path] = files.spooled(workspace, path, mark)
    files.unsettled(workspace, shard.open_attempts(), shard.shifts(), mark)
    return moved


def _notes(parts: Sequence[Part]) -> dict[str, str]:
    """What the whole ledger says of itself: what the shard that ran last said, and every provider of all.

    Nothing else: the next run reads the manifest as a whole, and a copy of a shard's ledger is none of this one.
    """
    notes: dict[str, str] = {}
    profiles: dict[str, object] = {}
    for part in sorted(parts, key=lambda part: part.facts.last_run or 0.0):
        notes |= {key: part.facts.notes[key] for key in _OF_THE_BATCH if key in part.facts.notes}
        profiles |= json.loads(part.facts.notes.get("profiles", "{}"))
    held = parts[0].held.with_others(part.held for part in parts[1:])
    return notes | {"profiles": json.dumps(profiles), "shard": str(held) if held.missing else ""}


def _remarks(parts: Sequence[Part], held: Shards) -> list[str]:
    told = []
    if held.missing:
        told.append(
            f"{some(held.missing, held.of)} {'are' if len(held.missing) > 1 else 'is'} not in it: it can be read, "
            "exported and fetched, and merged again with the rest, but not run"
        )
    if len({part.text for part in parts} - {None}) > 1:
        told.append(f"{parts[0].manifest} was changed between the shards' runs: `batchgen plan` says what that means")
    return told
