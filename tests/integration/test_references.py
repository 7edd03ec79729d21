"""References that are links, for an endpoint that takes bytes: fetched under the rules of downloads."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from batchgen.errors import BadReference, NotSent
from batchgen.images.addresses import AddressGuard
from batchgen.images.references import fetched
from batchgen.model import Endpoint, Job, Picture, Submission
from batchgen.providers.profile import Profile
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings
from tests.integration.loopback import Answer, Loopback, Then, http

OWN = AddressGuard(frozenset({"127.0.0.1"}), False)
PUBLIC = AddressGuard(frozenset(), False)


def _png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    return file.getvalue()


PNG = _png()


async def fetch(url: str, guard: AddressGuard = OWN, max_bytes: int = 1 << 20) -> Picture:
    async with Transport(proxies={}) as transport:
        return await fetched(url, transport=transport, guard=guard, max_bytes=max_bytes)


async def test_a_link_becomes_the_bytes_behind_it_and_its_type_comes_from_them() -> None:
    async with Loopback([http(302, Location="/cat"), http(200, PNG, Content_Type="text/plain")]) as server:
        picture = await fetch(server.url("/r?signature=secret"))
        assert picture == Picture(name="r.png", mime="image/png", data=PNG)
        assert server.target(1) == "/cat"
        assert server.header(0, "Authorization") is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(404), "HTTP 404"),
        (http(403), "HTTP 403"),
        (http(200, b"<html>"), "not a PNG"),
        (http(200, PNG + b"x" * 4000), "larger than the 2000 bytes"),
        (http(302, Location="/again"), "more than 5 redirects"),
        (http(302, Location="http://10.0.0.1/a.png"), "not a public address"),
    ],
    ids=["gone", "forbidden", "a page", "too large", "redirects for ever", "redirect to a private address"],
)
async def test_a_link_without_a_picture_ends_the_job_in_one_line(answer: Answer, words: str) -> None:
    async with Loopback([answer]) as server:
        with pytest.raises(BadReference, match=words) as caught:
            await fetch(server.url("/a.png?signature=secret"), max_bytes=2000)
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


async def test_a_private_address_is_never_asked() -> None:
    async with Loopback([http(200, PNG)]) as server:
        with pytest.raises(BadReference, match="not a public address"):
            await fetch(server.url(), PUBLIC)
        assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [http(503), http(429), http(200, PNG[:40], Then.CLOSE, Content_Length=str(len(PNG)))],
    ids=["an outage", "a limit", "a cut"],
)
async def test_trouble_that_may_pass_is_one_where_the_provider_was_sent_nothing(answer: Answer) -> None:
    async with Loopback([answer]) as server:
        with pytest.raises(NotSent, match="reference http"):
            await fetch(server.url())


async def test_nobody_there_is_trouble_that_may_pass() -> None:
    async with Loopback([http(200)]) as server:
        url = server.url()
    with pytest.raises(NotSent, match="reference http"):
        await fetch(url)


@pytest.mark.parametrize("endpoint", Endpoint)
async def test_only_the_images_endpoint_is_sent_bytes_for_a_link(tmp_path: Path, endpoint: Endpoint) -> None:
    async with Loopback([http(200, PNG)]) as pictures, Loopback([http(400, b"{}")]) as provider:
        profile = Profile(name="p", base_url=provider.url("/v1"), endpoint=endpoint)
        async with Transport(proxies={}) as transport:
            settings = WorkerSettings(
                workspace=tmp_path,
                profiles={"p": profile},
                keys={"p": {"KEY": "sk-secret"}},
                guards={"p": OWN},
                max_image_bytes=1 << 20,
                task_patience=1.0,
            )
            job = Job(id="a", prompt="x", provider=("p",), model="m", references=(pictures.url(),), mask=None)
            work = Submission(attempt_id=1, job=job, provider="p", ask=1, idempotency_key="k", key="KEY")
            async for _ in Worker(settings, transport, now=lambda: 0.0).run(work):
                pass
        images = endpoint is Endpoint.IMAGES
        assert len(pictures.requests) == images
        assert (PNG in provider.requests[0]) is images
        assert (pictures.url().encode() in provider.requests[0]) is not images
        assert all(b"sk-secret" not in request for request in pictures.requests)
