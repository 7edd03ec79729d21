"""A quick provider that names a task at once, draws later, and remembers every request with its time.

A process of its own, so that neither the runner's death nor a busy test changes what it counts:
`python -m tests.acceptance.cluster.provider DELAY` prints its port. Shares no code with batchgen.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

from tests.acceptance.cutting_provider import picture

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Memory:
    """What it was asked. Times are epoch seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.port = 0
        self.posts: list[tuple[float, str]] = []
        self.polls = 0
        self.keys: set[str] = set()


def chunk(text: str) -> bytes:
    """A piece of a streamed chat answer."""
    delta = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    data = f"data: {json.dumps(delta)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes, kind: str = "application/json") -> bytes:
    """A reply in one piece."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def serve(memory: Memory, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, one request after the other."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            words = head.split(b" ", 2)
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            await exchange(memory, words[0], words[1].decode(), head, body, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def exchange(
    memory: Memory, method: bytes, path: str, head: bytes, body: bytes, writer: asyncio.StreamWriter
) -> None:
    """Answer one request."""
    if method == b"POST":
        await generate(memory, json.loads(body)["messages"][0]["content"], head, writer)
    elif path == "/_log":
        log = {"posts": memory.posts, "polls": memory.polls, "keys": sorted(memory.keys)}
        writer.write(whole(json.dumps(log).encode()))
    elif path.startswith("/source/"):
        memory.polls += 1
        task = path.rpartition("/")[2]
        page = {"content": f"> ID: `{task}`\n> 生成完成 ✅\n\n![gen_01]({link(memory, task)})"}
        writer.write(whole(json.dumps(page).encode()))
    else:
        writer.write(whole(picture(path), "image/png"))
    await writer.drain()


async def generate(memory: Memory, prompt: str, head: bytes, writer: asyncio.StreamWriter) -> None:
    """Name the task at once and bring the link later."""
    memory.posts.append((time.time(), prompt))
    if key := re.search(rb"(?i)authorization: Bearer (\S+)", head):
        memory.keys.add(key[1].decode())
    task = "task_" + re.sub(r"\W", "-", prompt)
    writer.write(STREAM + chunk(f"> ID: `{task}`\n> 排队中.\n"))
    await writer.drain()
    await asyncio.sleep(memory.delay)
    writer.write(chunk(f"![gen_01]({link(memory, task)})\n\n> 生成完成 ✅\n") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def link(memory: Memory, task: str) -> str:
    """Where the picture of a task is."""
    return f"http://127.0.0.1:{memory.port}/files/{task}.png"


async def main(delay: float) -> None:
    """Serve until killed."""
    memory = Memory(delay)
    server = await asyncio.start_server(lambda *pair: serve(memory, *pair), "127.0.0.1", 0, backlog=4096)
    memory.port = server.sockets[0].getsockname()[1]
    print(memory.port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
