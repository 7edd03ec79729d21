"""`batchgen serve` as a process: what it shows, whom it refuses, and how its orders reach a run that is going on."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError

from tests.acceptance.conftest import LONG, Cli, Simulated, numbered, until

EVIL = "<script>alert(1)</script>"


@dataclass
class Page:
    """A served workspace, and a browser's manners."""

    address: str
    token: str = ""

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers."""
        return self._send(urllib.request.Request(self.address + path, headers=headers))

    def json(self, path: str) -> Any:  # Any: what a JSON answer is
        """A JSON answer."""
        return json.loads(self.get(path)[1])

    def order(self, token: str | None = None, **what: object) -> tuple[int, bytes, dict[str, str]]:
        """Press a button."""
        headers = {"X-Batchgen-Token": self.token if token is None else token}
        return self._send(urllib.request.Request(self.address + "orders", json.dumps(what).encode(), headers))

    def _send(self, request: urllib.request.Request) -> tuple[int, bytes, dict[str, str]]:
        try:
            with urllib.request.urlopen(request, timeout=LONG) as reply:
                return reply.status, reply.read(), dict(reply.headers)
        except HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)


@contextmanager
def served(cli: Cli, workspace: str) -> Iterator[Page]:
    """Serve a workspace on a free port."""
    process = cli.start("serve", workspace, "--port", "0")
    assert process.stdout is not None
    page = Page(process.stdout.readline().strip())
    found = re.search(rb'name="batchgen-token" content="([^"]+)"', page.get("")[1])
    assert found is not None
    page.token = found[1].decode()
    try:
        yield page
    finally:
        process.send_signal(signal.SIGINT)
        done = cli.end(process)
        assert done.returncode in (0, 130), done.stderr


def finished(cli: Cli) -> str:
    """A batch of a picture, a refusal and a hostile prompt."""
    cli.write(
        "three.yaml",
        "provider: p\nproviders: {p: {extends: tu-zi, base_url: simulator, simulate: {latency: 0, image_side: 64}}}\n"
        "defaults: {model: gpt-image-1, ratio: 1:1}\n"
        f"jobs: [{{id: cat, prompt: a cat}}, {{id: 'a/b c', prompt: '{EVIL}'}},\n"
        "  {id: bad, prompt: 'simulate:refusal'}]\n",
    )
    cli.run("run", "three.yaml", "--quiet", code=1)
    return "out/three"


def test_the_page_shows_the_batch_and_what_comes_from_elsewhere_stays_text(cli: Cli) -> None:
    with served(cli, finished(cli)) as page:
        status, body, headers = page.get("")
        assert (status, b"three" in body) == (200, True)
        assert "default-src 'none'" in headers["content-security-policy"]
        found = page.json("jobs")
        assert [(job["id"], job["state"]) for job in found["jobs"]] == [
            ("cat", "done"), ("a/b c", "done"), ("bad", "refused"),
        ]  # fmt: skip
        for job in found["jobs"]:
            detail = page.get(job["page"].lstrip("/"))[1].decode()
            assert EVIL not in detail
            assert job["id"] in detail
            for picture in job["pictures"]:
                assert page.get(picture["small"].lstrip("/"))[1][8:12] == b"WEBP"
                assert page.get(picture["whole"].lstrip("/"))[1].startswith(b"\x89PNG")
        assert page.json("jobs?state=refused")["jobs"][0]["id"] == "bad"
        assert [job["id"] for job in page.json("jobs?words=CAT")["jobs"]] == ["cat"]
        assert page.json("jobs?ratio=16:9&model=gpt-image-1")["jobs"] == []
        assert b'batchgen_jobs{state="done"} 2' in page.get("metrics")[1]


def test_strangers_get_nothing(cli: Cli) -> None:
    """Another page in the same browser could ask this address, or rename itself to it."""
    with served(cli, finished(cli)) as page:
        assert page.get("", Host="evil.example")[0] == 403
        foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert page.get("picture/cat/0", **foreign)[0] == 403
        assert page.get("", **foreign | {"Sec-Fetch-Mode": "navigate"})[0] == 200, "a link to the page may be followed"
        assert page.order(token="", what="retry")[0] == 403
        assert page.order(token="x" * 32, what="retry")[0] == 403
        for wrong in ({"what": "dance"}, {"id": {"a": 1}}, {"id": "\ud800"}, {"states": "failed"}, {"states": 5}):
            order: dict[str, Any] = {"what": "retry", **wrong}
            assert page.order(**order)[0] == 400, order
        assert page.order(what="retry", id="x" * 20_000)[0] == 413
        assert page.get("jobs?after=99999999999999999999.1")[0] == 200
        for path in ("picture/..%2f..%2fledger.db/0", "picture/cat/7", "small/nobody/0", "static/../app.py"):
            assert page.get(path)[0] == 404, path


def test_a_retry_without_a_run_puts_the_jobs_back_for_the_next_one(cli: Cli) -> None:
    workspace = finished(cli)
    with served(cli, workspace) as page:
        status, body, _ = page.order(what="retry", id="bad", states=["refused"])
        assert (status, json.loads(body)["said"]) == (200, "1 put back: the next run takes them up")
        assert cli.states(workspace) == {"done": 2, "pending": 1}
        page.order(what="cancel", id="bad")
        assert cli.states(workspace) == {"done": 2, "cancelled": 1}
    (job,) = cli.jobs(workspace, "--id", "bad")
    assert job["error"] == {"kind": "cancelled", "code": None, "message": "cancelled by the user"}


def test_orders_reach_a_run_that_is_going_on(cli: Cli, provider: Simulated) -> None:
    with provider() as one, ExitStack() as still:
        jobs = "\n".join(f"  - {{id: {name}, prompt: picture {name}}}" for name in numbered(40))
        head = f"{one.section('apiyi')}\nprovider: apiyi\ndefaults: {{model: gpt-image-1}}\n"
        cli.write("many.yaml", f"{head}jobs:\n{jobs}\n")
        still.enter_context(one.asleep())
        run = cli.start("run", "many.yaml", "--quiet", "--concurrency", "2")
        until(lambda: cli.runs("out/many") == 1, run)
        with served(cli, "out/many") as page:
            assert json.loads(page.order(what="cancel", id="job-038")[1])["said"] == "the run is told"
            until(lambda: cli.states("out/many").get("cancelled") == 1, run)
            page.order(what="pause")
            until(lambda: _paused(cli), run)
            still.close()
            until(lambda: _in_flight(cli) == 0, run)
            sent = one.posts
            page.order(what="cancel", id="job-039")
            until(lambda: cli.states("out/many").get("cancelled") == 2, run)
            assert one.posts == sent
            page.order(what="resume")
            until(lambda: one.posts > sent, run)
            until(lambda: not _paused(cli), run)
        cli.end(run, 1)
        assert cli.states("out/many") == {"done": 38, "cancelled": 2}
        assert one.posts == 38


def test_status_watches_until_the_run_ends(cli: Cli, provider: Simulated) -> None:
    with provider() as one:
        jobs = "\n".join(f"  - {{id: {name}, prompt: picture {name}}}" for name in numbered(6))
        head = f"{one.section('apiyi')}\nprovider: apiyi\ndefaults: {{model: gpt-image-1}}\n"
        cli.write("many.yaml", f"{head}jobs:\n{jobs}\n")
        with one.asleep():
            run = cli.start("run", "many.yaml", "--quiet", "--concurrency", "1")
            until(lambda: cli.runs("out/many") == 1, run)
            watch = cli.start("status", "out/many", "--watch", "--json")
            assert watch.stdout is not None
            first = json.loads(watch.stdout.readline())
        watched = cli.end(watch, 0).stdout
        cli.end(run, 0)
    seen = [first, *(json.loads(line) for line in watched.splitlines())]
    assert first["jobs"]["done"] == 0
    assert seen[-1]["jobs"]["done"] == 6


def _paused(cli: Cli) -> bool:
    return bool(cli.json("status", "out/many")["providers"]["apiyi"]["reason"] == "paused by the user")


def _in_flight(cli: Cli) -> int:
    return int(cli.json("status", "out/many")["providers"]["apiyi"]["in_flight"])
