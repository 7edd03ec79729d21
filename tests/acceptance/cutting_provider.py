"""A small provider on 127.0.0.1 that breaks off where a test tells it to, and counts every request by its prompt.

It knows nothing of batchgen and shares no code with its simulator: a second opinion about what was
paid for. A prompt that holds `at:POINT` meets the fault there; each prompt meets it once.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import random
import re
import signal
import socket
import socketserver
import struct
import termios
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

LONG = 300
"""Seconds that a request may be held: longer than any test."""


class Point(StrEnum):
    """How far an exchange had come."""

    REQUEST = "request"
    """the request was read, nothing was answered"""
    HEADERS = "headers"
    """status and headers were sent"""
    TASK = "task"
    """the task id was sent, if there is one"""
    BODY = "body"
    """the body was sent up to the middle of its link or picture"""
    END = "end"
    """everything was sent but the chunk that says so"""
    DOWNLOAD = "download"
    """half of the picture was sent"""


class Fault(StrEnum):
    """What happens at a point."""

    CUT = "the provider breaks the connection"
    KILL = "the client is killed with SIGKILL"


class Face(StrEnum):
    """Which kind of provider this is."""

    TASKS = "chat, streamed, with a task id that can be asked for"
    BLIND = "chat, one JSON object with a link"
    INLINE = "images, one JSON object with base64"


@dataclass
class Cutting:
    """The provider's whole state. `victim` is the process to kill; `statuses` answer the next POSTs instead."""

    face: Face
    fault: Fault = Fault.CUT
    posts: Counter[str] = field(default_factory=Counter)
    polls: int = 0
    statuses: Iterator[tuple[int, str] | None] | None = None
    side: int = 8
    """edge of its pictures in pixels; they do not compress"""
    port: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._met: set[str] = set()
        self._victim: int | None = None
        self._named = threading.Event()
        self._open = threading.Event()
        self._open.set()

    @property
    def url(self) -> str:
        """What a manifest takes as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def task_url(self) -> str:
        """Where its tasks can be asked for."""
        return f"http://127.0.0.1:{self.port}/source/{{task_id}}"

    @property
    def total(self) -> int:
        """POSTs so far."""
        with self._lock:
            return sum(self.posts.values())

    def hold(self, after: int = 0) -> Iterator[None]:
        """As `statuses`: from the request behind so many on, requests are counted and not answered until `release`."""
        yield from itertools.repeat(None, after)
        self._open.clear()
        yield from itertools.repeat(None)

    def release(self) -> None:
        """Answer what is held, and hold no more."""
        self.statuses = None
        self._open.set()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within: requests are counted and not answered."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def aim(self, pid: int) -> None:
        """The client that the next SIGKILL is for."""
        self._victim = pid
        self._named.set()

    def counted(self) -> Counter[str]:
        """POSTs by prompt so far."""
        with self._lock:
            return Counter(self.posts)

    def begin(self, prompt: str) -> tuple[int, str] | None:
        """Count a POST; returns the status and body to answer with instead of a picture, if any."""
        with self._lock:
            self.posts[prompt] += 1
            instead = next(self.statuses, None) if self.statuses is not None else None
        assert self._open.wait(LONG), "a request was held too long"
        return instead

    def at(self, point: Point, prompt: str) -> bool:
        """Whether the exchange is over here. Kills the client when that is the fault."""
        if f"at:{point} " not in f"{prompt} ":
            return False
        with self._lock:
            if prompt in self._met:
                return False
            self._met.add(prompt)
        if self.fault is Fault.KILL:
            assert self._named.wait(LONG), "nobody told whom to kill"
            self._named.clear()
            assert self._victim is not None
            os.kill(self._victim, signal.SIGKILL)
        return True

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Exchange,), {"provider": self}))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: the standard library's own signature
        """A client that is gone is what these tests are about."""


class _Exchange(socketserver.StreamRequestHandler):
    """One connection, one request after the other."""

    provider: Cutting

    def handle(self) -> None:
        with suppress(ConnectionError):
            while (line := self.rfile.readline()) and self._one(line.decode("latin-1").split(" ")):
                pass

    def _one(self, words: list[str]) -> bool:
        """Answer one request; False: the connection is over."""
        headers = {}
        while (line := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        if words[0] == "POST":
            return self._generate(json.loads(body))
        if words[1].startswith("/source/"):
            return self._task(words[1].rpartition("/")[2])
        return self._file(words[1])

    def _generate(self, asked: dict[str, Any]) -> bool:  # Any: what a JSON body is
        prompt = asked["prompt"] if "prompt" in asked else asked["messages"][0]["content"]
        if (instead := self.provider.begin(prompt)) is not None:
            return self._whole(instead[0], instead[1].encode(), "application/json")
        name = re.sub(r"\W", "-", prompt)
        link = f"http://127.0.0.1:{self.provider.port}/files/{name}.png"
        if self._over(Point.REQUEST, prompt):
            return False
        pieces = _PIECES[self.provider.face](name, link)
        kind = "text/event-stream" if self.provider.face is Face.TASKS else "application/json"
        self._send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for point, piece in zip((Point.HEADERS, Point.TASK, Point.BODY, Point.END), ("", *pieces), strict=True):
            if piece:
                self._send(f"{len(piece.encode()):x}\r\n{piece}\r\n".encode())
            if self._over(point, prompt):
                return False
        self._send(b"0\r\n\r\n")
        return True

    def _task(self, task_id: str) -> bool:
        self.provider.polls += 1
        name = task_id.removeprefix("task_")
        link = f"http://127.0.0.1:{self.provider.port}/files/{name}.png"
        page = {"content": f"> ID: `{task_id}`\n> 生成完成 ✅\n\n![gen_01]({link})"}
        return self._whole(200, json.dumps(page).encode(), "application/json")

    def _file(self, path: str) -> bool:
        data = picture(path, self.provider.side)
        half = len(data) // 2
        self._send(f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        self._send(data[:half])
        # The name of the file is its prompt, as far as letters go.
        if any(self._over(Point.DOWNLOAD, prompt) for prompt in self._prompts(path)):
            return False
        self._send(data[half:])
        return True

    def _prompts(self, path: str) -> list[str]:
        name = path.rpartition("/")[2].removesuffix(".png")
        return [prompt for prompt in self.provider.counted() if re.sub(r"\W", "-", prompt) == name]

    def _whole(self, status: int, body: bytes, kind: str) -> bool:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._send(head.encode() + body)
        return True

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _over(self, point: Point, prompt: str) -> bool:
        if not self.provider.at(point, prompt):
            return False
        if self.provider.fault is Fault.CUT and point is not Point.END:
            # A reset rather than a good end, and only when the other side's system has what was sent before it.
            self._delivered()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return True

    def _delivered(self) -> None:
        """Wait until no byte is on its way any more: a reset throws away what it overtakes."""
        while struct.unpack("i", fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)))[0]:
            time.sleep(0.001)


def _streamed(name: str, link: str) -> tuple[str, str, str]:
    """Up to the task id, up to the middle of the link, the rest."""

    def event(text: str) -> str:
        delta = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        return f"data: {json.dumps(delta)}\n\n"

    half = len(link) // 2
    return (
        event(f"> ID: `task_{name}`\n> 排队中.\n"),
        event("> 生成中..\n> 进度 14%.\n") + event(f"![gen_01]({link[:half]}"),
        event(f"{link[half:]})\n\n> 生成完成 ✅\n") + "data: [DONE]\n\n",
    )


def _linked(name: str, link: str) -> tuple[str, str, str]:
    content = f"Here it is:\n\n![image]({link})"
    return _parts({"choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}]}, link)


def _inlined(name: str, link: str) -> tuple[str, str, str]:
    return _parts({"created": 1, "data": [{"b64_json": base64.b64encode(picture(name)).decode()}]}, "iVBOR")


def _parts(body: dict[str, Any], mark: str) -> tuple[str, str, str]:
    text = json.dumps(body)
    middle = text.index(mark) + len(mark) // 2
    return text[:1], text[1:middle], text[middle:]


_PIECES = {Face.TASKS: _streamed, Face.BLIND: _linked, Face.INLINE: _inlined}


def picture(name: str, side: int = 8) -> bytes:
    """A PNG of noise that hangs on the name, `side` pixels wide and high."""
    noise = random.Random(name)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
