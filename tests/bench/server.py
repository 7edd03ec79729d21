"""The floor server: a bare asyncio.Protocol that answers like an image gateway, far faster than any client.

A process of its own: `python -m tests.bench.server [CERT KEY]` prints its ports as JSON. One scenario at a
time, set by POST /_setup; GET /_counts says what arrived, and when. Loopback only, and no dependency.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

from tests.bench.pictures import Picture

READY = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n"
    b'{"error":{"message":"too many requests","code":"rate_limit"}}'
)


@dataclass
class Scenario:
    """How requests are answered: after `delay` seconds, refused above `limit` in flight (0: never).

    `side`: the pictures' width and height. `inline`: base64 in the reply instead of a link.
    """

    delay: float = 0.0
    limit: int = 0
    side: int = 180
    inline: bool = False


@dataclass
class Counts:
    """What came since the last setup; times are epoch seconds. `arrivals` are those of POSTs, refused ones too."""

    posts: int = 0
    refused: int = 0
    gets: int = 0
    in_flight: int = 0
    peak: int = 0
    last_answer: float = 0.0
    arrivals: list[float] = field(default_factory=list)


class Provider:
    """The one state of the server."""

    def __init__(self) -> None:
        self.address = ""
        self.scenario = Scenario()
        self.counts = Counts()
        self.picture = Picture(self.scenario.side)

    def setup(self, body: bytes) -> bytes:
        """Begin a scenario with nothing counted."""
        wanted = json.loads(body or b"{}")
        self.scenario = Scenario(**{one.name: wanted[one.name] for one in fields(Scenario) if one.name in wanted})
        self.counts = Counts()
        self.picture = Picture(self.scenario.side)
        gc.collect()
        gc.freeze()
        return answer(b"{}")

    def reply(self, path: bytes, number: int) -> bytes:
        """The answer to generation number `number`: a chat, a link or the picture itself in base64."""
        url = f"{self.address}/img/{number}.png"
        if path.endswith(b"/chat/completions"):
            message = {"role": "assistant", "content": f"![image]({url})"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}
            value = {"id": f"c{number}", "object": "chat.completion", "created": 1, "model": "m"}
            return answer(json.dumps({**value, "choices": [choice], "usage": usage}).encode())
        if self.scenario.inline:
            return answer(b'{"created":1,"data":[{"b64_json":"%s"}]}' % self.picture.base64(number))
        return answer(b'{"created":1,"data":[{"url":"%s"}]}' % url.encode())


def answer(body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole 200."""
    return READY % (kind, len(body)) + body


class Connection(asyncio.Protocol):
    """One connection; a request is taken once it is whole, and pipelining is not needed."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.received = b""
        self.timer: asyncio.TimerHandle | None = None
        self.counted: Counts | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """A client that left is in flight no more."""
        if self.timer is not None:
            self.timer.cancel()
        if self.counted is not None:
            self.counted.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        """Collect a request and answer it."""
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.received[:end]
        place = head.lower().find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self.received) < end + 4 + length:
            return
        body, self.received = self.received[end + 4 : end + 4 + length], self.received[end + 4 + length :]
        method, path = head.split(b" ", 2)[:2]
        self._serve(method, path, body)

    def _serve(self, method: bytes, path: bytes, body: bytes) -> None:
        provider = self.provider
        if path.startswith(b"/img/"):
            provider.counts.gets += 1
            head, rest = provider.picture.parts(int(path[5:-4]))
            self.transport.write(READY % (b"image/png", len(head) + len(rest)) + head + rest)
        elif path == b"/_setup":
            self.transport.write(provider.setup(body))
        elif path == b"/_counts":
            self.transport.write(answer(json.dumps(asdict(provider.counts)).encode()))
        else:
            self._generate(path)

    def _generate(self, path: bytes) -> None:
        counts, scenario = self.provider.counts, self.provider.scenario
        counts.posts += 1
        counts.arrivals.append(time.time())
        if scenario.limit and counts.in_flight >= scenario.limit:
            counts.refused += 1
            self.transport.write(REFUSED)
            return
        number = counts.posts
        counts.in_flight += 1
        counts.peak = max(counts.peak, counts.in_flight)
        self.counted = counts
        if scenario.delay:
            later = asyncio.get_running_loop().call_later
            self.timer = later(scenario.delay, self._answer, path, number)
        else:
            self._answer(path, number)

    def _answer(self, path: bytes, number: int) -> None:
        assert self.counted is not None
        self.timer = None
        self.counted.in_flight -= 1
        self.counted.last_answer = time.time()
        self.counted = None
        self.transport.write(self.provider.reply(path, number))


async def serve(cert: list[str]) -> None:
    """Serve until killed, over HTTP and, with a certificate, over HTTPS as well."""
    loop = asyncio.get_running_loop()
    provider = Provider()
    factory: Callable[[], Connection] = lambda: Connection(provider)  # noqa: E731 - a named type for mypy
    plain = await loop.create_server(factory, "127.0.0.1", 0, backlog=8192)
    ports = {"http": plain.sockets[0].getsockname()[1]}
    provider.address = f"http://127.0.0.1:{ports['http']}"
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cert)
        secure = await loop.create_server(factory, "127.0.0.1", 0, backlog=8192, ssl=context)
        ports["https"] = secure.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await plain.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
