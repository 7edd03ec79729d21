"""One connection on a real socket: much both ways, with and without TLS, and a side that takes or gives nothing."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import aclosing
from pathlib import Path

import httpcore2
import pytest
import uvloop

from batchgen.codecs.base import Call
from batchgen.errors import Interrupted
from batchgen.transport import Transport
from batchgen.transport.wire import Network
from tests.integration.loopback import Answer, Loopback, Then, http
from tests.integration.test_transport import TIMEOUT, certificate, exchange, get

__all__ = ["certificate"]  # a fixture

MUCH = os.urandom(5_000_000)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_megabytes_arrive_whole_both_ways(secure: bool, certificate: tuple[Path, Path]) -> None:
    await much_both_ways(secure, certificate)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_the_same_holds_on_uvloop(secure: bool, certificate: tuple[Path, Path]) -> None:
    """Ray's actors and web frameworks run on it where it is installed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(much_both_ways(secure, certificate))


async def much_both_ways(secure: bool, certificate: tuple[Path, Path]) -> None:
    """Five megabytes there and back, twice, over one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with (
        Loopback([http(200, MUCH)], tls=context if secure else None) as server,
        Transport(verify=trusting) as transport,
    ):
        url = f"{'https' if secure else 'http'}://pictures.test:{server.port}/a"
        for _ in range(2):
            call = Call(method="POST", url=url, body=MUCH, content_type="x/y")
            _, body = await exchange(transport, call, pin="127.0.0.1")
            assert body == MUCH
        assert [request.partition(b"\r\n\r\n")[2] == MUCH for request in server.requests] == [True, True]
        assert server.connections == 1


async def test_an_upload_that_nobody_takes_ends_after_the_time_out_with_an_unknown_outcome() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.transport.abort()

    released = asyncio.Event()
    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024) as server, Transport() as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(Interrupted, match=r"took nothing for 0\.05 s"):
            await exchange(transport, Call(method="POST", url=url, body=b"x" * 50_000_000), idle=0.05)
        released.set()


async def test_a_body_that_nobody_reads_waits_at_its_sender() -> None:
    """Else a slow disk would fill the memory with what the network brings."""
    sent = 0
    whole = 40 << 20

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < whole:
            writer.write(MUCH[: 1 << 16])
            await writer.drain()
            sent += 1 << 16
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        stream = await Network().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1], timeout=TIMEOUT)
        taken, before = len(await stream.read(1, timeout=TIMEOUT)), -1
        while before < sent:  # each turn lets the sender write; a hundred without a byte, and it has been stopped
            before = sent
            for _ in range(100):
                await asyncio.sleep(0)
        assert sent < whole // 2
        while piece := await stream.read(1, timeout=TIMEOUT):
            taken += len(piece)
        assert taken == sent == whole
        await stream.aclose()


async def test_a_reset_is_no_end_of_a_body_without_a_length() -> None:
    """Such a body ends with its connection, and half a picture must not pass for a whole one."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    for then, whole in ((Then.CLOSE, True), (Then.RESET, False)):
        asked = asyncio.Event()

        async def script(writer: asyncio.StreamWriter, asked: asyncio.Event = asked) -> None:
            writer.write(head + b"half")
            await writer.drain()
            await asked.wait()

        async with Loopback([Answer(script, then)]) as server, Transport() as transport:
            got = b""
            async with aclosing(transport.send(get(server.url()), timeout=TIMEOUT)) as reply:
                await anext(reply)
                try:
                    async for piece in reply:
                        got += piece if isinstance(piece, bytes) else b""
                        asked.set()
                    assert whole
                except Interrupted:
                    assert not whole
            assert got == b"half"


async def test_a_connection_that_fails_in_its_handshake_is_closed() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        stream = await Network().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1], timeout=TIMEOUT)
        with pytest.raises(httpcore2.ConnectTimeout):
            await stream.start_tls(ssl.create_default_context(), "pictures.test", timeout=0.05)
        await asyncio.wait_for(gone.wait(), TIMEOUT)
