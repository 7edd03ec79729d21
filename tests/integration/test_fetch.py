"""Downloads from a real socket: only a whole, decoded file counts; everything else says what may be done."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import random
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from pathlib import Path

import anyio
import pytest
from PIL import Image

from batchgen.errors import BadImage, Blocked, DownloadFailed, JobError, LinkDead, NotThereYet, WorkspaceError
from batchgen.events import Saved
from batchgen.images.addresses import AddressGuard
from batchgen.images.fetch import Fetcher, clean_leftovers, fetch
from batchgen.images.inspect import ImageFacts, decoders, inspect_data
from batchgen.images.partial import PartialFile
from batchgen.images.spool import spool as spool_file
from batchgen.model import Download
from batchgen.storage.buffer import ROOM
from batchgen.transport import Transport
from tests.integration.loopback import Answer, Loopback, Then, http

NOW = 1_800_000_000.0
INCOMING = "images/.incoming"


def picture(format: str = "PNG", size: tuple[int, int] = (300, 200)) -> bytes:
    """Noise, which no compression makes small."""
    file = BytesIO()
    Image.frombytes("RGB", size, random.Random(1).randbytes(3 * size[0] * size[1])).save(file, format)
    return file.getvalue()


PNG = picture()
LARGE = picture(size=(1800, 1700))


async def no_names(host: str, port: int) -> list[str]:
    """The tests know no names; other.test is private."""
    if host == "other.test":
        return ["10.0.0.1"]
    raise OSError("no such name")


@dataclass
class Bench:
    """A workspace and what a download needs."""

    workspace: Path
    max_bytes: int = 16 << 20
    total: float = 30.0
    idle: float = 20.0

    async def fetch(self, *urls: str, spool: str | None = None, target: str = "images/cat") -> Saved:
        work = Download(
            output_id=7, job_id="cat", provider="p", position=0, urls=urls, spool=spool, target=target
        )
        guard = AddressGuard(frozenset({"127.0.0.1"}), False, resolve=no_names)
        async with Transport(proxies={}) as transport:
            fetcher = Fetcher(
                transport=transport,
                workspace=self.workspace,
                guard=guard,
                max_bytes=self.max_bytes,
                now=lambda: NOW,
                idle=self.idle,
                total=self.total,
            )
            return await fetcher.fetch(work)

    def files(self) -> list[str]:
        """Everything in the workspace, relative."""
        every = (path for path in self.workspace.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.workspace).as_posix() for path in every)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_whole_image_is_saved_under_the_extension_of_its_bytes(bench: Bench) -> None:
    jpeg = picture("JPEG")
    async with Loopback([http(200, jpeg, Content_Type="image/png")]) as server:
        saved = await bench.fetch(server.url("/a.png?sig=%2B/"))
        assert server.target(0) == "/a.png?sig=%2B/"
        assert server.header(0, "authorization") is None
        assert server.header(0, "accept-encoding") == "identity"
    digest = hashlib.sha256(jpeg).hexdigest()
    assert saved == Saved(
        path="images/cat.jpg", sha256=digest, bytes=len(jpeg), width=300, height=200, format="jpeg"
    )
    assert (bench.workspace / saved.path).read_bytes() == jpeg
    assert bench.files() == ["images/cat.jpg"]


async def test_the_plain_function_does_the_same(tmp_path: Path) -> None:
    work = Download(
        output_id=1, job_id="cat", provider="p", position=0, urls=(), spool=None, target="images/cat"
    )
    guard = AddressGuard(frozenset(), False)
    async with Transport() as transport:
        with pytest.raises(LinkDead, match="no link"):
            await fetch(
                work, transport=transport, workspace=tmp_path, guard=guard, max_bytes=1, now=lambda: NOW
            )


async def test_a_large_image_in_chunks_of_unknown_length_is_saved_whole(bench: Bench) -> None:
    chunks = [LARGE[start : start + 50_000] for start in range(0, len(LARGE), 50_000)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    async with Loopback([http(200, body, Transfer_Encoding="chunked")]) as server:
        saved = await bench.fetch(server.url())
    assert len(LARGE) > 2 * ROOM
    assert (bench.workspace / saved.path).read_bytes() == LARGE


async def test_an_image_compressed_although_identity_was_asked_is_saved_as_itself(bench: Bench) -> None:
    async with Loopback([http(200, gzip.compress(PNG), Content_Encoding="gzip")]) as server:
        saved = await bench.fetch(server.url())
    assert (bench.workspace / saved.path).read_bytes() == PNG


XML = b"<?xml version='1.0'?><Error><Code>%b</Code><Message>m</Message></Error>"


@pytest.mark.parametrize(
    ("answer", "leaf", "words"),
    [
        (http(404), NotThereYet, "404"),
        (http(404, XML % b"NoSuchKey"), NotThereYet, "404 NoSuchKey"),
        (http(403), LinkDead, "403"),
        (http(403, XML % b"AuthenticationFailed"), LinkDead, "403 AuthenticationFailed"),
        (http(410, b"<html>gone</html>"), LinkDead, "410"),
        (http(400, XML % b"ExpiredToken"), LinkDead, "400 ExpiredToken"),
        (http(503, XML % b"RequestExpired"), LinkDead, "503 RequestExpired"),
        (http(200, XML % b"AccessDenied"), LinkDead, "status 200"),
        (http(200, b"<?xml?><e>Request has expired</e>"), LinkDead, "status 200"),
        (http(401), LinkDead, "401"),
        (http(429, Retry_After="7"), DownloadFailed, "429"),
        (http(500), DownloadFailed, "500"),
        (http(502, b"<html>Bad gateway"), DownloadFailed, "502"),
        (http(408), DownloadFailed, "408"),
        (http(204), DownloadFailed, "204"),
        (http(304), DownloadFailed, "304"),
        (http(302), DownloadFailed, "302"),
        (http(206, PNG), DownloadFailed, "206"),
        (http(416), LinkDead, "416"),
        (http(200, b"<!DOCTYPE html><html>login</html>"), BadImage, "an HTML page"),
        (http(200, b'{"error": "x"}'), BadImage, "JSON"),
        (http(200), BadImage, "nothing"),
        (http(200, PNG[:-500]), BadImage, "cut or damaged"),
        (http(200, PNG[:5000], Then.CLOSE, Content_Length=str(len(PNG))), DownloadFailed, "broke"),
        (http(200, PNG[:5000], Then.RESET, Content_Length=str(len(PNG))), DownloadFailed, "broke"),
        (Answer(b"", Then.CLOSE), DownloadFailed, "broke"),
        (http(200, b"x", Content_Length=str(1 << 40)), BadImage, "more than the .* of max_image_bytes"),
    ],
)
async def test_each_answer_without_an_image_has_its_leaf_and_leaves_nothing_behind(
    answer: Answer, leaf: type[JobError], words: str, bench: Bench
) -> None:
    async with Loopback([answer]) as server:
        with pytest.raises(leaf, match=words) as caught:
            await bench.fetch(server.url("/a.png?sig=s3cret"))
    assert type(caught.value) is leaf
    assert "s3cret" not in str(caught.value)
    assert bench.files() == []


@pytest.mark.parametrize(
    ("told", "wait"),
    [("7", 7.0), (formatdate(NOW + 90, usegmt=True), 90.0), (formatdate(NOW - 9), 0.0), ("soon", None)],
)
async def test_the_wait_that_a_host_asks_for_is_handed_on(
    told: str, wait: float | None, bench: Bench
) -> None:
    async with Loopback([http(429, Retry_After=told)]) as server:
        with pytest.raises(DownloadFailed) as caught:
            await bench.fetch(server.url())
    assert (caught.value.retry_after, caught.value.status) == (wait, 429)


async def test_a_body_without_end_is_cut_off_and_removed(bench: Bench) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    bench.max_bytes = 3 << 20
    async with Loopback([Answer(endless)]) as server:
        with pytest.raises(BadImage, match="max_image_bytes, 3145728 bytes"):
            await bench.fetch(server.url())
    assert bench.files() == []


async def test_a_compressed_bomb_is_cut_off(bench: Bench) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    async with Loopback([http(200, bomb, Content_Encoding="gzip")]) as server:
        with pytest.raises(BadImage, match="larger than max_image_bytes"):
            await bench.fetch(server.url())
    assert bench.files() == []


async def test_a_file_of_exactly_the_allowed_size_passes(bench: Bench) -> None:
    bench.max_bytes = len(PNG)
    async with Loopback([http(200, PNG)]) as server:
        assert (await bench.fetch(server.url())).bytes == len(PNG)


async def test_a_host_that_falls_silent_is_given_up(bench: Bench) -> None:
    bench.idle = 0.05
    async with Loopback([http(200, PNG[:100], Then.HANG, Content_Length=str(len(PNG)))]) as server:
        with pytest.raises(DownloadFailed, match=r"sent nothing for 0\.05 s"):
            await bench.fetch(server.url())


async def test_a_host_that_drips_is_given_up_at_the_deadline_of_the_whole(bench: Bench) -> None:
    bench.total = 0.05
    async with Loopback([Answer(b"", Then.HANG)]) as server:
        with pytest.raises(DownloadFailed, match=r"longer than 0\.05 s"):
            await bench.fetch(server.url())


# --- redirects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/x/../y?sig=a%2Fb+c", "/y;?"])
async def test_a_redirect_is_followed_byte_for_byte(target: str, bench: Bench) -> None:
    async with Loopback([http(200, PNG)]) as far:
        async with Loopback([http(302, Location=far.url(target))]) as near:
            await bench.fetch(near.url())
        assert far.target(0) == target


async def test_a_relative_redirect_stays_on_its_host(bench: Bench) -> None:
    async with Loopback([http(307, Location="../b.png?c=%2F"), http(200, PNG)]) as server:
        await bench.fetch(server.url("/x/y/a.png"))
        assert server.target(1) == "/x/b.png?c=%2F"


@pytest.mark.parametrize(
    "location",
    [
        *("http://other.test/a.png", "http://127.0.0.2/a", "http://2130706434/a", "//169.254.169.254/latest"),
        *("file:///etc/passwd", "http://[::1]/a", "http://user@127.0.0.1/a", "http://localhost/a"),
    ],
)
async def test_a_redirect_to_a_place_that_is_not_public_is_blocked(location: str, bench: Bench) -> None:
    async with Loopback([http(302, Location=location)]) as server:
        with pytest.raises(Blocked):
            await bench.fetch(server.url())
        assert len(server.requests) == 1
    assert bench.files() == []


async def test_five_redirects_are_followed_and_six_are_not(bench: Bench) -> None:
    hop = http(301, Location="/next")
    async with Loopback([hop] * 5 + [http(200, PNG)]) as server:
        await bench.fetch(server.url())
    async with Loopback([hop]) as server:
        with pytest.raises(Blocked, match="more than 5 redirects"):
            await bench.fetch(server.url())
        assert len(server.requests) == 6


# --- several links -----------------------------------------------------------------------------


async def test_another_link_is_tried_only_after_a_dead_one(bench: Bench) -> None:
    async with Loopback([http(403), http(200, PNG)]) as server:
        await bench.fetch(server.url("/first"), server.url("/second"))
        assert [server.target(0), server.target(1)] == ["/first", "/second"]
    async with Loopback([http(503), http(200, PNG)]) as server:
        with pytest.raises(DownloadFailed):
            await bench.fetch(server.url("/first"), server.url("/second"))
        assert len(server.requests) == 1


async def test_when_every_link_fails_for_good_the_dead_one_is_named(bench: Bench) -> None:
    async with Loopback([http(200, b"<html>"), http(410)]) as server:
        with pytest.raises(LinkDead):
            await bench.fetch("file:///x", server.url(), server.url())


# --- going on where it stopped -----------------------------------------------------------------

ETAG = '"v1"'
HALF = len(LARGE) // 2


def cut(then: Then = Then.RESET, **headers: str) -> Answer:
    """The first half of the large picture, then a broken connection."""
    return http(200, LARGE[:HALF], then, Content_Length=str(len(LARGE)), **headers)


def rest(start: int, data: bytes = LARGE, etag: str = ETAG) -> Answer:
    return http(206, data[start:], ETag=etag, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")


async def broken(bench: Bench, server: Loopback, path: str = "/a.png?sig=1") -> int:
    """Download until it breaks; returns how many bytes were kept."""
    with pytest.raises(DownloadFailed):
        await bench.fetch(server.url(path))
    part = bench.workspace / INCOMING / "o7.part"
    return part.stat().st_size if part.exists() else 0


async def test_a_broken_download_goes_on_where_it_stopped(bench: Bench) -> None:
    async with Loopback([cut(Then.CLOSE, ETag=ETAG), rest(HALF)]) as server:
        assert await broken(bench, server) == HALF
        assert bench.files() == [f"{INCOMING}/o7.note", f"{INCOMING}/o7.part"]
        clean_leftovers(bench.workspace)
        # A link that was signed anew still leads to the same file.
        saved = await bench.fetch(server.url("/a.png?sig=2"))
        assert server.header(1, "range") == f"bytes={HALF}-"
        assert server.header(1, "if-range") == ETAG
    assert (bench.workspace / saved.path).read_bytes() == LARGE
    assert saved.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert bench.files() == ["images/cat.png"]


async def test_a_download_can_break_more_than_once(bench: Bench) -> None:
    end = f"bytes {HALF}-{len(LARGE) - 1}/{len(LARGE)}"
    more = LARGE[HALF : HALF + 1000]
    again = http(206, more, Then.CLOSE, ETag=ETAG, Content_Range=end, Content_Length=str(len(LARGE) - HALF))
    async with Loopback([cut(Then.CLOSE, ETag=ETAG), again, http(503), rest(HALF + 1000)]) as server:
        assert await broken(bench, server) == HALF
        assert await broken(bench, server) == HALF + 1000
        assert await broken(bench, server) == HALF + 1000
        saved = await bench.fetch(server.url("/a.png"))
    assert (bench.workspace / saved.path).read_bytes() == LARGE


async def test_a_host_that_sends_less_of_the_rest_than_there_is_is_asked_again(bench: Bench) -> None:
    some = f"bytes {HALF}-{HALF + 999}/{len(LARGE)}"
    little = http(206, LARGE[HALF : HALF + 1000], ETag=ETAG, Content_Range=some)
    async with Loopback([cut(Then.CLOSE, ETag=ETAG), little, rest(HALF + 1000)]) as server:
        assert await broken(bench, server) == HALF
        assert await broken(bench, server) == HALF + 1000
        saved = await bench.fetch(server.url())
    assert (bench.workspace / saved.path).read_bytes() == LARGE


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([http(200, PNG)], id="the file has changed"),
        pytest.param([http(416), http(200, PNG)], id="there is no such rest"),
        pytest.param([rest(3, PNG), http(200, PNG)], id="another rest than asked for"),
        pytest.param([http(206, PNG), http(200, PNG)], id="a part that does not say which"),
    ],
)
async def test_a_download_begins_anew_where_the_rest_cannot_be_had(
    answers: list[Answer], bench: Bench
) -> None:
    async with Loopback([cut(Then.CLOSE, Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT"), *answers]) as server:
        assert await broken(bench, server) == HALF
        saved = await bench.fetch(server.url())
        assert server.header(1, "if-range") == "Mon, 01 Jan 2024 00:00:00 GMT"
        assert len(answers) == 1 or server.header(2, "range") is None
    assert (bench.workspace / saved.path).read_bytes() == PNG
    assert bench.files() == ["images/cat.png"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": ETAG, "Accept-Ranges": "none"}],
    ids=["nothing to compare", "a weak tag", "no ranges"],
)
async def test_nothing_is_kept_of_a_file_that_cannot_be_recognised(
    headers: dict[str, str], bench: Bench
) -> None:
    async with Loopback([cut(Then.CLOSE, **headers)]) as server:
        assert await broken(bench, server) == 0
    assert bench.files() == []


async def test_a_part_of_another_link_or_without_its_note_is_not_used(bench: Bench) -> None:
    async with Loopback([cut(Then.CLOSE, ETag=ETAG), cut(Then.CLOSE, ETag=ETAG), http(200, LARGE)]) as server:
        assert await broken(bench, server) == HALF
        assert await broken(bench, server, "/other.png") == HALF
        assert server.header(1, "range") is None
        (bench.workspace / INCOMING / "o7.note").write_text("{torn")
        saved = await bench.fetch(server.url("/other.png"))
        assert server.header(2, "range") is None
    assert (bench.workspace / saved.path).read_bytes() == LARGE


async def test_a_cancelled_download_keeps_what_came(bench: Bench) -> None:
    async with Loopback([cut(Then.HANG, ETag=ETAG), rest(HALF)]) as server:
        part = bench.workspace / INCOMING / "o7.part"
        async with anyio.create_task_group() as group:
            group.start_soon(bench.fetch, server.url())
            while not (part.exists() and part.stat().st_size):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0)
            group.cancel_scope.cancel()
        kept = part.stat().st_size
        assert 1 << 20 <= kept <= HALF
        server.answers[:] = [rest(kept)]
        saved = await bench.fetch(server.url())
        assert server.header(1, "range") == f"bytes={kept}-"
    assert (bench.workspace / saved.path).read_bytes() == LARGE


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_large_picture_in_memory_is_decoded_like_any_other(format: str) -> None:
    whole = memoryview(picture(format, (1000, 900)))
    assert len(whole) > 1 << 18
    assert inspect_data(whole) == ImageFacts(format.lower(), 1000, 900)
    # What follows in memory belongs to another file.
    with pytest.raises(BadImage, match=f"the {format} image is cut or damaged"):
        inspect_data(whole[: len(whole) * 2 // 3])


def test_a_small_file_is_gathered_until_it_is_whole_and_a_large_one_is_not(tmp_path: Path) -> None:
    for size, flushes in ((3 << 20, False), (5 << 20, True), (None, True)):
        part = PartialFile(tmp_path, 7, "https://cdn.test/a.png")
        part.expect(size)
        assert part.gather(bytes(2 << 20)) is flushes


def test_two_workers_that_bring_the_same_output_do_not_write_into_one_file(tmp_path: Path) -> None:
    one, other = (PartialFile(tmp_path, 7, "https://cdn.test/a.png") for _ in range(2))
    one.gather(PNG)
    other.gather(LARGE[: 3 << 20])
    with one.finish() as first, other.finish() as second:
        assert first.path.read_bytes() == PNG
        assert second.path.read_bytes() == LARGE[: 3 << 20]
    one.discard()
    assert not first.path.exists()
    assert second.path.exists()


async def test_a_download_cancelled_when_it_is_all_here_keeps_it_and_closes_its_file(bench: Bench) -> None:
    places = decoders()
    async with Loopback([http(200, LARGE, ETag=ETAG)]) as server:
        async with anyio.create_task_group() as group:
            # With every place taken, a whole download waits before its end.
            for number in range(int(places.total_tokens)):
                places.acquire_on_behalf_of_nowait(number)
            group.start_soon(bench.fetch, server.url())
            with anyio.fail_after(30):
                while not places.statistics().tasks_waiting:  # noqa: ASYNC110 - a limiter has no event for it
                    await asyncio.sleep(0)
            group.cancel_scope.cancel()
        assert bench.files() == [f"{INCOMING}/o7.note", f"{INCOMING}/o7.part"]
        assert (bench.workspace / INCOMING / "o7.part").read_bytes() == LARGE


async def test_a_disk_that_refuses_the_bytes_keeps_nothing_that_a_resume_would_trust(bench: Bench) -> None:
    part = bench.workspace / INCOMING / "o7.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    async with Loopback([http(200, LARGE, ETag=ETAG)]) as server:
        with pytest.raises(WorkspaceError, match="No space left"):
            await bench.fetch(server.url())
    assert not part.is_symlink()
    assert bench.files() == []


# --- places ------------------------------------------------------------------------------------


async def test_other_bytes_are_never_overwritten_and_the_same_bytes_are_kept(bench: Bench) -> None:
    async with Loopback([http(200, PNG)]) as server:
        first = await bench.fetch(server.url())
        again = await bench.fetch(server.url())
        assert again == first
        (bench.workspace / first.path).write_bytes(b"edited by the user")
        assert (await bench.fetch(server.url())).path == "images/cat~x2.png"
        assert (await bench.fetch(server.url())).path == "images/cat~x2.png"
    assert (bench.workspace / first.path).read_bytes() == b"edited by the user"
    assert bench.files() == ["images/cat.png", "images/cat~x2.png"]


@pytest.mark.parametrize("target", ["../cat", "/tmp/cat", "images/../../cat", "link/cat"])
async def test_nothing_is_written_outside_the_workspace(target: str, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/link").symlink_to(tmp_path)
    async with Loopback([http(200, PNG)]) as server:
        with pytest.raises(Blocked):
            await Bench(tmp_path / "w").fetch(server.url(), target=target)
        assert server.requests == []


async def test_a_workspace_that_cannot_be_written_is_no_failure_of_the_job(bench: Bench) -> None:
    (bench.workspace / "images").write_text("a file where the folder should be")
    async with Loopback([http(200, PNG)]) as server:
        with pytest.raises(WorkspaceError):
            await bench.fetch(server.url())


async def test_an_inline_image_goes_the_same_way_as_a_download(bench: Bench) -> None:
    spool = spool_file(base64.b64encode(PNG).decode(), bench.workspace, "a1-0", 1 << 24)
    saved = await bench.fetch(spool=spool)
    assert (saved.path, saved.sha256) == ("images/cat.png", hashlib.sha256(PNG).hexdigest())
    assert bench.files() == ["images/cat.png"]
    # The run died before the ledger knew: the file is found at its place.
    assert await bench.fetch(spool=spool) == saved


async def test_an_inline_image_that_is_none_stays_where_it_was_and_a_lost_one_is_dead(bench: Bench) -> None:
    spool = spool_file("aGVsbG8=", bench.workspace, "a1-0", 1000)
    with pytest.raises(BadImage):
        await bench.fetch(spool=spool)
    assert bench.files() == [spool]
    (bench.workspace / spool).unlink()
    with pytest.raises(LinkDead):
        await bench.fetch(spool=spool)
    with pytest.raises(Blocked):
        await bench.fetch(spool="../x")


def test_only_what_a_crash_left_half_written_is_cleaned_away(tmp_path: Path) -> None:
    clean_leftovers(tmp_path)
    folder = tmp_path / INCOMING
    folder.mkdir(parents=True)
    for name in ("a1-0", "a2-0.tmp", "o1.part", "o1.note", "o2.part", "o3.note"):
        (folder / name).write_text("x")
    clean_leftovers(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["a1-0", "o1.note", "o1.part"]
