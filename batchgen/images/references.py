"""References and masks made ready to send: a file or data URL becomes bytes, a link stays a link,
or is fetched for an endpoint that takes bytes.

The type comes from the bytes. Nothing is re-encoded. Data URLs are kept as files of the
workspace, so that the ledger holds no image.
"""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

import anyio
import anyio.to_thread

from batchgen.errors import (
    BadImage,
    BadReference,
    Blocked,
    DownloadFailed,
    Interrupted,
    ManifestError,
    NotSent,
)
from batchgen.images.addresses import AddressGuard
from batchgen.images.follow import following
from batchgen.images.inspect import decoders, extension, sniff
from batchgen.images.spool import decoded
from batchgen.model import Entry, Picture
from batchgen.storage.local import INCOMING, Aside, publish, remove
from batchgen.transport import Transport

LARGEST_REFERENCE: Final = 20 << 20

# The host may send nothing for so many seconds, and the whole picture may take so many.
_IDLE, _TOTAL = 60.0, 300.0
# These of the 4xx ask for a repetition themselves.
_LATER: Final = frozenset({408, 425, 429})

REFERENCES: Final = "images/.references"
"""Below the workspace: the pictures of data URLs, named by their content."""


async def ready(source: str, *, max_bytes: int = LARGEST_REFERENCE) -> Picture:
    """Read `source`: an absolute path, a data URL, or an http(s) URL, which is passed on unread.

    Raises `BadReference` when it is missing, larger than `max_bytes`, or no image a provider takes.
    """
    if source.lower().startswith(("http://", "https://")):
        return Picture(name=_link_name(source), mime="application/octet-stream", url=source)
    read = _from_data_url if _is_data_url(source) else _from_file
    return await anyio.to_thread.run_sync(partial(read, source, max_bytes), limiter=decoders())


async def fetched(
    url: str, *, transport: Transport, guard: AddressGuard, max_bytes: int = LARGEST_REFERENCE
) -> Picture:
    """Fetch a picture that is a link, under the rules of downloads: addresses checked, no key sent.

    Raises `BadReference` when it can't be had or is no image a provider takes, and `NotSent` for
    trouble on the way that may pass: the provider has heard nothing yet.
    """
    what = f"reference {_without_query(url)}"
    try:
        with anyio.fail_after(_TOTAL):
            data = await _downloaded(url, what, transport, guard, max_bytes)
    except Blocked as error:
        raise BadReference(f"{what} can't be fetched: {error.message}") from error
    except (DownloadFailed, Interrupted, NotSent) as error:
        raise NotSent(f"{what} can't be fetched now: {error.message}") from error
    except TimeoutError as error:
        raise NotSent(f"{what} took longer than {_TOTAL:g} s to fetch") from error
    return _picture(_link_name(url), data, what)


async def _downloaded(url: str, what: str, transport: Transport, guard: AddressGuard, max_bytes: int) -> bytes:
    data = bytearray()
    async with following(url, transport=transport, guard=guard, idle=_IDLE, headers={}) as (head, body):
        if head.status in _LATER or head.status >= 500:
            raise DownloadFailed(f"HTTP {head.status}", status=head.status)
        if head.status != 200:
            raise BadReference(f"{what} can't be fetched: HTTP {head.status}")
        async for piece in body:
            data += piece
            if len(data) > max_bytes:
                raise BadReference(f"{what} is larger than the {max_bytes} bytes allowed")
    return bytes(data)


def _link_name(url: str) -> str:
    return Path(urlsplit(url).path).name or "reference"


def _without_query(url: str) -> str:
    """As it may be shown: the query of a signed link is a secret, and so is a password before the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _from_file(source: str, max_bytes: int) -> Picture:
    path = Path(source)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise BadReference(f"{source} is not a file")
        if facts.st_size > max_bytes:
            raise BadReference(f"{source} is larger than the {max_bytes} bytes allowed")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise BadReference(f"{source} can't be read: {reason}") from error
    return _picture(path.name, data, source)


def _from_data_url(source: str, max_bytes: int) -> Picture:
    kind, comma, payload = source[5:].partition(",")
    what = f"data URL ({kind.partition(';')[0][:40] or 'no type'})"
    if not comma:
        raise BadReference(f"{what} holds no data")
    try:
        if kind.lower().endswith(";base64"):
            data = b"".join(decoded(unquote_to_bytes(payload).decode("latin-1"), max_bytes))
        else:
            data = unquote_to_bytes(payload)
    except BadImage as error:
        raise BadReference(f"{what}: {error.message.replace('inline image', 'data')}") from error
    if len(data) > max_bytes:
        raise BadReference(f"{what} is larger than the {max_bytes} bytes allowed")
    return _picture("reference", data, what)


def _picture(name: str, data: bytes, what: str) -> Picture:
    format = sniff(data[:32])
    if format is None:
        raise BadReference(f"{what} is not a PNG, JPEG, WebP, GIF or AVIF image")
    if "." not in name:
        name = f"{name}.{extension(format)}"
    return Picture(name=name, mime=f"image/{format}", data=data)


def stored(entries: Iterable[Entry], workspace: Path) -> Iterator[Entry]:
    """The entries with every data URL written to `REFERENCES` and its path in its place; blocks.

    Raises `ManifestError` for one that is no image a provider takes, `WorkspaceError` of the disk.
    """
    for entry in entries:
        job = entry.job
        sources = (*job.references, *([job.mask] if job.mask else ()))
        if not any(_is_data_url(source) for source in sources):
            yield entry
            continue
        try:
            references = tuple(_stored(source, workspace) for source in job.references)
            mask = _stored(job.mask, workspace) if job.mask else None
        except BadReference as error:
            raise ManifestError((f"{entry.place}: {error.message}",)) from error
        yield dataclasses.replace(entry, job=dataclasses.replace(job, references=references, mask=mask))


def _stored(source: str, workspace: Path) -> str:
    if not _is_data_url(source):
        return source
    picture = _from_data_url(source, LARGEST_REFERENCE)
    data = picture.data or b""
    digest = hashlib.sha256(data).hexdigest()
    place = workspace.resolve() / REFERENCES / f"{digest}{Path(picture.name).suffix}"
    if not place.exists():
        aside = workspace / INCOMING / f"{digest}.tmp"
        remove(aside)
        with Aside(aside) as file:
            file.write([data])
            file.sync()
        publish(aside, place)
    return str(place)


def _is_data_url(source: str) -> bool:
    return source[:5].lower() == "data:"
