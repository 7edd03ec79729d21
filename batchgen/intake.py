"""Takes a manifest into the ledger, and reads its jobs only when they may have changed since the last time.

Unchanged means: the same text, options, profiles and version, and every local picture what it was.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio.to_thread

from batchgen.errors import UsageError
from batchgen.images.stored import DataUrls
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Difference, Outstanding
from batchgen.ledger.store import Ledger
from batchgen.ledger.sync import Review
from batchgen.manifest.load import Manifest
from batchgen.manifest.references import look_at, still
from batchgen.model import Entry, LookedAt, Reading
from batchgen.shards.division import Shards, some
from batchgen.stop import StopSignal


class ReadingStopped(Exception):
    """Somebody stopped the run while the manifest was read: nothing has changed."""


def accept(_: Difference, __: Iterator[Outstanding]) -> None:
    """A review that has nothing to say."""


async def take_in(
    ledger: Ledger,
    manifest: Manifest,
    workspace: Path,
    review: Review = accept,
    stop: StopSignal | None = None,
) -> Difference:
    """Bring the jobs to what the manifest lists.

    `review` is told what that changes and what there is to send, before it counts and in another thread.
    Raises `ManifestError`, what `review` raises, and `ReadingStopped`; then nothing has changed.
    """
    newer = await unchanged(ledger.reader, manifest)
    if newer is None:
        urls = DataUrls(workspace)
        entries = _until_stopped(urls.stored(manifest.entries()), stop or StopSignal())
        difference = await ledger.sync(entries, partial(_reading, manifest, urls), review)
        await anyio.to_thread.run_sync(urls.prune)
        return difference
    if newer:
        await ledger.note_pictures(newer)
    return await ledger.reader.review(review)


async def claim_shard(ledger: Ledger, manifest: Manifest, workspace: Path) -> None:
    """Note which part of the batch this workspace is for, before its jobs are. Raises as `require_same_shard`."""
    await require_same_shard(ledger.reader, manifest, workspace)
    await ledger.note("shard", str(manifest.shard or ""))


async def require_same_shard(reader: Reader, manifest: Manifest, workspace: Path) -> None:
    """Raise `UsageError` when the workspace was run for another part of the batch.

    All jobs of that part would count as removed, and those of this one would be sent here as well.
    """
    held = Shards.noted(await reader.note("shard"))
    wanted = str(manifest.shard or "")
    if str(held or "") == wanted or await reader.last_run() is None:
        return
    if held is None:
        raise UsageError(
            f"{workspace} holds the whole batch, not shard {wanted}: leave --shard out, or give another --workspace"
        )
    if len(held.numbers) == 1:
        others = f"shard {wanted} needs another --workspace" if wanted else "the others have workspaces of their own"
        raise UsageError(f"{workspace} holds {held.words()}: run it with --shard {held}; {others}")
    again = shlex.join(["batchgen", "run", str(manifest.path), "--shard", f"{held.missing[0]}/{held.of}"])
    raise UsageError(
        f"{workspace} was merged without {some(held.missing, held.of)}: merge it with them into a new folder, "
        f"then run that; a shard that is lost, or was never run, is made with {again}"
    )


async def unchanged(reader: Reader, manifest: Manifest) -> list[LookedAt] | None:
    """None when the jobs must be read again; else what is newly known of their pictures."""
    noted = await reader.note("reading")
    if noted is None or not manifest.reads_as(noted):
        return None
    return await reader.renewed(still)


def _until_stopped(entries: Iterator[Entry], stop: StopSignal) -> Iterator[Entry]:
    for entry in entries:
        if stop.draining:
            raise ReadingStopped
        yield entry


def _reading(manifest: Manifest, urls: DataUrls) -> Reading | None:
    text = manifest.reading()
    return None if text is None else Reading(text, _pictures(manifest, urls))


def _pictures(manifest: Manifest, urls: DataUrls) -> Iterator[LookedAt]:
    """Every local picture that the jobs refer to, those that came as data URLs too."""
    yield from manifest.pictures.values()
    for path in urls.files:
        yield look_at(str(path))
