"""References made ready: links fetched under the rules of downloads, pictures fitted, and all of it once a run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from PIL import Image

import batchgen
from batchgen.errors import BadReference, ReferenceLost
from batchgen.events import Event, Failed
from batchgen.images.addresses import AddressGuard
from batchgen.images.references import READY, MadeReady, References, forget
from batchgen.model import Endpoint, Job, JobState, Submission
from batchgen.providers.profile import Profile, Shrinking
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings
from tests.integration.loopback import Answer, Loopback, Then, http, unheard

OWN = AddressGuard(frozenset({"127.0.0.1"}), False)
PUBLIC = AddressGuard(frozenset(), False)
IMAGES = Profile(name="p", base_url="http://127.0.0.1:9/v1", endpoint=Endpoint.IMAGES)
CHAT = replace(IMAGES, endpoint=Endpoint.CHAT)


def picture(size: tuple[int, int] = (16, 16), format: str = "PNG", mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, format)
    return file.getvalue()


PNG = picture()


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    image = Image.open(BytesIO(data))
    image.load()
    return image


def job(*references: str, mask: str | None = None) -> Job:
    return Job(id="a", prompt="x", provider=("p",), model="m", references=references, mask=mask)


@dataclass
class Desk:
    """References over a transport of their own."""

    made: References
    guard: AddressGuard = OWN
    profile: Profile = IMAGES
    folder: Path = field(default_factory=Path)

    async def ready(self, *sources: str, mask: str | None = None) -> MadeReady:
        return await self.made.of(job(*sources, mask=mask), self.profile, self.guard)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Transport(proxies={}) as transport:
        yield Desk(References(tmp_path, transport), folder=tmp_path)


def test_what_a_run_made_ready_is_gone_after_it(tmp_path: Path) -> None:
    (tmp_path / READY).mkdir(parents=True)
    (tmp_path / READY / "x").write_bytes(b"x")
    forget(tmp_path)
    forget(tmp_path)
    assert not (tmp_path / READY).exists()


# --- files -------------------------------------------------------------------------------------


async def test_a_file_that_providers_take_stays_byte_for_byte_and_its_type_comes_from_it(desk: Desk) -> None:
    (desk.folder / "猫.jpg").write_bytes(PNG)
    (ready,) = (await desk.ready(str(desk.folder / "猫.jpg"))).references
    assert (ready.name, ready.mime, ready.data, ready.url) == ("猫.png", "image/png", PNG, None)
    assert not (desk.folder / READY).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.png", "No such file"),
        ("", "is not a file"),
        ("text.png", "is not an image"),
        ("large.png", "more than the 20,971,520 allowed"),
        ("nul\0.png", "not a path"),
    ],
)
async def test_a_file_that_changed_since_the_plan_ends_its_job_in_one_line(
    desk: Desk, name: str, words: str
) -> None:
    (desk.folder / "text.png").write_text("hello")
    (desk.folder / "large.png").write_bytes(PNG + bytes(20 << 20))
    with pytest.raises(BadReference, match=words):
        await desk.ready(f"{desk.folder}/{name}")


async def test_a_large_picture_is_shrunk_once_for_all_jobs_that_want_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = desk.folder / "a.png"
    source.write_bytes(picture((400, 200)))
    desk.profile = replace(IMAGES, references=Shrinking(max_side=100))
    made: list[MadeReady] = []

    async def ask() -> None:
        made.append(await desk.ready(str(source)))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask)
    assert opened(made[0].references[0].data).size == (100, 50)
    # The very same bytes: nobody made them a second time.
    assert len({id(one.references[0].data) for one in made}) == 1
    # Pushed out of memory, they come from the disk and not from the picture.
    monkeypatch.setattr("batchgen.images.references._REMEMBERED", 0)
    other = desk.folder / "b.png"
    other.write_bytes(PNG)
    await desk.ready(str(other))
    (kept,) = (desk.folder / READY).iterdir()
    assert kept.read_bytes() == made[0].references[0].data
    kept.write_bytes(PNG)
    assert (await desk.ready(str(source))).references[0].data == PNG


async def test_a_picture_that_was_drawn_anew_is_read_anew(desk: Desk) -> None:
    source = desk.folder / "a.png"
    source.write_bytes(PNG)
    await desk.ready(str(source))
    source.write_bytes(picture((32, 32)))
    assert opened((await desk.ready(str(source))).references[0].data).size == (32, 32)


async def test_a_mask_follows_its_reference_when_that_is_shrunk(desk: Desk) -> None:
    (desk.folder / "a.png").write_bytes(picture((400, 200)))
    (desk.folder / "mask.png").write_bytes(picture((400, 200), mode="RGBA"))
    (desk.folder / "other.png").write_bytes(picture((300, 300), mode="RGBA"))
    desk.profile = replace(IMAGES, references=Shrinking(max_side=100))
    made = await desk.ready(f"{desk.folder}/a.png", mask=f"{desk.folder}/mask.png")
    assert made.mask is not None
    assert (opened(made.mask.data).size, opened(made.mask.data).mode) == ((100, 50), "RGBA")
    with pytest.raises(BadReference, match="the mask has 300x300 pixels, the first reference 400x200"):
        await desk.ready(f"{desk.folder}/a.png", mask=f"{desk.folder}/other.png")


# --- links -------------------------------------------------------------------------------------


async def test_a_link_becomes_the_bytes_behind_it_once(desk: Desk) -> None:
    async with Loopback([http(302, Location="/cat"), http(200, PNG, Content_Type="text/plain")]) as server:
        for _ in range(2):
            (ready,) = (await desk.ready(server.url("/r?signature=secret"))).references
            assert (ready.name, ready.mime, ready.data) == ("r.png", "image/png", PNG)
        assert [server.target(number) for number in range(2)] == ["/r?signature=secret", "/cat"]
        assert len(server.requests) == 2
        assert server.header(0, "Authorization") is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(404), "HTTP 404"),
        (http(403), "HTTP 403"),
        (http(200, b"<html>"), "is not an image"),
        (http(200, PNG + bytes(2000)), "more than the 2,000 allowed"),
        (http(302, Location="/again"), "more than 5 redirects"),
        (http(302, Location="http://10.0.0.1/a.png"), "not a public address"),
    ],
    ids=["gone", "forbidden", "a page", "too large", "redirects for ever", "redirect to a private address"],
)
async def test_a_link_without_a_picture_ends_the_job_in_one_line(desk: Desk, answer: Answer, words: str) -> None:
    desk.profile = replace(IMAGES, largest_reference=2000)
    async with Loopback([answer]) as server:
        with pytest.raises(BadReference, match=words) as caught:
            await desk.ready(server.url("/a.png?signature=secret"))
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


async def test_a_private_address_is_never_asked(desk: Desk) -> None:
    desk.guard = PUBLIC
    async with Loopback([http(200, PNG)]) as server:
        with pytest.raises(BadReference, match="not a public address"):
            await desk.ready(server.url())
        assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [http(503), http(429), http(200, PNG[:40], Then.CLOSE, Content_Length=str(len(PNG)))],
    ids=["an outage", "a limit", "a cut"],
)
async def test_trouble_on_the_way_to_a_link_may_pass(desk: Desk, answer: Answer) -> None:
    async with Loopback([answer, http(200, PNG)]) as server:
        with pytest.raises(ReferenceLost, match="reference http") as caught:
            await desk.ready(server.url())
        assert caught.value.status is None  # no word of the provider
        assert (await desk.ready(server.url())).references[0].data == PNG


async def test_jobs_that_want_a_link_at_once_ask_once_and_share_what_comes_of_it(desk: Desk) -> None:
    told: list[str] = []

    async def ask(url: str) -> None:
        try:
            told.append((await desk.ready(url)).references[0].mime)
        except ReferenceLost as error:
            told.append(error.kind)

    for answer, word in ((http(503), "reference_lost"), (http(200, PNG), "image/png")):
        told.clear()
        async with Loopback([answer]) as server, anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask, server.url())
        assert told == [word] * 8
        assert len(server.requests) == 1


async def test_a_job_that_is_stopped_leaves_its_picture_to_those_who_wait_for_it(desk: Desk) -> None:
    async with Loopback([http(200, b"", Then.HANG, Content_Length="100"), http(200, PNG)]) as server:
        async with anyio.create_task_group() as group:
            first = anyio.CancelScope()

            async def ask_and_leave() -> None:
                with first:
                    await desk.ready(server.url())

            group.start_soon(ask_and_leave)
            await server.asked.wait()
            made: list[MadeReady] = []

            async def ask() -> None:
                made.append(await desk.ready(server.url()))

            group.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            first.cancel()
        assert made[0].references[0].data == PNG


async def test_nobody_there_is_trouble_that_may_pass(desk: Desk) -> None:
    with unheard() as port, pytest.raises(ReferenceLost, match="reference http"):
        await desk.ready(f"http://127.0.0.1:{port}/a.png")


# --- sent --------------------------------------------------------------------------------------


@asynccontextmanager
async def working(folder: Path, provider: Loopback, endpoint: Endpoint) -> AsyncIterator[Worker]:
    profile = Profile(name="p", base_url=provider.url("/v1"), endpoint=endpoint)
    async with Transport(proxies={}) as transport:
        settings = WorkerSettings(
            workspace=folder,
            profiles={"p": profile},
            keys={"p": {"KEY": "sk-secret"}},
            guards={"p": OWN},
            max_image_bytes=1 << 20,
            task_patience=1.0,
        )
        yield Worker(settings, transport, now=lambda: 0.0)


async def tell(worker: Worker, job: Job) -> Event:
    """What a try of the job ends with."""
    work = Submission(attempt_id=1, job=job, provider="p", ask=1, idempotency_key="k", key="KEY")
    return [event async for event in worker.run(work)][-1]


@pytest.mark.parametrize("endpoint", Endpoint)
async def test_only_the_images_endpoint_is_sent_bytes_for_a_link(tmp_path: Path, endpoint: Endpoint) -> None:
    async with Loopback([http(200, PNG)]) as pictures, Loopback([http(400, b"{}")]) as provider:
        async with working(tmp_path, provider, endpoint) as worker:
            await tell(worker, job(pictures.url()))
        images = endpoint is Endpoint.IMAGES
        assert len(pictures.requests) == images
        assert (PNG in provider.requests[0]) is images
        assert (pictures.url().encode() in provider.requests[0]) is not images
        assert all(b"sk-secret" not in request for request in pictures.requests)


UNREAD = http(400, b'{"error": {"message": "Error while downloading file. Upstream status code: 407."}}')


async def test_a_link_that_the_provider_could_not_fetch_goes_as_a_data_url_from_then_on(tmp_path: Path) -> None:
    async with Loopback([http(200, PNG)]) as pictures, Loopback([UNREAD]) as provider:
        async with working(tmp_path, provider, Endpoint.CHAT) as worker:
            told = [await tell(worker, job(pictures.url())) for _ in range(3)]
        sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in provider.requests]
        urls = [one["messages"][0]["content"][1]["image_url"]["url"] for one in sent]
        assert urls[0] == pictures.url()
        assert urls[1].startswith("data:image/png;base64,")
        assert urls[2] == urls[1]
        assert len(pictures.requests) == 1
    # The first is worth another try; once it was sent as bytes, there is nothing left to mend.
    kinds = [event.error.kind for event in told if isinstance(event, Failed)]
    assert kinds == ["reference_unread", "bad_reference", "bad_reference"]


async def test_a_run_with_a_dead_link_makes_the_rest_and_leaves_nothing_but_images(tmp_path: Path) -> None:
    (tmp_path / "phone.jpg").write_bytes(picture((400, 300), "JPEG", "CMYK"))
    with unheard() as port:
        link = f"http://127.0.0.1:{port}/a.png"
        # Six of them in a row would make a provider pass for down.
        dead = "\n".join(f"  - {{id: dead{number}, prompt: d, references: ['{link}']}}" for number in range(6))
        (tmp_path / "m.yaml").write_text(
            "provider: p\n"
            "providers: {p: {extends: openai, base_url: simulator, references: {max_side: 100},"
            " simulate: {latency: 0, image_side: 16}}}\n"
            "settings: {max_attempts: 1}\n"
            "defaults: {model: gpt-image-1}\n"
            f"jobs:\n{dead}\n  - {{id: fine, prompt: f, references: [phone.jpg]}}\n"
        )
        result = await batchgen.run(tmp_path / "m.yaml", workspace=tmp_path / "w")
    records = {record.id: record async for record in result}
    assert records["fine"].state is JobState.DONE
    for number in range(6):
        error = records[f"dead{number}"].error
        assert error is not None
        assert (records[f"dead{number}"].state, error.kind) == (JobState.FAILED, "reference_lost")
    assert result.report.run_seconds < 30
    assert not (tmp_path / "w" / READY).exists()
