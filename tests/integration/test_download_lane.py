"""Downloads through the real lane, ledger and a loopback host: order, warnings, and the repeated fetch."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import anyio.to_thread
import pytest
from click.testing import CliRunner
from PIL import Image

from batchgen.batch import FetchOptions, fetch_batch, fetch_until_done
from batchgen.cli.jobs import command
from batchgen.events import Generated, RemoteImage
from batchgen.lanes.download import BLOCK
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, JobState, OutputRules
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.stored import dump_profiles
from batchgen.retry import MOST_DOWNLOADS
from batchgen.sinks import Report
from batchgen.stop import StopSignal
from tests.integration.ledger_builders import NOW, PROVIDER, clock, entry, start
from tests.integration.loopback import Answer, Loopback, http


def picture(shade: int = 0) -> bytes:
    file = BytesIO()
    Image.new("RGB", (30, 20), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


async def generate(workspace: Path, jobs: Sequence[Entry], images: Sequence[RemoteImage], **notes: object) -> None:
    """A batch as an earlier run left it: each job generated, with one link."""
    profile = dataclasses.replace(BUILTIN[PROVIDER], allow_private_downloads=True)
    async with Ledger.open(workspace, now=clock) as ledger:
        await ledger.sync(jobs)
        await ledger.note("profiles", dump_profiles({PROVIDER: profile}))
        for name, value in notes.items():
            await ledger.note(name, json.dumps(value))
        for one, image in zip(jobs, images, strict=True):
            await ledger.generated(await start(ledger, one.job.id), Generated(images=(image,)), NOW, None)


async def paths(workspace: Path) -> dict[str, str | None]:
    async with Ledger.open(workspace, now=clock) as ledger:
        found = {}
        for name in ("a", "b", "c"):
            job = await ledger.reader.job(name)
            if job is not None:
                found[name] = job.outputs[0].path
        return found


async def test_the_link_that_dies_first_is_fetched_first(tmp_path: Path) -> None:
    lives = {"a": NOW + 900, "b": None, "c": NOW + 60}
    async with Loopback([http(200, picture())]) as host:
        images = [RemoteImage(url=host.url(f"/{name}"), expires_at=life) for name, life in lives.items()]
        await generate(tmp_path, [entry(name, name) for name in lives], images)
        report = await fetch_batch(tmp_path, FetchOptions(concurrency=1, now=clock))
        assert [host.target(number) for number in range(3)] == ["/c", "/a", "/b"]
    assert (report.exit_code, report.status.jobs[JobState.DONE]) == (0, 3)


async def test_every_place_is_used_again_until_all_is_fetched_and_no_more_at_once(tmp_path: Path) -> None:
    here = most = came = 0
    full = asyncio.Event()

    async def serve(writer: asyncio.StreamWriter) -> None:
        nonlocal here, most, came
        here, came = here + 1, came + 1
        most = max(most, here)
        if came >= 3:
            full.set()
        await full.wait()  # nobody is served before the first three are there
        here -= 1
        answer = http(200, picture()).data
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()

    jobs = [entry(f"j{number}", str(number)) for number in range(2 * BLOCK)]
    async with Loopback([Answer(serve)]) as host:
        await generate(tmp_path, jobs, [RemoteImage(url=host.url(f"/{one.job.id}")) for one in jobs])
        report = await fetch_batch(tmp_path, FetchOptions(concurrency=3, now=clock))
    assert (report.exit_code, report.status.jobs[JobState.DONE]) == (0, len(jobs))
    assert (most, came) == (3, len(jobs))


async def test_a_workspace_that_takes_no_file_ends_the_fetch_with_the_rest_left_for_the_next(tmp_path: Path) -> None:
    jobs = [entry(name, name) for name in "abc"]
    async with Loopback([http(200, picture())]) as host:
        await generate(tmp_path, jobs, [RemoteImage(url=host.url(f"/{one.job.id}")) for one in jobs])
        images = tmp_path / "images"
        images.mkdir(exist_ok=True)
        (images / ".incoming").write_text("no folder")
        report = await fetch_batch(tmp_path, FetchOptions(concurrency=1, now=clock))
        assert (report.exit_code, len(host.requests)) == (4, 1)
        (images / ".incoming").unlink()
        report = await fetch_batch(tmp_path, FetchOptions(now=clock))
    assert (report.exit_code, report.status.jobs[JobState.DONE]) == (0, 3)


async def test_fetch_knows_the_output_rules_of_the_run(tmp_path: Path) -> None:
    jobs = [entry("a"), entry("b", "b")._replace(apart=True), entry("c", "c")]
    jobs[2] = jobs[2]._replace(like=dataclasses.replace(jobs[2].like, ratio="1:1"))
    rules = OutputRules(path="{provider}/{date}.{ext}", embed=True, sidecar=True)
    async with Loopback([http(200, picture(shade)) for shade in range(3)]) as host:
        images = [RemoteImage(url=host.url(f"/{one.job.id}?sig=secret")) for one in jobs]
        await generate(tmp_path, jobs, images, output=dataclasses.asdict(rules))
        await fetch_batch(tmp_path, FetchOptions(concurrency=1, now=clock))
    assert await paths(tmp_path) == {
        "a": "images/tu-zi/1970-01-12.png",
        "b": "images/tu-zi/1970-01-12~b.png",
        "c": "images/tu-zi/1970-01-12~x2.png",
    }
    told = json.loads((tmp_path / "images" / "tu-zi" / "1970-01-12.png.json").read_text())
    assert (told["prompt"], told["host"], told["made_at"]) == ("a cat", "127.0.0.1", "1970-01-12T13:46:40Z")
    assert "secret" not in json.dumps(told)
    with Image.open(tmp_path / "images" / "tu-zi" / "1970-01-12.png") as image:
        assert image.info["job"] == "a"
    async with Ledger.open(tmp_path, now=clock) as ledger:
        job = await ledger.reader.job("c")
        assert job is not None
        assert job.warnings == ("asked for 1:1, got 30x20 (3:2)",)


def spend_tries(workspace: Path) -> None:
    """As if the host had been down through all quick tries."""
    with closing(sqlite3.connect(workspace / "ledger.db")) as db:
        db.execute("UPDATE outputs SET tries = ?", (MOST_DOWNLOADS - 1,))
        db.commit()


async def test_a_host_that_stays_down_loses_no_image_and_a_repeated_fetch_brings_it(tmp_path: Path) -> None:
    pauses = []
    async with Loopback([http(503), http(503), http(200, picture())]) as host:
        await generate(tmp_path, [entry("a")], [RemoteImage(url=host.url("/a"), expires_at=NOW + 900)])
        spend_tries(tmp_path)

        async def pause(report: Report) -> None:
            pauses.append(len(host.requests))

        report = await fetch_until_done(tmp_path, FetchOptions(now=clock), pause)
    assert (report.exit_code, pauses) == (0, [1, 2])


async def test_one_fetch_leaves_what_its_host_does_not_serve_outstanding(tmp_path: Path) -> None:
    async with Loopback([http(503)]) as host:
        await generate(tmp_path, [entry("a")], [RemoteImage(url=host.url("/a"), expires_at=NOW + 900)])
        spend_tries(tmp_path)
        report = await fetch_until_done(tmp_path, FetchOptions(now=clock), None)
        assert len(host.requests) == 1
    assert (report.exit_code, report.status.jobs[JobState.GENERATED]) == (3, 1)


async def test_a_repeated_fetch_ends_when_the_links_are_dead(tmp_path: Path) -> None:
    late = [NOW]

    async def pause(report: Report) -> None:
        late[0] = NOW + 1000

    async with Loopback([http(503)]) as host:
        await generate(tmp_path, [entry("a")], [RemoteImage(url=host.url("/a"), expires_at=NOW + 900)])
        spend_tries(tmp_path)
        report = await fetch_until_done(tmp_path, FetchOptions(now=lambda: late[0]), pause)
    assert (report.exit_code, report.status.jobs[JobState.EXPIRED]) == (1, 1)


async def test_somebody_who_wants_to_leave_ends_the_repetition(tmp_path: Path) -> None:
    stop = StopSignal()

    async def pause(report: Report) -> None:
        stop.drain()

    async with Loopback([http(503)]) as host:
        await generate(tmp_path, [entry("a")], [RemoteImage(url=host.url("/a"), expires_at=NOW + 900)])
        spend_tries(tmp_path)
        report = await fetch_until_done(tmp_path, FetchOptions(now=clock, stop=stop), pause)
        assert len(host.requests) == 1
    assert report.exit_code in (3, 130)


@pytest.mark.parametrize("rules", [OutputRules(), OutputRules(near_duplicates=True)])
async def test_look_alikes_are_remarked_only_when_asked(tmp_path: Path, rules: OutputRules) -> None:
    async with Loopback([http(200, picture(0)), http(200, picture(9))]) as host:
        images = [RemoteImage(url=host.url("/1")), RemoteImage(url=host.url("/2"))]
        await generate(tmp_path, [entry("a"), entry("b", "b")], images, output=dataclasses.asdict(rules))
        await fetch_batch(tmp_path, FetchOptions(concurrency=1, now=clock))
    async with Ledger.open(tmp_path, now=clock) as ledger:
        warned = [job.warnings for name in "ab" if (job := await ledger.reader.job(name))]
    assert warned == [(), ("looks like job a image 0",) if rules.near_duplicates else ()]


async def test_the_list_shows_warnings_and_can_be_narrowed_to_them(tmp_path: Path) -> None:
    jobs = [entry("a"), entry("b", "b")._replace(warnings=("ratio 7:5 is asked for as 3:2",))]
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(jobs)

    def listed(*options: str) -> list[str]:
        return CliRunner().invoke(command, [str(tmp_path), *options], catch_exceptions=False).output.splitlines()

    assert [line.split()[0] for line in await anyio.to_thread.run_sync(listed)] == ["id", "a", "b", "warning:"]
    narrowed = await anyio.to_thread.run_sync(lambda: listed("--warnings", "--json"))
    assert [json.loads(line)["warnings"] for line in narrowed] == [["ratio 7:5 is asked for as 3:2"]]
