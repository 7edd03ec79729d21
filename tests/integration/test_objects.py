"""Images in object storage: into a folder and into memory, through the code that speaks to a bucket."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from uuid import uuid4

import anyio.to_thread
import pytest

from batchgen.batch import FetchOptions, fetch_batch
from batchgen.errors import StoreDown, UsageError, WorkspaceError
from batchgen.events import Generated, RemoteImage
from batchgen.images.addresses import AddressGuard
from batchgen.images.fetch import Fetcher
from batchgen.images.outgoing import forget
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import OutputRecord
from batchgen.ledger.rows import STORE_DOWN
from batchgen.ledger.store import Ledger
from batchgen.model import Download, JobState, OutputRules
from batchgen.storage.base import Store
from batchgen.storage.objects import Objects
from batchgen.storage.stores import bucket, opened, read, source_of
from batchgen.transport import Transport
from batchgen.verify import compare_files
from tests.integration.ledger_builders import NOW, clock, entry, start
from tests.integration.loopback import Loopback, http
from tests.integration.test_download_lane import generate, picture

PNG = picture()
INCOMING = Path("images") / ".incoming"

@pytest.fixture(params=["memory", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of its own for each test, in memory or in a folder."""
    return f"memory://{uuid4().hex}/night" if request.param == "memory" else f"file://{tmp_path}/mounted/night"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / INCOMING).mkdir(parents=True)
    return folder


def aside(workspace: Path, data: bytes) -> tuple[Path, str]:
    path = workspace / INCOMING / "o1.whole"
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def content(store: Store, path: str) -> bytes | None:
    file = store.open(path)
    if file is None:
        return None
    with file:
        return file.read()


@pytest.fixture(params=["workspace", "memory", "file"])
def store(request: pytest.FixtureRequest, workspace: Path, tmp_path: Path) -> Store:
    """Every kind of place behind the one seam."""
    addresses = {"workspace": None, "memory": f"memory://{uuid4().hex}/a/b", "file": f"file://{tmp_path}/m"}
    return opened(workspace, addresses[request.param])


def test_a_store_gives_a_file_the_next_free_name_and_takes_the_same_bytes_for_its_own(
    store: Store, workspace: Path
) -> None:
    contents = (b"one", b"two", b"one", b"two", b"three")
    names = [store.publish_new(*_named(aside(workspace, data))) for data in contents]
    assert names == [f"images/a b/cat{mark}.png" for mark in ("", "~x2", "", "~x2", "~x3")]
    assert [content(store, name) for name in names] == list(contents)


def _named(made: tuple[Path, str]) -> tuple[Path, str, str]:
    return made[0], "images/a b/cat.png", made[1]


def test_a_store_tells_what_it_holds(store: Store) -> None:
    store.write("images/cat.png.json", b"{}")
    store.write("images/cat.png.json", b"{ }")
    assert content(store, "images/cat.png.json") == b"{ }"
    assert store.size("images/cat.png.json") == 3
    assert (store.size("images/dog.png"), store.open("images/dog.png")) == (None, None)
    assert "images/cat.png.json" in dict(store.below("images"))


async def generated(workspace: Path, url: str, store: str, names: str = "a", *, told: bool = False) -> None:
    output = dataclasses.asdict(OutputRules(store=store, sidecar=told, embed=told))
    images = [RemoteImage(url=f"{url}/{name}", expires_at=NOW + 900) for name in names]
    await generate(workspace, [entry(name, name) for name in names], images, output=output)


async def output_of(workspace: Path, job: str = "a") -> OutputRecord:
    async with Reader.open(workspace) as reader:
        record = await reader.job(job)
        assert record is not None
        return record.outputs[0]


async def verified(workspace: Path) -> dict[str, tuple[str, ...]]:
    async with Reader.open(workspace) as reader:
        found = dataclasses.asdict(await compare_files(workspace, reader.files()))
    return {kind: found[kind] for kind in ("missing", "changed", "unknown", "leftovers") if found[kind]}


async def test_an_image_goes_into_the_store_and_leaves_nothing_behind(workspace: Path, address: str) -> None:
    async with Loopback([http(200, PNG)]) as host:
        await generated(workspace, host.url(""), address, told=True)
        report = await fetch_batch(workspace, FetchOptions(now=clock))
    assert (report.exit_code, report.status.jobs[JobState.DONE]) == (0, 1)
    output = await output_of(workspace)
    assert (output.path, output.store) == ("images/a.png", address)
    data = read(source_of(address, "images/a.png"))
    assert data is not None
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (output.sha256, output.bytes)
    told = json.loads(read(source_of(address, "images/a.png.json")) or b"")
    assert (told["path"], told["sha256"]) == ("images/a.png", output.sha256)
    assert [path for path in (workspace / "images").rglob("*") if path.is_file()] == []
    assert await verified(workspace) == {}


async def test_verify_tells_what_is_missing_changed_and_nobodys_in_a_store(workspace: Path, address: str) -> None:
    async with Loopback([http(200, picture(shade)) for shade in range(3)]) as host:
        await generated(workspace, host.url(""), address, "abc", told=True)
        await fetch_batch(workspace, FetchOptions(concurrency=1, now=clock))
    objects = bucket(address)
    objects.remove("images/a.png")
    objects.write("images/b.png", PNG + b"more")
    objects.write("images/c.png.json", b"{}")
    objects.write("images/stranger.png", PNG)
    assert await verified(workspace) == {
        "missing": ("images/a.png",),
        "changed": ("images/b.png", "images/c.png.json"),
        "unknown": ("images/stranger.png",),
    }


async def test_an_image_that_is_gone_from_its_store_is_fetched_again(workspace: Path, address: str) -> None:
    async with Loopback([http(200, PNG), http(200, PNG)]) as host:
        await generated(workspace, host.url(""), address)
        await fetch_batch(workspace, FetchOptions(now=clock))
        bucket(address).remove("images/a.png")
        assert (await fetch_batch(workspace, FetchOptions(now=clock))).exit_code == 0
        assert len(host.requests) == 2
    assert await verified(workspace) == {}


async def test_images_of_an_earlier_store_stay_where_they_are_and_are_found_there(
    workspace: Path, address: str
) -> None:
    later = f"memory://{uuid4().hex}"
    async with Loopback([http(200, picture(1)), http(200, picture(2)), http(200, picture(3))]) as host:
        for store, names in ((address, "a"), (later, "ab"), (None, "abc")):
            output = dataclasses.asdict(OutputRules(store=store))
            image = RemoteImage(url=host.url(f"/{names[-1]}"), expires_at=NOW + 900)
            await _one_more(workspace, names, image, output)
            assert (await fetch_batch(workspace, FetchOptions(now=clock))).exit_code == 0
    assert [(await output_of(workspace, name)).store for name in "abc"] == [address, later, None]
    assert await verified(workspace) == {}


async def _one_more(workspace: Path, names: str, image: RemoteImage, output: dict[str, object]) -> None:
    if len(names) == 1:
        await generate(workspace, [entry("a", "a")], [image], output=output)
        return
    async with Ledger.open(workspace, now=clock) as ledger:
        await ledger.sync([entry(name, name) for name in names])
        await ledger.note("output", json.dumps(output))
        await ledger.generated(await start(ledger, names[-1]), Generated(images=(image,)), NOW, None)


class Bench:
    """One download, over and over."""

    def __init__(self, workspace: Path, url: str) -> None:
        self._workspace, self._url = workspace, url

    def work(self, store: str, spool: str | None = None) -> Download:
        return Download(
            output_id=1, job_id="a", provider="p", position=0, urls=() if spool else (self._url,), spool=spool,
            target="images/a", rules=OutputRules(store=store),
        )  # fmt: skip

    async def fetch(self, store: str, spool: str | None = None) -> str:
        guard = AddressGuard(frozenset({"127.0.0.1"}), False)
        async with Transport(proxies={}) as transport:
            fetcher = Fetcher(
                transport=transport, workspace=self._workspace, guard=guard, max_bytes=1 << 20, now=clock
            )
            return (await fetcher.fetch(self.work(store, spool))).path


async def test_what_a_store_does_not_take_waits_verified_and_is_never_fetched_twice(
    workspace: Path, nowhere: str, address: str
) -> None:
    async with Loopback([http(200, PNG)]) as host:
        bench = Bench(workspace, host.url("/a"))
        for _ in range(2):
            with pytest.raises(StoreDown, match=r"127\.0\.0\.1:1 can't be reached") as caught:
                await bench.fetch(nowhere)
            assert "sEcReT" not in str(caught.value)
        # The store is back, and the link may be dead by now.
        assert await bench.fetch(address) == "images/a.png"
        assert len(host.requests) == 1
    assert read(source_of(address, "images/a.png")) == PNG


async def test_a_run_that_died_between_the_upload_and_the_ledger_takes_the_object_for_its_own(
    workspace: Path, address: str
) -> None:
    async with Loopback([http(200, PNG)]) as host:
        bench = Bench(workspace, host.url("/a"))
        assert [await bench.fetch(address) for _ in range(2)] == ["images/a.png", "images/a.png"]
        assert len(host.requests) == 1
        assert (workspace / INCOMING / "o1.whole").exists()
        forget(workspace, bench.work(address))
    assert list((workspace / INCOMING).iterdir()) == []
    assert [path for path, _ in bucket(address).below("images")] == ["images/a.png"]


async def test_an_inline_image_waits_in_the_workspace_until_the_ledger_has_it(workspace: Path, address: str) -> None:
    spool = workspace / INCOMING / "a1-0"
    spool.write_bytes(PNG)
    bench = Bench(workspace, "")
    assert [await bench.fetch(address, "images/.incoming/a1-0") for _ in range(2)] == ["images/a.png"] * 2
    assert spool.exists()
    forget(workspace, bench.work(address, "images/.incoming/a1-0"))
    assert not spool.exists()


async def test_what_an_earlier_run_said_of_a_store_that_was_down_is_over_with_the_next(
    workspace: Path, address: str
) -> None:
    async with Loopback([http(200, PNG)]) as host:
        await generated(workspace, host.url(""), address)
        async with Ledger.open(workspace, now=clock) as ledger:
            await ledger.note(STORE_DOWN, "s3://bucket: it can't be reached")
            assert (await ledger.status()).store_down == "s3://bucket: it can't be reached"
        assert (await fetch_batch(workspace, FetchOptions(now=clock))).status.store_down is None


async def test_a_run_takes_away_what_one_that_died_had_noted_and_nothing_else(workspace: Path, address: str) -> None:
    async with Loopback([http(200, PNG)]) as host:
        await generated(workspace, host.url(""), address)
        await fetch_batch(workspace, FetchOptions(now=clock))
        for name in ("o1.whole", "a1-0", "o2.whole", "a2-0"):
            (workspace / INCOMING / name).write_bytes(PNG)
        await fetch_batch(workspace, FetchOptions(now=clock))
    assert sorted(path.name for path in (workspace / INCOMING).iterdir()) == ["a2-0", "o2.whole"]


async def test_a_waiting_image_that_was_damaged_is_fetched_again(workspace: Path, address: str) -> None:
    (workspace / INCOMING / "o1.whole").write_bytes(PNG[:40])
    async with Loopback([http(200, PNG)]) as host:
        assert await Bench(workspace, host.url("/a")).fetch(address) == "images/a.png"
    assert read(source_of(address, "images/a.png")) == PNG


async def test_a_store_that_does_not_work_is_told_before_anything_begins(workspace: Path, nowhere: str) -> None:
    async with Loopback([http(200, PNG)]) as host:
        await generated(workspace, host.url(""), nowhere)
        with pytest.raises(WorkspaceError, match=r"output.store can't be used: .* 127\.0\.0\.1:1 can't be"):
            await fetch_batch(workspace, FetchOptions(now=clock))
        assert host.requests == []


def test_a_store_that_failed_is_left_alone_for_a_moment_so_that_downloads_do_not_wait_for_it(nowhere: str) -> None:
    objects = Objects(nowhere)
    told = set()
    for _ in range(200):  # each of these would take a quarter of a second
        with pytest.raises(StoreDown) as caught:
            objects.size("images/a.png")
        told.add(caught.value.message)
    assert len(told) == 1


def test_a_folder_that_can_not_be_made_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UsageError, match="file:///proc/nowhere can't be used: the folder can't be written"):
        Objects("file:///proc/nowhere")


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(UsageError, match=r"needs the extra 'objects': pip install 'batchgen\[objects\]'"):
        Objects("s3://bucket-x/y")


async def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    objects = Objects(f"file://{tmp_path}/m")
    await anyio.to_thread.run_sync(objects.probe)
    assert os.listdir(tmp_path / "m") == []
