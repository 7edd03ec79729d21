"""Which store an image lies in: the workspace, or the address that the ledger names beside its path."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.model import STORE_SCHEMES
from batchgen.storage.base import Store
from batchgen.storage.disk import Disk

if TYPE_CHECKING:
    from batchgen.storage.objects import Objects


def opened(workspace: Path, address: str | None) -> Store:
    """The store of that address, None for the workspace. Raises `UsageError` when there can be none."""
    return Disk(workspace) if address is None else bucket(address)


def source_of(address: str, path: str) -> str:
    """The image at a path of an object store, as one text that `read` takes."""
    return f"{address}/{path}"


def is_stored(source: str) -> bool:
    """Whether a text is one of `source_of`."""
    return source.partition("://")[0] in STORE_SCHEMES and "://" in source


def read(source: str) -> bytes | None:
    """The bytes of an image by its text; None when it is not there. Raises `StoreDown`. Blocks."""
    scheme, _, rest = source.partition("://")
    root, _, path = rest.rpartition("/") if scheme == "file" else rest.partition("/")
    file = bucket(f"{scheme}://{root}").open(path)
    if file is None:
        return None
    with file:
        return file.read()


@lru_cache(maxsize=64)
def bucket(address: str) -> Objects:
    """The object store of an address, one for the whole process. Raises `UsageError`."""
    from batchgen.storage.objects import Objects  # late: most batches have none

    return Objects(address)
