"""What a run must know of its object stores: that the one it writes to works, and which images are gone.

Before anything is sent, because a store that refuses an image is found out too late when the image was paid for.
"""

from __future__ import annotations

import logging
from pathlib import Path

import anyio.to_thread

from batchgen.errors import StoreDown, UsageError, WorkspaceError
from batchgen.images.outgoing import held
from batchgen.ledger.fresh import IMAGES
from batchgen.ledger.reader import Reader
from batchgen.storage.local import remove
from batchgen.storage.stores import bucket

log = logging.getLogger(__name__)


async def require_store(address: str | None) -> None:
    """Write, read and delete something in the store. Raises `UsageError` and `WorkspaceError`; None is fine."""
    if address is None:
        return
    try:
        await anyio.to_thread.run_sync(lambda: bucket(address).probe())
    except StoreDown as error:
        raise WorkspaceError(f"output.store can't be used: {error.message}") from error


async def missing_objects(reader: Reader, current: str | None) -> list[int]:
    """Ids of the saved outputs of all jobs as they stand whose image is in no object store any more.

    A store of earlier runs that does not answer is left alone. Raises `WorkspaceError` for the `current` one.
    """
    missing: list[int] = []
    for address in await reader.stores():
        expected = await reader.objects(address)
        try:
            there = await anyio.to_thread.run_sync(_paths, address) if expected else frozenset[str]()
        except (StoreDown, UsageError) as error:
            if address == current:
                raise WorkspaceError(str(error)) from error
            log.warning("images of earlier runs can't be looked for: %s", error)
            continue
        missing += [output_id for output_id, path in expected if path not in there]
    return missing


async def clean_delivered(reader: Reader, workspace: Path) -> None:
    """Remove images that a run had uploaded and noted when it died, before it could take them away."""
    found = await anyio.to_thread.run_sync(held, workspace)
    if found.outputs or found.attempts:
        outputs, attempts = await reader.delivered(found.outputs, found.attempts)
        inline = (path for one in attempts for path in found.attempts[one])
        for path in (*(found.outputs[one] for one in outputs), *inline):
            await anyio.to_thread.run_sync(remove, path)


def _paths(address: str) -> frozenset[str]:
    return frozenset(path for path, _ in bucket(address).below(IMAGES))
