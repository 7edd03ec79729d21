"""The seam behind which images lie: the workspace on the local disk, or a bucket (objects.py).

A path is relative and says the same in every store, `images/cat.png`. Everything here blocks, so it belongs
into a worker thread. A store that does not answer is a `StoreDown`, a disk that refuses a `WorkspaceError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Protocol, TypeAlias

Readable: TypeAlias = BufferedReader | BytesIO


class Store(Protocol):
    """Where images come to rest, each whole or not at all."""

    @property
    def address(self) -> str | None:
        """As the ledger knows it, `s3://bucket/prefix`; None: the workspace."""
        ...

    def publish_new(self, file: Path, target: str, sha256: str) -> str:
        """Give a durable file its place, never over other bytes: the next free `name~x2`, `name~x3`, … then.

        The same bytes at that place are the work of an earlier run that died before it could say so, and
        count. Returns the path that holds the bytes. The workspace takes the file away by that; elsewhere it
        stays until the ledger knows. Raises `Blocked` for a target outside the store.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """A small file, whole, in place of what was there."""
        ...

    def open(self, path: str) -> Readable | None:
        """The file to read from; None when it is not there."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes; None when it is not there."""
        ...

    def below(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """Everything in a folder and its folders, hidden files too: path and size, where a size is at hand."""
        ...
