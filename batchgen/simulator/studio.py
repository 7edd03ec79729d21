"""Make generations: from what is wanted to pictures with ids, files, links and inline bytes.

Draws nothing by itself: links are drawn when somebody fetches them, inline pictures by the gallery.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import blake2b

from batchgen.simulator.chat import Told
from batchgen.simulator.downloads import NO_IMAGE
from batchgen.simulator.faults import FILE, TASK
from batchgen.simulator.hosts import HOSTS, Filing, files_at, new_id
from batchgen.simulator.links import signed
from batchgen.simulator.memory import File, Generation, Memory
from batchgen.simulator.picture import Picture
from batchgen.simulator.pictures import Gallery, variants
from batchgen.simulator.settings import SimulatorSettings
from batchgen.simulator.wanted import Unreadable, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Everything that a generation follows from, besides what is wanted. Times: epoch seconds."""

    prefix: str
    settings: SimulatorSettings
    faults: frozenset[str]
    now: float
    hosts: tuple[str, ...]
    """where the files may lie; one is chosen by the prompt, `data` means inline"""
    size: tuple[int, int]
    count: int
    format: str | None = None
    quality: int | None = None
    key: str | None = None

    def host(self, prompt: str) -> str:
        """The host of this prompt's files; without randomness, so that a test can choose its prompt."""
        return self.hosts[blake2b(prompt.encode(), digest_size=1).digest()[0] % len(self.hosts)]


_UNFINISHED = frozenset({"async_only", "unfinished_cut", "cut_after_task_id"})


class Studio:
    """Makes and remembers generations, and writes their links anew whenever they are told."""

    def __init__(self, memory: Memory, gallery: Gallery) -> None:
        self._memory = memory
        self._gallery = gallery

    async def make(self, wanted: Wanted, order: Order, origin: str) -> Generation:
        """Start a generation and remember it. Raises Unreadable when a reference is no image."""
        task_id = new_id("task_", order.now)
        host = order.host(wanted.prompt)
        filing = Filing(order.prefix, task_id, order.now, order.settings.link_ttl)
        picture = await self._picture(wanted, order, origin)
        # Inline pictures have files too: the task shows them when its answer was cut.
        files = files_at("cdn" if host == "data" else host, filing, variants(picture, order.count))
        small = variants(replace(picture, format=HOSTS["preview"].format), 1)
        previews = files_at("preview", filing, small) if host == "cdn" else ()
        later = 2.0 if order.faults & _UNFINISHED else 1.0
        generation = Generation(
            task_id=task_id,
            prefix=order.prefix,
            started=order.now,
            duration=order.settings.latency * later,
            faults=order.faults & (FILE.keys() | TASK.keys()),
            ratio=wanted.ratio,
            parent=wanted.parent,
            links=wanted.links,
            files=files,
            previews=previews,
            key=order.key,
        )
        self._memory.keep(generation)
        return generation

    async def _picture(self, wanted: Wanted, order: Order, origin: str) -> Picture:
        inline = [data for data in wanted.references if isinstance(data, bytes)]
        try:
            reference = await self._gallery.small_copy(inline[0]) if inline else b""
            mask = await self._gallery.small_copy(wanted.mask, as_mask=True) if wanted.mask else b""
        except ValueError:
            words = "Invalid image file or mode for image 1, please check your image file."
            raise Unreadable(words, "invalid_image_file") from None
        parent = self._parent(wanted, origin)
        return Picture(
            prompt=wanted.prompt,
            model=wanted.model,
            size=order.size,
            format=order.format or "png",
            quality=order.quality,
            transparent=wanted.fields.get("background") == "transparent",
            roots=(parent.roots or parent.prompt) if parent else "",
            edits=(*parent.edits, parent.prompt) if parent and parent.roots else (),
            reference=reference,
            mask=mask,
            side=order.settings.image_side,
        )

    def _parent(self, wanted: Wanted, origin: str) -> Picture | None:
        """What the picture grows from: the one named in the conversation, or a reference that lies here."""
        parents = [self._memory.pictures.get(wanted.parent or "")]
        for link in wanted.references:
            if isinstance(link, str) and link.startswith(origin):
                path = link.removeprefix(origin).partition("?")[0].replace("/cdn/download/", "/cdn/", 1)
                parents += [found[1].picture for found in [self._memory.files.get(path)] if found]
        return next(filter(None, parents), None)

    def told(self, generation: Generation, origin: str, now: float) -> Told:
        """The generation with links as fresh as they can be had at `now` (epoch seconds)."""

        def link(file: File) -> str:
            return origin + signed(file.path, file.scheme, now, file.life)

        return Told(
            generation=generation,
            urls=tuple(link(file) for file in generation.files),
            previews=tuple(link(file) for file in generation.previews),
            base=origin + generation.prefix,
        )

    async def inline(self, file: File, faults: frozenset[str]) -> str:
        """The picture as base64 text, spoiled where the faults of files say so."""
        data = NO_IMAGE if "not_image" in faults else await self._gallery.encoded(file.picture)
        return b64encode(data[: len(data) // 2] if "file_truncated" in faults else data).decode()
