"""The files of several workspaces in one: linked where the file system can, else copied.

Whoever brings a file is told the path that it has in the end: nothing is ever put over other bytes. Blocks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batchgen.images.outgoing import WHOLE as READY
from batchgen.images.provenance import SIDECAR
from batchgen.images.spool import AnswerLog, noted_answers
from batchgen.ledger.merging import Kept, Shifts
from batchgen.simulator.memory import REMEMBERED
from batchgen.storage.local import INCOMING, digest_of, inside, places


class Files:
    """The files of the workspace that is being made."""

    def __init__(self, whole: Path) -> None:
        self._whole = whole
        (whole / INCOMING).mkdir(parents=True, exist_ok=True)
        self._answers = AnswerLog(whole)
        self.images = 0
        self.copied = 0
        """images that could not be linked"""
        self.lost: list[str] = []
        """those that a job needs as it stands, and that are not on disk"""

    def keep(self, shard: Path, kept: Kept) -> str:
        """Bring an image and its sidecar; returns its path below the whole workspace."""
        source, wanted = inside(shard, kept.path), inside(self._whole, kept.path)
        if source is None or wanted is None or not source.is_file():
            if kept.current:
                self.lost.append(str(shard / kept.path))
            return kept.path
        for place in places(wanted):
            try:
                self.copied += not _put(source, place)
            except FileExistsError:
                if digest_of(place).hexdigest() != kept.sha256:
                    continue  # the bytes of another shard
            else:
                self.images += 1
                if (sidecar := _beside(source)).is_file():
                    _put(sidecar, _beside(place))
            return Path(kept.path).with_name(place.name).as_posix()
        raise AssertionError("unreachable: the places never end")

    def spooled(self, shard: Path, path: str, mark: str) -> str:
        """Bring an inline image that has no place yet; `mark` tells the shards' names apart."""
        moved = f"{INCOMING}/{mark}{Path(path).name}"
        source = inside(shard, path)
        if source is not None and source.is_file():
            with suppress(FileExistsError):  # it was noted with its answer as well
                _put(source, self._whole / moved)
        return moved

    def unsettled(self, shard: Path, attempts: Collection[int], shifts: Shifts, mark: str) -> None:
        """Bring what the shard's ledger had not been told, under the numbers that it has now: the logged answers of
        open attempts with the images that they name, and verified images that wait for their object store."""
        for attempt, noted in noted_answers(shard, attempts).items():
            images = (
                image if image.spool is None else replace(image, spool=self.spooled(shard, image.spool, mark))
                for image in noted.images
            )
            self._answers.add(attempt + shifts.attempts, replace(noted, images=tuple(images)))
        for image in (shard / INCOMING).glob(f"o*{READY}"):
            number = int(image.stem[1:]) + shifts.outputs
            _put(image, self._whole / INCOMING / f"o{number}{READY}")

    def remembered(self, shard: Path) -> None:
        """Bring what the shard's simulated providers remember, so that their tasks can still be asked for."""
        if (shard / REMEMBERED).is_file():
            with (shard / REMEMBERED).open("rb") as source, (self._whole / REMEMBERED).open("ab") as file:
                shutil.copyfileobj(source, file)
                file.write(b"\n")


def _put(source: Path, place: Path) -> bool:
    """Link a file, or copy it where that can't be: then False. Raises FileExistsError."""
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except FileNotFoundError:
        place.parent.mkdir(parents=True)
        return _put(source, place)
    except OSError:  # another file system, one without links, or too many of them
        with source.open("rb") as old, place.open("xb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
        return False
    return True


def _beside(image: Path) -> Path:
    return image.with_name(image.name + SIDECAR)
