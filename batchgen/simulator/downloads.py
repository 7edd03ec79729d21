"""Serve the finished pictures as object stores do: signatures, deadlines, ranges, and the faults of files."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from batchgen.simulator.exchange import Ending, Piece, Reply, Request, page, whole
from batchgen.simulator.links import Verdict, denial, judge
from batchgen.simulator.memory import File, Memory
from batchgen.simulator.pictures import Gallery

_MOVED = "/moved"
"""what a redirect puts behind the provider's prefix"""

_FIRST_ONLY: Mapping[str, Reply] = {
    "file_404_first": page(404, "404 Not Found"),
    "file_503": page(503, "503 Service Unavailable"),
}
NO_IMAGE = b"no picture, only words\n" * 40

_ALWAYS: Mapping[str, Reply] = {
    "file_403": page(403, "403 Forbidden"),
    "file_410": page(410, "410 Gone"),
    "file_html": page(200, "Please log in"),
    "not_image": whole(200, NO_IMAGE, "image/png"),
}


class Downloads:
    """The file side of all simulated providers."""

    def __init__(self, memory: Memory, gallery: Gallery) -> None:
        self._memory = memory
        self._gallery = gallery
        self._asked: Counter[str] = Counter()

    async def answer(self, request: Request, prefix: str, now: float) -> Reply:
        """The file under the request's raw path, or why there is none. `now` is epoch seconds."""
        was_moved = request.path.startswith(prefix + _MOVED)
        path = prefix + request.path.removeprefix(prefix).removeprefix(_MOVED)
        key = path.replace("/cdn/download/", "/cdn/", 1)
        found = self._memory.files.get(key)
        if found is None:
            return page(404, "404 Not Found")
        generation, file = found
        if not request.query and file.dies_at is not None and now >= file.dies_at:
            return page(404, "404 Not Found")
        expired = "file_expired" in generation.faults
        verdict = Verdict.EXPIRED if expired else judge(path, request.query, file.scheme, now)
        if verdict is not Verdict.GOOD:
            return whole(403, denial(file.scheme, verdict), "application/xml")
        first = not self._asked[key]
        if request.method == "GET":
            self._asked[key] += 1
        spoiled = _instead(generation.faults, first) or _redirect(
            generation.faults, request, prefix, was_moved
        )
        if spoiled is not None:
            return spoiled
        reply = _ranged(request, await self._whole_file(file, path))
        if first and "file_truncated" in generation.faults:
            half = reply.body[: max(1, len(reply.body) // 2)]
            return replace(reply, pieces=(Piece(half),), ending=Ending.CLOSE)
        return _slowed(reply) if "file_slow" in generation.faults else reply

    async def _whole_file(self, file: File, path: str) -> Reply:
        data = await self._gallery.encoded(file.picture)
        headers = [
            ("ETag", f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'),
            ("Accept-Ranges", "bytes"),
        ]
        if "/cdn/download/" in path:
            headers.append(("Content-Disposition", f'attachment; filename="{path.rpartition("/")[2]}"'))
        return whole(200, data, file.picture.media, headers=tuple(headers))


def _instead(faults: frozenset[str], first: bool) -> Reply | None:
    table = {**_ALWAYS, **(_FIRST_ONLY if first else {})}
    return next((reply for name, reply in table.items() if name in faults), None)


def _redirect(faults: frozenset[str], request: Request, prefix: str, was_moved: bool) -> Reply | None:
    target = prefix + _MOVED + request.target.removeprefix(prefix)
    if "file_redirect_loop" in faults:
        target = request.target
    elif "file_redirect_private" in faults:
        # Another loopback address: private, and not the provider's own host.
        target = (
            f"http://127.0.0.2:{request.headers.get('host', '').rpartition(':')[2] or 80}{request.target}"
        )
    elif "file_redirect" not in faults or was_moved:
        return None
    return Reply(status=302, headers=(("Location", target),), length=0)


_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


def _ranged(request: Request, reply: Reply) -> Reply:
    """The asked part of a whole file; ranges of other kinds are ignored, as HTTP permits."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None:
        return reply
    data = reply.body
    start, end = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    if start > end:
        return Reply(status=416, headers=(("Content-Range", f"bytes */{len(data)}"),), length=0)
    part = data[start : end + 1]
    headers = (*reply.headers, ("Content-Range", f"bytes {start}-{end}/{len(data)}"))
    return replace(reply, status=206, headers=headers, pieces=(Piece(part),), length=len(part))


def _slowed(reply: Reply) -> Reply:
    step = max(1, len(reply.body) // 20 + 1)
    body = reply.body
    return replace(reply, pieces=tuple(Piece(body[at : at + step], 0.05) for at in range(0, len(body), step)))
