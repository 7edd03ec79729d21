"""`--notify` from outside: the end of a run is told, and an address that fails changes nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.conftest import QUICK, Cli
from tests.integration.loopback import Answer, Loopback, http

MANIFEST = f"""
provider: p
providers: {{p: {{extends: tu-zi, base_url: simulator, {QUICK}}}}}
defaults: {{model: gpt-4o-image}}
jobs: [{{id: cat, prompt: a cat}}, {{id: bad, prompt: 'simulate:refusal'}}]
"""


@contextmanager
def webhook(*answers: Answer) -> Iterator[Loopback]:
    """A server in a thread of its own, because the commands here block."""
    server, ready, over = Loopback(list(answers)), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_a_run_tells_a_webhook_how_it_ended_and_keeps_the_address_to_itself(cli: Cli) -> None:
    cli.write("two.yaml", MANIFEST)
    with webhook(http(200)) as server:
        done = cli.run("run", "two.yaml", "--notify", server.url("/hook/s3cret"), code=1)
        (request,) = server.requests
    value = json.loads(request.partition(b"\r\n\r\n")[2])
    assert (value["event"], value["status"]["jobs"]["done"], value["exit_code"]) == ("ended", 1, 1)
    everything = b"".join(path.read_bytes() for path in cli.folder.rglob("*") if path.is_file())
    assert b"s3cret" not in everything
    assert "s3cret" not in done.stdout + done.stderr


def test_a_webhook_that_fails_is_one_line_and_changes_no_exit_code(cli: Cli) -> None:
    cli.write("two.yaml", MANIFEST)
    with webhook(http(410)) as server:
        done = cli.run("run", "two.yaml", "--quiet", "--notify", server.url("/hook/s3cret"), code=1)
        again = cli.run("fetch", "out/two", "--quiet", "--notify", server.url("/hook/s3cret"), code=0)
    for one in (done, again):
        assert one.stderr.splitlines()[-1] == "the notice to 127.0.0.1 was not delivered: HTTP 410"
