"""One output from its link, or from its spooled inline bytes, to a verified file at its place.

A file counts only when it was read to its promised size, decoded to the last pixel, hashed, synced and
renamed, or uploaded. Never sends a key, never writes outside its store, never overwrites other bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from batchgen.errors import BadImage, Blocked, DownloadFailed, Interrupted, LinkDead, NotSent, WorkspaceError
from batchgen.events import Saved
from batchgen.images.addresses import AddressGuard
from batchgen.images.follow import following
from batchgen.images.inspect import decoders
from batchgen.images.outgoing import deliver, keep, uploads, waiting
from batchgen.images.partial import NOTE, PART, PartialFile
from batchgen.images.settle import settle, settle_spool
from batchgen.images.spool import ASIDE
from batchgen.images.verdicts import continues, refusal, validator, whole_size
from batchgen.model import Download
from batchgen.storage.base import Store
from batchgen.storage.disk import Disk
from batchgen.storage.local import INCOMING, TOLD, disk, folder_inside, remove
from batchgen.storage.stores import bucket
from batchgen.transport import Head, Transport

_REFUSAL_BYTES: Final = 4096
T = TypeVar("T")


async def fetch(
    work: Download,
    *,
    transport: Transport,
    workspace: Path,
    guard: AddressGuard,
    max_bytes: int,
    now: Callable[[], float],
) -> Saved:
    """Bring one output to disk; see `Fetcher.fetch`."""
    fetcher = Fetcher(transport=transport, workspace=workspace, guard=guard, max_bytes=max_bytes, now=now)
    return await fetcher.fetch(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Downloads over one transport into one workspace.

    `idle` is how many seconds a host may send nothing, `total` how many one link may take in all.
    """

    transport: Transport
    workspace: Path
    guard: AddressGuard
    max_bytes: int
    now: Callable[[], float]
    idle: float = 60.0
    total: float = 600.0

    async def fetch(self, work: Download) -> Saved:
        """Try the links in order, going on only where asking again is useless; or settle the spool file.

        With an object store what is on disk stays until `outgoing.forget`, and `StoreDown` may be raised.
        Raises `LinkDead` (403, 410, a signature that ran out), `NotThereYet` (404), `DownloadFailed` (worth
        another try; with the host's wait in seconds), `BadImage` (no image, cut, larger than
        `max_bytes`), `Blocked` (the address or the place is not allowed), `WorkspaceError`.
        """
        if work.rules.store is not None:
            return await self._into_store(work, bucket(work.rules.store))
        if not folder_inside(self.workspace, work.target):
            raise Blocked("the place of the file lies outside the workspace")
        if work.spool is not None:
            spooled = partial(settle_spool, self.workspace, work)
            return await anyio.to_thread.run_sync(spooled, limiter=decoders())
        return await self._from_links(work, partial(_settled, self.workspace))

    async def _into_store(self, work: Download, store: Store) -> Saved:
        made = await anyio.to_thread.run_sync(waiting, self.workspace, work, limiter=decoders())
        if made is None:
            made = await self._from_links(work, partial(keep, self.workspace))
        # Who aborts does not wait for a slow store: the next run finds the object, whole or not at all.
        return await anyio.to_thread.run_sync(deliver, store, made, work, limiter=uploads(), abandon_on_cancel=True)

    async def _from_links(self, work: Download, complete: Callable[[PartialFile, Download], T]) -> T:
        troubles: list[LinkDead | Blocked | BadImage] = []
        for url in work.urls:
            try:
                return await self._from_link(url, work, complete)
            except (LinkDead, Blocked, BadImage) as error:
                troubles.append(error)
        # A dead link goes first: it is the one that a fresh link from the task can mend.
        troubles.sort(key=lambda error: not isinstance(error, LinkDead))
        raise troubles[0] if troubles else LinkDead("the output has no link")

    async def _from_link(self, url: str, work: Download, complete: Callable[[PartialFile, Download], T]) -> T:
        part = PartialFile(self.workspace, work.output_id, url)
        try:
            if part.noted():
                await anyio.to_thread.run_sync(part.resume)
            try:
                await self._download(url, part)
                return await anyio.to_thread.run_sync(complete, part, work, limiter=decoders())
            except (LinkDead, Blocked, BadImage, WorkspaceError):
                raise
            except BaseException:  # cancelled too: what came is kept, so that a resume can go on
                await _shielded(part.suspend)
                raise
        except (LinkDead, Blocked, BadImage, WorkspaceError):
            # A disk that refused a write may hold half of it: no resume can be trusted.
            await _shielded(part.discard)
            raise

    async def _download(self, url: str, part: PartialFile) -> None:
        try:
            with anyio.fail_after(self.total):
                await self._transfer(url, part)
        except TimeoutError as error:
            raise DownloadFailed(f"the download took longer than {self.total:g} s") from error
        except (NotSent, Interrupted) as error:
            raise DownloadFailed(f"the download broke: {error.message}") from error

    async def _transfer(self, url: str, part: PartialFile) -> None:
        """Stream the file, or its missing rest, into `part`."""
        link = following(
            url, transport=self.transport, guard=self.guard, idle=self.idle, headers=part.range_headers()
        )
        async with link as (head, body):
            if part.size and head.status == 200:
                await anyio.to_thread.run_sync(part.restart)
            if head.status == 200 or continues(head, part.size):
                await self._pour(head, body, part)
                return
            if not part.size or head.status not in (206, 416):
                raise refusal(head, await _beginning(body), self.now())
        # The rest of our part can't be had: the file is another one by now, or was whole already.
        await anyio.to_thread.run_sync(part.restart)
        await self._transfer(url, part)

    async def _pour(self, head: Head, body: AsyncIterator[bytes], part: PartialFile) -> None:
        size = whole_size(head)
        if size is not None and size > self.max_bytes:
            raise BadImage(f"the file has {size} bytes, more than the {self.max_bytes} of max_image_bytes")
        part.validator = validator(head)
        part.expect(size)
        async for piece in body:
            # One thread hop for a megabyte or more: a hop for every piece would triple the work.
            if part.size + len(piece) > self.max_bytes:
                raise BadImage(f"the file is larger than max_image_bytes, {self.max_bytes} bytes")
            if part.gather(piece):
                await anyio.to_thread.run_sync(part.flush)
        if size is not None and part.size != size:
            raise DownloadFailed(f"the download is cut: {part.size} of {size} bytes")


def _settled(workspace: Path, part: PartialFile, work: Download) -> Saved:
    with part.finish() as whole:
        return settle(Disk(workspace), whole, work)


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    kept = b""
    async for piece in body:
        kept += piece
        if len(kept) >= _REFUSAL_BYTES:
            break
    return kept[:_REFUSAL_BYTES]


async def _shielded(work: Callable[[], None]) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(work)


def clean_leftovers(workspace: Path) -> None:
    """Remove what a crash left half-written. Decoded inline images and resumable parts stay."""
    folder = workspace / INCOMING
    with disk():
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            torn = path.suffix == PART and not path.with_suffix(NOTE).exists()
            alone = path.suffix == NOTE and not path.with_suffix(PART).exists()
            if torn or alone or path.suffix in (ASIDE, TOLD):
                remove(path)
