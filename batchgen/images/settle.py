"""A file that is whole and durable becomes an output: decoded, told about, and given its place.

It stays aside until everything is known that its name needs; never overwrites other bytes, never
leaves its store. Everything here blocks and decodes: call it in a thread, behind `decoders()`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchgen.errors import BadImage, Blocked, LinkDead
from batchgen.events import Saved
from batchgen.images.embed import NotEmbedded
from batchgen.images.inspect import EXTENSIONS, HEAD_BYTES, ImageFacts, extension, inspect, inspect_data
from batchgen.images.looks import difference_hash
from batchgen.images.naming import by_content, settled
from batchgen.images.provenance import embed, write_sidecar
from batchgen.images.verdicts import expired
from batchgen.model import Download
from batchgen.storage.base import Store
from batchgen.storage.buffer import buffer
from batchgen.storage.disk import Disk
from batchgen.storage.local import Whole, below, digest_of, disk, inside, places, remove


@dataclass(frozen=True, slots=True)
class Made:
    """A verified file that only lacks its place: `saved` tells of it, with the place it wants.

    `file` is the one that came, or a copy of it with words in it.
    """

    file: Path
    saved: Saved


def settle(store: Store, whole: Whole, work: Download) -> Saved:
    """Give the `whole` file its place and take it away. Raises as `make` and `place` do."""
    with disk():
        made = make(whole, work)
        saved = place(store, made, work)
        if made.file != whole.path:
            remove(whole.path)
        return saved


def make(whole: Whole, work: Download) -> Made:
    """Decode it, and write words into a copy if that is wanted. Raises `BadImage`, `LinkDead`, `WorkspaceError`."""
    with disk():
        facts = _facts(whole)
        aside, sha256 = whole.path, whole.sha256
        told, came = aside, None
        warnings: tuple[str, ...] = ()
        look = difference_hash(aside) if work.rules.near_duplicates else None
        if work.rules.embed:
            try:
                told, digest = embed(aside, facts, work.about)
                came, sha256 = sha256, digest
            except NotEmbedded as error:
                warnings = (f"nothing is embedded: {error}",)
        size = whole.size if told == aside else told.stat().st_size
        path = settled(work.target, sha256, extension(facts.format))
        return Made(told, _saved(path, facts, sha256, size, came=came, look=look, warnings=warnings))


def place(store: Store, made: Made, work: Download) -> Saved:
    """Bring a made file to its place in the store. Raises `Blocked`, `StoreDown`, `WorkspaceError`."""
    path = store.publish_new(made.file, made.saved.path, made.saved.sha256)
    saved = dataclasses.replace(made.saved, path=path, store=store.address)
    if work.rules.sidecar:
        write_sidecar(store, saved, work.about)
    return saved


def settle_spool(workspace: Path, work: Download) -> Saved:
    """Give the spooled image of `work` its place, also when an earlier run did so and died."""
    path, store = spooled(workspace, work), Disk(workspace)
    with disk():
        if path.exists():
            with whole_at(path) as whole:
                return settle(store, whole, work)
        saved = _settled_before(workspace, work)
        if work.rules.sidecar:
            write_sidecar(store, saved, work.about)
        return saved


def spooled(workspace: Path, work: Download) -> Path:
    """Where the inline image of `work` waits. Raises `Blocked`."""
    path = inside(workspace, work.spool or "")
    if path is None:
        raise Blocked("the spooled image lies outside the workspace")
    return path


@contextmanager
def whole_at(path: Path) -> Iterator[Whole]:
    """Within: a file of an earlier try, read once more. Raises `OSError`."""
    with buffer() as memory:
        if memory.read(path):
            yield Whole(path, hashlib.sha256(memory.data).hexdigest(), memory.size, memory.data)
            return
    yield Whole(path, digest_of(path).hexdigest(), path.stat().st_size)


def _settled_before(workspace: Path, work: Download) -> Saved:
    """The file of a run that died between the rename and the ledger: the last one of that name."""
    found = sorted(_candidates(workspace, work), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found:
        sha256 = digest_of(path).hexdigest()
        place = _place(workspace, work, sha256, path.suffix[1:])
        if not by_content(work.target) or (path.parent == place.parent and path.name.startswith(place.stem)):
            return _saved(below(workspace, path), inspect(path), sha256, path.stat().st_size)
    raise LinkDead("the inline image is no longer in the workspace")


def _candidates(workspace: Path, work: Download) -> Iterator[Path]:
    """Files that have the name of `work`; where their bytes make the name, all that may have it."""
    if by_content(work.target):
        every = (workspace.resolve() / "images").rglob("[!.]*")
        yield from (path for path in every if path.suffix[1:] in EXTENSIONS and path.is_file())
        return
    for ending in EXTENSIONS:
        for place in places(_place(workspace, work, "", ending)):
            if not place.is_file():
                break
            yield place


def _place(workspace: Path, work: Download, sha256: str, ending: str) -> Path:
    place = inside(workspace, settled(work.target, sha256, ending))
    if place is None:
        raise Blocked("the place of the file lies outside the workspace")
    return place


def _facts(whole: Whole) -> ImageFacts:
    try:
        return inspect(whole.path) if whole.data is None else inspect_data(whole.data)
    except BadImage:
        with whole.path.open("rb") as file:
            if expired(file.read(HEAD_BYTES)):
                raise LinkDead("the link is dead: its host says so, with status 200") from None
        raise


def _saved(
    path: str,
    facts: ImageFacts,
    sha256: str,
    size: int,
    *,
    came: str | None = None,
    look: str | None = None,
    warnings: tuple[str, ...] = (),
) -> Saved:
    return Saved(
        path=path,
        sha256=sha256,
        bytes=size,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        came=came,
        look=look,
        warnings=warnings,
    )
