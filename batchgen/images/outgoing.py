"""Images on their way to an object store: verified first, in the workspace, and kept there until the ledger has them.

So a store that is down costs no image whose link dies meanwhile, and a crash between the upload and the ledger
costs nothing: the same bytes at their place count. Everything here but `uploads` blocks.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

from batchgen.errors import BadImage, LinkDead
from batchgen.events import Saved
from batchgen.images.partial import PartialFile
from batchgen.images.settle import Made, make, place, spooled, whole_at
from batchgen.images.threads import at_most
from batchgen.model import Download
from batchgen.storage.base import Store
from batchgen.storage.local import INCOMING, TOLD, disk, publish, remove

WHOLE: Final = ".whole"
"""Ending of a download that is verified and not yet in its store."""

_NAMES: Final = re.compile(rf"o(?P<output>\d+){re.escape(WHOLE)}|a(?P<attempt>\d+)-\d+")

uploads: Final = at_most(32, "uploading images")
"""The event loop's limit on threads that upload: they wait for the network, and hold a file in memory each."""


def waiting(workspace: Path, work: Download) -> Made | None:
    """The image of `work` that is here already: inline, or brought by an earlier try. None: it is to be fetched.

    Raises `LinkDead` for an inline image that is gone, `BadImage` for one that is none, `WorkspaceError`.
    """
    path = _whole(workspace, work) if work.spool is None else spooled(workspace, work)
    with disk():
        if not path.exists():
            if work.spool is not None:
                raise LinkDead("the inline image is no longer in the workspace")
            return None
        try:
            with whole_at(path) as whole:
                return make(whole, work)
        except BadImage:
            if work.spool is not None:
                raise
            remove(path)  # damaged since it was verified: its link brings it again
            return None


def keep(workspace: Path, part: PartialFile, work: Download) -> Made:
    """Verify a download that is at its end, and let it wait. Raises as `make` does."""
    with part.finish() as came:
        made = make(came, work)
    whole = _whole(workspace, work)
    publish(part.path, whole)
    return dataclasses.replace(made, file=whole) if made.file == part.path else made


def deliver(store: Store, made: Made, work: Download) -> Saved:
    """Upload. The file stays; `forget` it when the ledger has the image. Raises as `place` does."""
    with disk():
        saved = place(store, made, work)
        if made.file.suffix == TOLD:
            remove(made.file)
        return saved


def forget(workspace: Path, work: Download) -> None:
    """The ledger has the image: nothing of it is needed here any more."""
    remove(_whole(workspace, work) if work.spool is None else spooled(workspace, work))


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Files that wait, or that nobody took away: downloads by output, inline images by attempt."""

    outputs: dict[int, Path]
    attempts: dict[int, list[Path]]


def held(workspace: Path) -> Held:
    """What lies in the folder of unfinished files. Raises `WorkspaceError`."""
    outputs: dict[int, Path] = {}
    attempts: dict[int, list[Path]] = {}
    folder = workspace / INCOMING
    with disk():
        for path in folder.iterdir() if folder.is_dir() else ():
            if name := _NAMES.fullmatch(path.name):
                if name["output"]:
                    outputs[int(name["output"])] = path
                else:
                    attempts.setdefault(int(name["attempt"]), []).append(path)
    return Held(outputs, attempts)


def _whole(workspace: Path, work: Download) -> Path:
    return workspace / INCOMING / f"o{work.output_id}{WHOLE}"
