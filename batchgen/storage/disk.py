"""The workspace as a store: the default, with nothing between an image and the disk."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from batchgen.errors import Blocked
from batchgen.storage.base import Readable
from batchgen.storage.local import INCOMING, TOLD, Aside, below, inside, publish, publish_new


class Disk:
    """The folder of one batch."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    @property
    def address(self) -> None:
        """No other place than the workspace."""
        return None

    def publish_new(self, file: Path, target: str, sha256: str) -> str:
        """Rename a synced file; see `Store.publish_new`."""
        return below(self._workspace, publish_new(file, self._place(target), sha256))

    def write(self, path: str, data: bytes) -> None:
        """Write aside and rename."""
        # A name of its own: jobs with the same image may share a path, and write it at the same time.
        aside = self._workspace / INCOMING / f"{uuid.uuid4().hex}{TOLD}"
        with Aside(aside) as file:
            file.write([data])
            file.sync()
        publish(aside, self._place(path))

    def open(self, path: str) -> Readable | None:
        """The file, unless it is gone or lies outside the workspace."""
        place = inside(self._workspace, path)
        try:
            return place.open("rb") if place is not None else None
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def size(self, path: str) -> int | None:
        """Bytes; None when it is not there."""
        place = inside(self._workspace, path)
        try:
            return place.stat().st_size if place is not None else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def below(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """Everything that is no folder itself, so that a dead link counts too."""
        for path in (self._workspace / folder).rglob("*"):
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(self._workspace).as_posix(), None

    def _place(self, target: str) -> Path:
        place = inside(self._workspace, target)
        if place is None:
            raise Blocked("the place of the file lies outside the workspace")
        return place
