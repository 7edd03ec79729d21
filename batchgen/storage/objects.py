"""Images as objects: S3 and what speaks like it, Google Cloud, Azure, a mounted folder, memory for tests.

The only user of obstore, from the extra `objects`. Credentials are read by obstore itself from the environment,
and stand in no message of ours. Everything here blocks; every trouble of the store is a `StoreDown`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from batchgen.errors import Blocked, StoreDown, UsageError
from batchgen.storage.base import Readable
from batchgen.storage.complaints import complaint
from batchgen.storage.local import places, sync_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

REST: Final = 5.0
"""Seconds at the least that a store is left alone after it failed, else as long as the failing took: everybody
who asks meanwhile fails at once, so that downloads whose links die do not wait behind uploads that can't succeed."""

_PROBE: Final = ".batchgen-probe"
_PAGE: Final = 1000
# A whole request, of 64 MiB over a slow line too; the runner comes again by itself, so few tries are made here.
_TIMEOUT, _CONNECT = timedelta(seconds=90), timedelta(seconds=10)
_TRIES, _TRYING = 1, timedelta(seconds=20)


class Objects:
    """One address: a bucket and a prefix in it."""

    def __init__(self, address: str) -> None:
        """Raises `UsageError` without the extra, or when the address or the environment makes no store."""
        self.address = address
        scheme, _, rest = address.partition("://")
        self._scheme = scheme
        self._folder = Path(rest) if scheme == "file" else None
        root, _, prefix = (rest, "", "") if self._folder else rest.partition("/")
        self._prefix = prefix.strip("/")
        self._resting: tuple[float, str] = (0.0, "")
        try:
            self._bucket = _bucket(scheme, root)
        except ImportError as error:
            raise UsageError(f"{address} needs the extra 'objects': pip install 'batchgen[objects]'") from error
        except Exception as error:  # obstore's constructors raise what each store's own parser raises
            raise UsageError(f"{address} can't be used: {complaint(error, scheme)}") from error

    def probe(self) -> None:
        """Write, read and remove a small object: what is wrong is to be known before anything is paid."""
        told = b"batchgen was here\n"
        with self._asked():
            self._put(_PROBE, told)
            found = self._get(_PROBE)
            if found != told:
                raise StoreDown(f"{self.address}: what was written could not be read back")
            self._delete(_PROBE)

    def publish_new(self, file: Path, target: str, sha256: str) -> str:
        """Put by condition, in one request: whole or not at all, and never over another; see `Store.publish_new`.

        In one request because no store takes a condition for an upload in parts.
        """
        from obstore.exceptions import AlreadyExistsError

        data = file.read_bytes()
        for place in places(PurePosixPath(target)):
            path = str(place)
            with self._asked():
                try:
                    self._put(path, data, create=True)
                    return path
                except AlreadyExistsError:
                    found = self._get(path)
            if found is not None and hashlib.sha256(found).hexdigest() == sha256:
                return path
        raise AssertionError("unreachable: the places never end")

    def write(self, path: str, data: bytes) -> None:
        """One request, in place of what was there."""
        with self._asked():
            self._put(path, data)

    def upload(self, path: str, file: Path) -> None:
        """A file of any size, in parts where it is large, in place of what was there."""
        import obstore

        with self._asked():
            obstore.put(self._bucket, self._key(path), file)

    def open(self, path: str) -> Readable | None:
        """The whole object in memory; None when it is not there."""
        with self._asked():
            data = self._get(path)
        return None if data is None else BytesIO(data)

    def size(self, path: str) -> int | None:
        """Bytes; None when it is not there."""
        import obstore

        with self._asked():
            try:
                return int(obstore.head(self._bucket, self._key(path))["size"])
            except FileNotFoundError:
                return None

    def below(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """Everything below a folder, a page of a thousand at a time."""
        import obstore

        with self._asked():
            pages = iter(obstore.list(self._bucket, self._key(folder), chunk_size=_PAGE))
        while True:
            with self._asked():
                page = next(pages, None)
            if page is None:
                return
            for found in page:
                yield found["path"].removeprefix(f"{self._prefix}/" if self._prefix else ""), found["size"]

    def remove(self, path: str) -> None:
        """Delete an object that may already be gone."""
        with self._asked():
            self._delete(path)

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path

    def _put(self, path: str, data: bytes, *, create: bool = False) -> None:
        import obstore

        key = self._key(path)
        obstore.put(self._bucket, key, data, mode="create" if create else "overwrite", use_multipart=False)
        if self._folder is not None:
            _make_durable(self._folder / key)

    def _get(self, path: str) -> bytes | None:
        import obstore

        try:
            return bytes(obstore.get(self._bucket, self._key(path)).bytes())
        except FileNotFoundError:
            return None

    def _delete(self, path: str) -> None:
        import obstore

        obstore.delete(self._bucket, self._key(path))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn the store's trouble into `StoreDown`, and remember it for a while."""
        until, said = self._resting
        began = time.monotonic()
        if began < until:
            raise StoreDown(said)
        try:
            yield
        except StoreDown:
            raise
        except ValueError as error:
            # A name that is no path for it; nothing of batchgen's own naming leads here.
            raise Blocked(f"{self.address} takes no such name") from error
        except Exception as error:  # obstore raises its own errors and Python's, the network's among them
            if isinstance(error, MemoryError):
                raise
            said = f"{self.address}: {complaint(error, self._scheme)}"
            now = time.monotonic()
            self._resting = (now + max(REST, now - began), said)
            raise StoreDown(said) from error


@lru_cache(maxsize=64)
def _bucket(scheme: str, root: str) -> ObjectStore:
    """One for each bucket of a process: it holds the connections, and the objects of `memory://`."""
    from obstore.store import LocalStore, MemoryStore, from_url

    if scheme == "memory":
        return MemoryStore()
    if scheme == "file":
        return LocalStore(root, mkdir=True)
    # The secret of an S3 key never travels, so that a server on this machine or network may be asked without TLS;
    # the bearer tokens of the others do.
    client: dict[str, Any] = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT}
    if scheme == "s3":
        client["allow_http"] = True
    retries: Any = {"max_retries": _TRIES, "retry_timeout": _TRYING}
    return from_url(f"{scheme}://{root}", client_options=client, retry_config=retries)


def _make_durable(file: Path) -> None:
    # obstore leaves that to the operating system.
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(file.parent)
