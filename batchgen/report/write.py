"""The report onto the disk: small copies made, put into the page or beside it, the page renamed when it is whole.

Blocks. Writes only `report.html`, `report/` and `.thumbnails/` of the workspace.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchgen.images.ahead import FAR, THREADS, ahead
from batchgen.images.thumbnails import ENDING, MIME, thumbnail
from batchgen.report.gather import Shot
from batchgen.report.markup import link
from batchgen.report.page import Subject, page

PAGE: Final = "report.html"
BESIDE: Final = "report"
"""The folder for small copies that are too many for one file."""

MOST_INLINE: Final = 12_000_000
"""Bytes of small copies in the page; with more, all of them go beside it."""

_OURS: Final = re.compile(r"[0-9a-f]{64}" + re.escape(ENDING))


@dataclass(frozen=True, slots=True)
class Written:
    """What was made. `beside`: the page needs the folder `report/`; `lost` pictures are not on disk any more."""

    path: Path
    bytes: int
    pictures: int
    lost: int
    beside: bool


def write_report(
    workspace: Path, subject: Subject, told: Callable[[int], None], *, most_inline: int = MOST_INLINE
) -> Written:
    """Write the page. `told` hears after each picture how many small copies are there. Raises `OSError`."""
    small: dict[tuple[str | None, str], Path] = {}  # by the store and path of its picture
    total = lost = 0
    shots = subject.facts.pictures
    for number, (shot, place) in enumerate(_thumbnails(workspace, shots), 1):
        if place is None:
            lost += 1
        else:
            small[shot.store, shot.path] = place
            total += place.stat().st_size
        told(number)
    beside = total > most_inline
    folder = workspace / BESIDE
    if beside:
        _fill(folder, small)

    def source(shot: Shot) -> str | None:
        place = small.get((shot.store, shot.path))
        if place is None:
            return None
        if beside:
            return link(f"{BESIDE}/{place.name}")
        return f"data:{MIME};base64,{base64.b64encode(place.read_bytes()).decode()}"

    target, aside = workspace / PAGE, workspace / f".{PAGE}.{os.getpid()}"
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(page(subject, source))
    aside.replace(target)
    _tidy(folder, {place.name for place in small.values()} if beside else set())
    return Written(target, target.stat().st_size, len(shots), lost, beside)


def _thumbnails(workspace: Path, shots: Sequence[Shot]) -> Iterator[tuple[Shot, Path | None]]:
    threads = FAR if any(shot.store for shot in shots) else THREADS
    return ahead(shots, lambda shot: thumbnail(workspace, shot.path, shot.sha256, shot.store), threads)


def _fill(folder: Path, small: Mapping[tuple[str | None, str], Path]) -> None:
    folder.mkdir(exist_ok=True)
    for place in small.values():
        target = folder / place.name
        if not target.exists():
            aside = target.with_name(f".{place.name}")
            shutil.copyfile(place, aside)
            aside.replace(target)


def _tidy(folder: Path, wanted: set[str]) -> None:
    """Delete the copies that an earlier page needed, and nothing else."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name.removeprefix(".")) and path.name not in wanted:
            path.unlink()
    with suppress(OSError):  # somebody's own files are in it
        folder.rmdir()
