"""The transport on real sockets: bytes as they are, connections reused with care, errors that tell."""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import ssl
import subprocess
from contextlib import aclosing
from pathlib import Path

import httpcore2
import httpx2
import pytest

from batchgen.codecs.base import Call, Part
from batchgen.errors import BadKey, Interrupted, JobError, NotSent, UsageError
from batchgen.transport import AFTER_SENDING, BEFORE_SENDING, Head, Transport, split_url, translate
from tests.integration.loopback import Answer, Loopback, Then, http, unheard

TIMEOUT = 100.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def exchange(
    transport: Transport, call: Call, *, idle: float = TIMEOUT, pin: str | None = None
) -> tuple[Head, bytes]:
    """One whole exchange."""
    items = [item async for item in transport.send(call, timeout=idle, pin=pin)]
    assert isinstance(items[0], Head)
    return items[0], b"".join(item for item in items[1:] if isinstance(item, bytes))


def get(url: str) -> Call:
    return Call(method="GET", url=url)


@pytest.mark.parametrize(
    "target",
    [
        "/a/b?sig=x%2By%2Fz%3D&se=2025-04-09T02%3A55%3A56Z",
        "/a?sig=raw+plus/and~tilde",
        "/a//b/../c?b=2&a=1&a=",
        "/a?x=%e4%bd%a0&y=%zz&[]{}|^`'\"",
        "/?",
        "/a%20b;v=1,2:3@4!$*()",
    ],
)
async def test_a_target_arrives_byte_for_byte(target: str) -> None:
    async with Loopback([http(200)]) as server, Transport() as transport:
        await exchange(transport, get(server.url(target)))
        assert server.target(0) == target


async def test_only_what_http_cannot_carry_is_percent_encoded_and_a_fragment_stays_here() -> None:
    async with Loopback([http(200)]) as server, Transport() as transport:
        await exchange(transport, get(server.url("/猫 a.png?q=ü%2B#part")))
        assert server.target(0) == "/%E7%8C%AB%20a.png?q=%C3%BC%2B"


async def test_body_headers_and_key_arrive_as_given() -> None:
    body = bytes(range(256)) * 1000
    call = Call(
        method="POST", url="", headers={"Idempotency-Key": "k1"}, body=body, content_type="application/json"
    )
    async with Loopback([http(200, b"{}", X_Request_Id="r1")]) as server, Transport() as transport:
        call = Call(
            method="POST",
            url=server.url("/v1/x"),
            headers=call.headers,
            body=body,
            content_type=call.content_type,
        )
        items = [item async for item in transport.send(call, timeout=TIMEOUT, authorization="Bearer sk-1")]
        assert items[0] == Head(200, {"x-request-id": "r1", "content-length": "2"})
        assert server.requests[0].split(b"\r\n\r\n", 1)[1] == body
        assert server.header(0, "authorization") == "Bearer sk-1"
        assert server.header(0, "idempotency-key") == "k1"
        assert server.header(0, "content-type") == "application/json"
        assert server.header(0, "host") == f"127.0.0.1:{server.port}"
        assert server.header(0, "accept-encoding") == "identity"
        assert server.header(0, "cookie") is None


async def test_parts_become_a_multipart_form_with_plain_fields_and_files() -> None:
    parts = (Part("prompt", "猫".encode()), Part("image[]", b"\x89PNG", "cat.png", "image/png"))
    async with Loopback([http(200)]) as server, Transport() as transport:
        await exchange(transport, Call(method="POST", url=server.url(), parts=parts))
        body = server.requests[0].split(b"\r\n\r\n", 1)[1]
        assert b'form-data; name="prompt"\r\n\r\n\xe7\x8c\xab\r\n' in body
        assert b'name="image[]"; filename="cat.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in body
        assert (server.header(0, "content-type") or "").startswith("multipart/form-data; boundary=")


async def test_the_body_is_handed_over_while_it_arrives() -> None:
    read_first = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await read_first.wait()
        writer.write(b"later")

    async with (
        Loopback([Answer(script)]) as server,
        Transport() as transport,
        aclosing(transport.send(get(server.url()), timeout=TIMEOUT)) as reply,
    ):
        assert isinstance(await anext(reply), Head)
        assert await anext(reply) == b"first"
        read_first.set()
        assert await anext(reply) == b"later"


async def test_a_connection_serves_the_next_call_after_a_whole_reply() -> None:
    async with Loopback([http(200, b"ok")]) as server, Transport() as transport:
        for _ in range(3):
            await exchange(transport, get(server.url()))
        assert (len(server.requests), server.connections) == (3, 1)


async def test_a_connection_whose_reply_is_open_is_not_used_for_another_call() -> None:
    async with Loopback([http(200, b"ok")]) as server, Transport() as transport:
        async with aclosing(transport.send(get(server.url()), timeout=TIMEOUT)) as reply:
            await anext(reply)
            await exchange(transport, get(server.url()))
        assert server.connections == 2


async def test_a_reply_left_early_closes_its_connection() -> None:
    async with Loopback([http(200, b"x" * 500_000)]) as server, Transport() as transport:
        async with aclosing(transport.send(get(server.url()), timeout=TIMEOUT)) as reply:
            await anext(reply)
        await exchange(transport, get(server.url()))
        assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_written_to() -> None:
    closing = http(200, b"ok", Then.CLOSE)
    async with Loopback([closing]) as server, Transport() as transport:
        for _ in range(5):
            head, _ = await exchange(transport, Call(method="POST", url=server.url(), body=b"paid"))
            assert head.status == 200
            await server.disconnected()
        assert server.connections == 5


async def test_a_connection_that_was_idle_for_long_is_not_written_to() -> None:
    now = 0.0
    async with Loopback([http(200, b"ok")]) as server, Transport(clock=lambda: now) as transport:
        for idle, connections in ((0.0, 1), (4.0, 1), (4.5, 2), (0.5, 2)):
            now += idle
            await exchange(transport, Call(method="POST", url=server.url(), body=b"paid"))
            assert server.connections == connections


async def test_a_redirect_is_handed_back_and_not_followed() -> None:
    async with Loopback([http(302, Location="/elsewhere")]) as server, Transport() as transport:
        head, _ = await exchange(transport, get(server.url()))
        assert (head.status, head.headers["location"], len(server.requests)) == (302, "/elsewhere", 1)


async def test_cookies_are_not_kept() -> None:
    async with Loopback([http(200, Set_Cookie="a=b; Path=/")]) as server, Transport() as transport:
        await exchange(transport, get(server.url()))
        await exchange(transport, get(server.url()))
        assert server.header(1, "cookie") is None


async def test_a_reply_compressed_without_being_asked_is_decompressed() -> None:
    squeezed = gzip.compress(b"hello" * 1000)
    async with Loopback([http(200, squeezed, Content_Encoding="gzip")]) as server, Transport() as transport:
        assert (await exchange(transport, get(server.url())))[1] == b"hello" * 1000


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(b"", Then.CLOSE), "before its answer was whole"),
        (Answer(b"", Then.RESET), "broke"),
        (Answer(b"", Then.HANG), "sent nothing for 0.5 s"),
        (http(200, b"short", Then.CLOSE, Content_Length="100"), "before its answer was whole"),
        (http(200, b"short", Then.HANG, Content_Length="100"), "sent nothing for 0.5 s"),
        (
            http(200, b"5\r\nhello\r\n", Then.CLOSE, Transfer_Encoding="chunked"),
            "before its answer was whole",
        ),
        (Answer(b"garbage\r\n\r\n", Then.CLOSE), "before its answer was whole"),
        (http(200, b"no gzip", Content_Encoding="gzip"), "can't be read"),
    ],
)
async def test_whatever_fails_after_the_request_left_has_an_unknown_outcome(
    answer: Answer, words: str
) -> None:
    async with Loopback([answer]) as server, Transport() as transport:
        call = Call(method="POST", url=server.url("/?sig=s3cret"), body=b"{}")
        with pytest.raises(Interrupted, match=words) as caught:
            await exchange(transport, call, idle=0.5 if answer.then is Then.HANG else TIMEOUT)
        assert len(server.requests) == 1
        assert "s3cret" not in str(caught.value)


async def test_a_reset_of_a_reused_connection_is_reported_as_unknown_and_not_repeated() -> None:
    async with Loopback([http(200, b"ok"), Answer(b"", Then.RESET)]) as server, Transport() as transport:
        await exchange(transport, get(server.url()))
        with pytest.raises(Interrupted):
            await exchange(transport, Call(method="POST", url=server.url(), body=b"paid"))
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_refused_connection_was_not_sent() -> None:
    with unheard() as port:
        async with Transport() as transport:
            with pytest.raises(NotSent, match=r"no connection to 127\.0\.0\.1"):
                await exchange(transport, get(f"http://127.0.0.1:{port}/"))


async def test_a_server_without_tls_was_not_sent_an_https_request() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(no_tls, "127.0.0.1", 0) as server, Transport() as transport:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotSent):
            await exchange(transport, get(f"https://127.0.0.1:{port}/"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b",
        "/relative",
        "",
        "http://",
        "http://a:99999/",
        "http://u:p@a/",
        "http://a b/",
        "http://／/",
    ],
)
async def test_an_unusable_address_was_not_sent(url: str) -> None:
    async with Transport() as transport:
        with pytest.raises(NotSent):
            await exchange(transport, get(url))


async def test_a_key_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    async with Transport() as transport:
        reply = transport.send(get("http://127.0.0.1:9/"), timeout=1, authorization="Bearer sk-1\nX: y")
        with pytest.raises(BadKey) as caught:
            await anext(reply)
    assert "sk-1" not in str(caught.value)


async def test_a_header_that_http_cannot_carry_was_not_sent() -> None:
    async with Loopback([http(200)]) as server, Transport() as transport:
        call = Call(method="GET", url=server.url(), headers={"If-Range": "a\r\nX-Evil: 1"})
        with pytest.raises(NotSent, match="can't be written as HTTP"):
            await exchange(transport, call)
        assert server.connections == 0


async def test_an_answer_may_be_announced_first() -> None:
    announced = Answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    async with Loopback([announced]) as server, Transport() as transport:
        head, body = await exchange(transport, get(server.url()))
        assert (head.status, head.headers, body) == (200, {"content-length": "2"}, b"ok")
        await exchange(transport, get(server.url()))
        assert server.connections == 1


async def test_bytes_behind_an_answer_cost_the_connection_and_not_the_answer() -> None:
    async with Loopback([Answer(OK + b"HTTP/1.1 200 OK\r\n")]) as server, Transport() as transport:
        for _ in range(2):
            assert (await exchange(transport, get(server.url())))[1] == b"ok"
        assert server.connections == 2


async def test_a_call_that_is_cancelled_closes_its_connection_and_the_next_one_works() -> None:
    async with Loopback([Answer(b"", Then.HANG), http(200, b"ok")]) as server, Transport() as transport:
        waiting = asyncio.create_task(exchange(transport, get(server.url())))
        await server.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await exchange(transport, get(server.url())))[1] == b"ok"
        assert server.connections == 2


def test_every_exception_of_the_library_has_its_leaf() -> None:
    """A new class in the library that touches the network must be sorted by hand, not by accident."""
    every = {
        thing
        for library in (httpcore2, httpx2)
        for name in library.__all__
        if isinstance(thing := getattr(library, name), type) and issubclass(thing, Exception)
    }
    abstract = {httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError}
    network = {kind for kind in every if kind.__module__.startswith("httpcore2")} - abstract
    assert network | {httpx2.DecodingError} <= BEFORE_SENDING.keys() | AFTER_SENDING.keys()
    for kind in every:
        error = kind.__new__(kind)
        leaf = translate(error, "host", 1.0)
        assert isinstance(leaf, NotSent if kind in BEFORE_SENDING else Interrupted), kind


def test_an_exception_that_is_not_the_librarys_counts_as_sent() -> None:
    leaf: JobError = translate(RuntimeError("sk-secret"), "host", 1.0)
    assert isinstance(leaf, Interrupted)
    assert "sk-secret" not in str(leaf)


async def test_the_library_logs_no_address_whatever_the_root_logger_wants(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    redirect = http(302, Location="http://far.test/?sig=s3cret")
    async with Loopback([redirect]) as server, Transport() as transport:
        await exchange(transport, get(server.url("/?sig=s3cret")))
    assert "s3cret" not in caplog.text


async def test_a_pinned_call_goes_to_the_address_and_names_the_host() -> None:
    async with Loopback([http(200, b"ok")]) as server, Transport() as transport:
        await exchange(transport, get(f"http://pictures.test:{server.port}/a"), pin="127.0.0.1")
        assert server.header(0, "host") == f"pictures.test:{server.port}"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for pictures.test, and its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=pictures.test -days 2"
    )
    name = "subjectAltName=DNS:pictures.test"
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *words.split(), "-addext", name, *files], check=True, capture_output=True)
    return cert, key


async def test_a_pinned_https_call_checks_the_certificate_of_the_name(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    async with Loopback([http(200, b"ok")], tls=context) as server, Transport(verify=trusting) as transport:
        url = f"https://pictures.test:{server.port}/a"
        assert (await exchange(transport, get(url), pin="127.0.0.1"))[1] == b"ok"
        with pytest.raises(NotSent, match=r"other\.test"):
            await exchange(transport, get(url.replace("pictures", "other")), pin="127.0.0.1")


async def test_a_proxy_gets_the_whole_address_and_no_pin() -> None:
    async with Loopback([http(200, b"ok")]) as proxy:
        settings = {"http": f"127.0.0.1:{proxy.port}", "no": "spared.test, .also.test"}
        async with Transport(proxies=settings) as transport:
            await exchange(transport, get("http://far.test/a?s=%2B+/"), pin="203.0.113.9")
            assert proxy.target(0) == "http://far.test/a?s=%2B+/"
            assert transport.proxied("http://far.test/")
            for url in (
                "http://spared.test/",
                "http://x.also.test/",
                "http://127.0.0.1:9/",
                "http://localhost/",
                "https://far.test/",
            ):
                assert not transport.proxied(url)


async def test_an_unusable_proxy_is_the_users_mistake() -> None:
    async with Transport(proxies={"all": "gopher://u:secret@127.0.0.1:9"}) as transport:
        with pytest.raises(UsageError) as caught:
            await exchange(transport, get("http://far.test/"))
    assert "secret" not in str(caught.value)


def test_an_address_is_taken_apart_without_changing_its_target() -> None:
    address = split_url("HTTPS://Bücher.Example:443/a?b=%2F#c")
    assert (address.scheme, address.host, address.port) == ("https", "xn--bcher-kva.example", 443)
    assert (address.target, address.netloc) == ("/a?b=%2F", "xn--bcher-kva.example")
    assert split_url("http://[::1]:80?q").netloc == "[::1]"
    assert split_url("http://[::1]:80?q").target == "/?q"


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    where = tmp_path / "mine.pem"
    if text is not None:
        where.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(where))
    with pytest.raises(UsageError, match=r"the certificates that SSL_CERT_FILE .* can't be read"):
        Transport()
