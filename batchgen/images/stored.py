"""Data URLs of a manifest kept as files of the workspace, so that the ledger holds no image.

A file is named by its content. One that no job of the manifest names any more is removed. Blocks.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from batchgen.errors import BadImage, ManifestError
from batchgen.images.inspect import extension, sniff
from batchgen.images.spool import decoded
from batchgen.model import Entry
from batchgen.storage.local import INCOMING, Aside, disk, publish, remove

REFERENCES: Final = "images/.references"
"""Below the workspace: the pictures of data URLs, named by their content."""

_LARGEST: Final = 100_000_000


class DataUrls:
    """The data URLs of one reading of a manifest."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._folder = workspace.resolve() / REFERENCES
        self.files: set[Path] = set()
        """of the entries that were taken so far"""

    def stored(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries with every data URL written to a file and its path in its place.

        Raises `ManifestError` for one that can't be read, `WorkspaceError` of the disk.
        """
        for entry in entries:
            job = entry.like
            pictures = job.references if job.mask is None else (*job.references, job.mask)
            if not pictures or not any(map(_is_data_url, pictures)):
                yield entry
                continue
            try:
                references = tuple(map(self._place, job.references))
                mask = self._place(job.mask) if job.mask else None
            except BadImage as error:
                raise ManifestError((f"{entry.place}: {error.message}",)) from error
            yield entry._replace(like=dataclasses.replace(job, references=references, mask=mask))

    def prune(self) -> None:
        """Remove the files of earlier readings that this one, which was taken in whole, has no use for."""
        with disk():
            for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
                if path not in self.files:
                    remove(path)

    def _place(self, source: str) -> str:
        if not _is_data_url(source):
            return source
        data = _bytes(source)
        digest = hashlib.sha256(data).hexdigest()
        format = sniff(data[:32])
        place = self._folder / f"{digest}.{extension(format) if format else 'image'}"
        if not place.exists():
            aside = self._workspace / INCOMING / f"{digest}.tmp"
            remove(aside)
            with Aside(aside) as file:
                file.write([data])
                file.sync()
            publish(aside, place)
        self.files.add(place)
        return str(place)


def _bytes(source: str) -> bytes:
    """The bytes of a base64 data URL, the only kind that a manifest may hold. Raises `BadImage`."""
    kind, _, payload = source[5:].partition(",")
    try:
        return b"".join(decoded(payload, _LARGEST))
    except BadImage as error:
        what = f"data URL ({kind.partition(';')[0][:40] or 'no type'})"
        raise BadImage(f"{what}: {error.message.replace('inline image', 'data')}") from error


def _is_data_url(source: str) -> bool:
    return source[:5].lower() == "data:"
