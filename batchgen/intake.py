"""Takes a manifest into the ledger, and reads its jobs only when they may have changed since the last time.

Unchanged means: the same text, options, profiles and version, and every local picture what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from batchgen.images.references import REFERENCES, stored
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Difference
from batchgen.ledger.store import Ledger
from batchgen.manifest.load import Manifest
from batchgen.manifest.references import look_at, still
from batchgen.model import LookedAt, Reading


async def take_in(ledger: Ledger, manifest: Manifest, workspace: Path) -> Difference:
    """Bring the jobs to what the manifest lists. Raises `ManifestError`, and then nothing has changed."""
    newer = await unchanged(ledger.reader, manifest)
    if newer is None:
        return await ledger.sync(stored(manifest.entries(), workspace), partial(_reading, manifest, workspace))
    if newer:
        await ledger.note_pictures(newer)
    return Difference(unchanged=await ledger.reader.listed())


async def unchanged(reader: Reader, manifest: Manifest) -> list[LookedAt] | None:
    """None when the jobs must be read again; else what is newly known of their pictures."""
    noted = await reader.note("reading")
    if noted is None or not manifest.reads_as(noted):
        return None
    return await reader.renewed(still)


def _reading(manifest: Manifest, workspace: Path) -> Reading | None:
    text = manifest.reading()
    return None if text is None else Reading(text, _pictures(manifest, workspace))


def _pictures(manifest: Manifest, workspace: Path) -> Iterator[LookedAt]:
    """Every local picture that the jobs refer to, those that came as data URLs too."""
    yield from manifest.pictures.values()
    for path in (workspace.resolve() / REFERENCES).glob("*"):
        yield look_at(str(path))
