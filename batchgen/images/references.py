"""References and masks made ready to send: read, fetched and fitted once in a run, whatever jobs and tries want them.

A link stays a link, unless the endpoint takes bytes or the provider failed to fetch it. The type comes from
the bytes. What cost work is kept in memory, within bounds, and behind that in `READY` until the run ends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from batchgen.errors import (
    BadImage,
    BadReference,
    Blocked,
    DownloadFailed,
    Interrupted,
    JobError,
    NotSent,
    ReferenceLost,
)
from batchgen.images.addresses import AddressGuard
from batchgen.images.fitting import LARGEST, Fitted, fitted, fitted_mask, fitters
from batchgen.images.follow import following
from batchgen.images.inspect import extension
from batchgen.images.outgoing import uploads
from batchgen.model import Endpoint, Job, Picture
from batchgen.providers.profile import Bounds, Profile
from batchgen.storage.local import Aside, disk, publish, remove
from batchgen.storage.stores import is_stored, read
from batchgen.transport import Transport

READY: Final = "images/.ready"
"""Below the workspace, while a run lasts: pictures that were fetched or fitted."""

# A photo as it comes from a camera, before anything is made of it.
_REMEMBERED: Final = 64 << 20
# The host may send nothing for so many seconds, and the whole picture may take so many.
_IDLE, _TOTAL = 60.0, 300.0
# These of the 4xx ask for a repetition themselves.
_LATER: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class MadeReady:
    """The pictures of one request. `linked`: one of them is only a link, which the provider must fetch."""

    references: tuple[Picture, ...]
    mask: Picture | None
    linked: bool


@dataclass(slots=True)
class _Making:
    """A picture that somebody is making ready."""

    over: anyio.Event = field(default_factory=anyio.Event)
    error: JobError | None = None


class References:
    """Makes the pictures of jobs ready, each once. `guards` are by provider name, as for downloads."""

    def __init__(self, workspace: Path, transport: Transport) -> None:
        self._folder = workspace / READY
        self._transport = transport
        self._kept: dict[str, Fitted] = {}
        self._held: OrderedDict[str, Fitted] = OrderedDict()
        self._size = 0
        self._at_work: dict[str, _Making] = {}
        self._unread: set[tuple[str, str]] = set()

    async def of(self, job: Job, profile: Profile, guard: AddressGuard) -> MadeReady:
        """The references and the mask of `job` as `profile` takes them.

        Raises `BadReference` for one that no retry mends, `ReferenceLost` for a link and `StoreDown` for a
        parent's image that may be there later; the provider has heard nothing yet.
        """
        bounds = profile.bounds(job.model)
        pictures: list[Picture] = []
        first: Fitted | None = None
        for source in job.references:
            if _is_link(source) and self._as_link(source, profile):
                pictures.append(Picture(_name(source), "application/octet-stream", url=source))
                continue
            found = await self._ready(source, bounds, guard)
            first = first or found
            pictures.append(_picture(source, found))
        mask = await self._mask(job.mask, first, guard) if job.mask is not None else None
        return MadeReady(tuple(pictures), mask, any(picture.url is not None for picture in pictures))

    def unread(self, job: Job, provider: str) -> None:
        """The provider could not fetch the links of this job: from now on it is sent what is behind them."""
        self._unread.update((provider, source) for source in job.references if _is_link(source))

    def _as_link(self, source: str, profile: Profile) -> bool:
        return profile.endpoint is Endpoint.CHAT and (profile.name, source) not in self._unread

    async def _mask(self, source: str, first: Fitted | None, guard: AddressGuard) -> Picture:
        mask = await self._ready(source, Bounds(LARGEST), guard)
        if mask.format != "png":
            raise BadReference(f"mask {_shown(source)} is not a PNG")
        data = mask.data
        if first is not None:
            try:
                data = await anyio.to_thread.run_sync(fitted_mask, data, first, limiter=fitters())
            except BadImage as error:
                raise BadReference(f"mask {_shown(source)} {error.message}") from error
        return Picture(_name(source, "png"), "image/png", data=data)

    async def _ready(self, source: str, bounds: Bounds, guard: AddressGuard) -> Fitted:
        key = await self._key(source, bounds)
        while (found := self._held.get(key)) is None:
            if (other := self._at_work.get(key)) is None:
                return await self._make(source, bounds, guard, key)
            # A hundred jobs with the same picture wait for the first of them, and share its trouble.
            await other.over.wait()
            if other.error is not None:
                raise other.error.saying(other.error.message)
        self._held.move_to_end(key)
        return found

    async def _make(self, source: str, bounds: Bounds, guard: AddressGuard, key: str) -> Fitted:
        mine = self._at_work[key] = _Making()
        try:
            if (kept := self._kept.get(key)) is not None:
                found = replace(kept, data=await anyio.to_thread.run_sync((self._folder / key).read_bytes))
            else:
                found = await self._made(source, bounds, guard, key)
        except JobError as error:
            mine.error = error
            raise
        finally:
            del self._at_work[key]
            mine.over.set()
        self._hold(key, found)
        return found

    async def _made(self, source: str, bounds: Bounds, guard: AddressGuard, key: str) -> Fitted:
        """Read or fetch the picture and fit it; what cost more than reading a file is kept."""
        if _is_link(source):
            data = await _fetched(source, transport=self._transport, guard=guard)
        elif is_stored(source):
            data = await anyio.to_thread.run_sync(_stored, source, limiter=uploads())
        else:
            data = await anyio.to_thread.run_sync(_read, source)
        try:
            found = await anyio.to_thread.run_sync(fitted, data, bounds, limiter=fitters())
        except BadImage as error:
            raise BadReference(f"{_shown(source)} {error.message}") from error
        if found.data is not data or _is_elsewhere(source):
            await anyio.to_thread.run_sync(_keep, self._folder / key, found.data)
            self._kept[key] = replace(found, data=b"")
        return found

    async def _key(self, source: str, bounds: Bounds) -> str:
        """What tells one made-ready picture from another: where it comes from, its version, and the bounds."""
        version: object = None
        if not _is_elsewhere(source):
            try:
                facts = await anyio.to_thread.run_sync(os.stat, source)
            except (OSError, ValueError) as error:  # ValueError: a null character in the path
                raise _unreadable(source, error) from error
            version = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        return hashlib.sha256(repr((source, version, bounds)).encode("utf-8", "surrogatepass")).hexdigest()

    def _hold(self, key: str, found: Fitted) -> None:
        self._held[key] = found
        self._size += len(found.data)
        while self._size > _REMEMBERED and len(self._held) > 1:
            self._size -= len(self._held.popitem(last=False)[1].data)


def forget(workspace: Path) -> None:
    """Remove what a run made ready; the next one makes it again. Blocks."""
    with disk(), suppress(FileNotFoundError):
        shutil.rmtree(workspace / READY)


def _keep(place: Path, data: bytes) -> None:
    aside = place.with_name(f"{place.name}.tmp")
    remove(aside)
    with Aside(aside) as file:
        file.write([data])
    publish(aside, place)


def _stored(source: str) -> bytes:
    """An image of this batch out of its object store. Raises `StoreDown`."""
    data = read(source)
    if data is None:
        raise BadReference(f"{source} is not there any more")
    return data


def _read(source: str) -> bytes:
    try:
        facts = os.stat(source)
        if not stat.S_ISREG(facts.st_mode):
            raise BadReference(f"{source} is not a file")
        if facts.st_size > LARGEST:
            raise BadReference(f"{source} is larger than {LARGEST:,} bytes")
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: Exception) -> BadReference:
    reason = error.strerror if isinstance(error, OSError) else "not a path"
    return BadReference(f"{source} can't be read: {reason}")


async def _fetched(url: str, *, transport: Transport, guard: AddressGuard) -> bytes:
    """Fetch what is behind a link, under the rules of downloads: addresses checked, no key sent.

    Raises `BadReference` when it can't be had, and `ReferenceLost` for trouble on the way that may pass.
    """
    what = f"reference {_shown(url)}"
    try:
        with anyio.fail_after(_TOTAL):
            return await _downloaded(url, what, transport, guard)
    except Blocked as error:
        raise BadReference(f"{what} can't be fetched: {error.message}") from error
    except (DownloadFailed, Interrupted, NotSent) as error:
        raise ReferenceLost(f"{what} can't be fetched now: {error.message}") from error
    except TimeoutError as error:
        raise ReferenceLost(f"{what} took longer than {_TOTAL:g} s to fetch") from error


async def _downloaded(url: str, what: str, transport: Transport, guard: AddressGuard) -> bytes:
    data = bytearray()
    async with following(url, transport=transport, guard=guard, idle=_IDLE, headers={}) as (head, body):
        if head.status in _LATER or head.status >= 500:
            raise DownloadFailed(f"HTTP {head.status}")
        if head.status != 200:
            raise BadReference(f"{what} can't be fetched: HTTP {head.status}")
        async for piece in body:
            data += piece
            if len(data) > LARGEST:
                raise BadReference(f"{what} is larger than {LARGEST:,} bytes")
    return bytes(data)


def _is_link(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _is_elsewhere(source: str) -> bool:
    return _is_link(source) or is_stored(source)


def _picture(source: str, found: Fitted) -> Picture:
    return Picture(_name(source, found.format), f"image/{found.format}", data=found.data)


def _name(source: str, format: str | None = None) -> str:
    """The file's name, with the ending that its bytes deserve."""
    path = urlsplit(source).path if _is_link(source) else source
    name = Path(path).name or "reference"
    return f"{Path(name).stem}.{extension(format)}" if format else name


def _shown(source: str) -> str:
    """As it may be shown: the query of a signed link is a secret, and so is a password before the host."""
    if not _is_link(source):
        return source
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
