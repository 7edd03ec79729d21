"""What the product is held against: the same requests and the same files by the shortest program there is.

`python -m tests.bench.floors loop …` is a bare aiohttp loop without ledger, retry or decoding; with `--durable` it
decodes and syncs every file as the product does. `capacity …` is a hand-written protocol that shows how much the
server can do at all. Each is run as a whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import time
from io import BytesIO
from pathlib import Path


async def loop(options: argparse.Namespace) -> None:
    """POST `jobs` prompts, `at_once` at a time; with a folder, bring the pictures there, hashed."""
    import aiohttp  # here: `capacity` must run where it is not installed
    import pybase64

    numbers = iter(range(options.jobs))
    folder = Path(options.folder) if options.folder else None

    async def save(session: aiohttp.ClientSession, number: int, item: dict[str, str]) -> None:
        assert folder is not None
        if "b64_json" in item:
            data = pybase64.b64decode(item["b64_json"], validate=True)
        else:
            async with session.get(item["url"]) as reply:
                data = await reply.read()
        part, place = folder / f"{number}.part", folder / f"{number}.png"
        if options.durable:
            await asyncio.to_thread(_kept, data, part, place)
            return
        hashlib.sha256(data).hexdigest()
        part.write_bytes(data)
        part.rename(place)

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = {"model": "m", "prompt": f"picture {number}", "n": 1}
            async with session.post(f"{options.url}/images/generations", json=body) as reply:
                assert reply.status == 200
                value = json.loads(await reply.read())
            if folder is not None:
                await save(session, number, value["data"][0])

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(client(session) for _ in range(options.at_once)))


def _kept(data: bytes, part: Path, place: Path) -> None:
    """A file that is hashed, decoded to its last pixel and safe from a power cut, name and all."""
    from PIL import Image  # here: the other floors start without it

    hashlib.sha256(data).hexdigest()
    with Image.open(BytesIO(data)) as image:
        image.load()
    with part.open("wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    part.rename(place)
    descriptor = os.open(place.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


class _Hammer(asyncio.Protocol):
    """Sends the same request again as soon as the answer is whole."""

    def __init__(self, request: bytes, totals: list[int]) -> None:
        self.request, self.totals, self.missing = request, totals, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer."""
        if self.missing:
            self.missing -= len(data)
        else:
            head, _, rest = data.partition(b"\r\n\r\n")
            self.missing = int(head.rsplit(b": ", 1)[1]) - len(rest)
        if self.missing == 0:
            self.totals[0] += 1
            self.transport.write(self.request)


async def capacity(options: argparse.Namespace) -> None:
    """Print answers a second of one path, over `at_once` connections for `seconds`."""
    host, port = options.url.removeprefix("http://").split("/")[0].split(":")
    start = f"{options.path} HTTP/1.1\r\nHost: {host}\r\n"
    request = (start + ("Content-Length: 2\r\n\r\n{}" if options.path.startswith("POST") else "\r\n")).encode()
    totals, running = [0], asyncio.get_running_loop()
    lines = [
        await running.create_connection(lambda: _Hammer(request, totals), host, int(port))
        for _ in range(options.at_once)
    ]
    begun = time.perf_counter()
    await asyncio.sleep(options.seconds)
    print(json.dumps(totals[0] / (time.perf_counter() - begun)))
    for transport, _ in lines:
        transport.close()


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["loop", "capacity"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--folder")
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--path", default="POST /v1/images/generations")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    asyncio.run(loop(options) if options.what == "loop" else capacity(options))


if __name__ == "__main__":
    main()
