"""Where a download may go: the resolver here is a table, and nothing is ever sent."""

from __future__ import annotations

import pytest

from batchgen.errors import Blocked, DownloadFailed
from batchgen.images.addresses import AddressGuard

NAMES = {
    "cdn.test": ["93.184.215.14"],
    "six.test": ["2606:2800:21f::1"],
    "inner.test": ["10.0.0.7"],
    "mixed.test": ["93.184.215.14", "192.168.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "none.test": [],
}


async def table(host: str, port: int) -> list[str]:
    if host not in NAMES:
        raise OSError("no such name")
    return NAMES[host]


def guard(own: str = "", *, allow_private: bool = False) -> AddressGuard:
    return AddressGuard(frozenset({own} - {""}), allow_private, resolve=table)


async def test_a_public_name_is_pinned_to_the_address_that_was_checked() -> None:
    assert await guard().check("https://cdn.test/a.png?sig=%2B") == "93.184.215.14"
    assert await guard().check("https://six.test/a.png") == "2606:2800:21f::1"
    assert await guard().check("https://cdn.test./a.png") == "93.184.215.14"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f.1"),
        *(
            "0x7f000001",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "１２７.0.0.1",
            "127。0。0。1",
            "①②⑦.0.0.1",
        ),
        *(
            "0",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
        *(
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::1]",
            "[fec0::1]",
            "[fc00::1]",
            "[ff02::1]",
        ),
        *("[2001:db8::1]", "[100::1]"),
        *("inner.test", "mixed.test", "mapped.test", "none.test"),
    ],
)
async def test_no_spelling_of_a_private_address_gets_through(host: str) -> None:
    with pytest.raises(Blocked, match="not a public address"):
        await guard().check(f"http://{host}:8080/a.png")


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "0x08080808", "[64:ff9b::808:808]", "[2606:2800:21f::1]", "[2002:808:808::]"]
)
async def test_a_public_address_needs_no_resolver(host: str) -> None:
    assert await guard().check(f"https://{host}/a.png") is not None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://cdn.test/a",
            "data:image/png;base64,AA",
            "//cdn.test/a",
            "cdn.test/a",
            "",
        ),
        *(
            "http://user:pw@cdn.test/",
            "http://cdn.test@127.0.0.1/",
            "http://cdn.test\\@127.0.0.1/",
            "http://cdn.test:0/",
        ),
        *(
            "http://cdn.test:99999/",
            "http://[::1/",
            "http://[::1%25eth0]/",
            "http://1.2.3.4.5/",
            "http://0x/",
            "http:///a",
        ),
        *(
            "http://cdn.test／@127.0.0.1/",
            "http://127.0.0.256/",
            "http://cdn%2etest/",
            "http://cdn.test\n.evil/",
        ),
    ],
)
async def test_what_is_no_plain_http_address_is_blocked(url: str) -> None:
    with pytest.raises(Blocked) as caught:
        await guard().check(url)
    assert "pw" not in str(caught.value)


async def test_the_providers_own_host_is_allowed_wherever_it_is() -> None:
    assert await guard("127.0.0.1").check("http://127.0.0.1:8080/a.png") is None
    assert await guard("Inner.Test").check("http://inner.test./a.png") is None
    assert await guard("::1").check("http://[::1]/a.png") is None
    with pytest.raises(Blocked):
        await guard("127.0.0.1").check("http://127.0.0.2/a.png")


async def test_private_addresses_can_be_allowed_but_other_schemes_cannot() -> None:
    assert await guard(allow_private=True).check("http://192.168.0.1/a.png") is None
    with pytest.raises(Blocked):
        await guard(allow_private=True).check("file:///etc/passwd")


async def test_a_name_that_does_not_resolve_is_worth_another_try() -> None:
    with pytest.raises(DownloadFailed, match=r"gone\.test"):
        await guard().check("https://gone.test/a.png?sig=x")


async def test_behind_a_proxy_private_addresses_stay_blocked_and_unknown_names_are_left_to_it() -> None:
    assert await guard().check("https://gone.test/a.png", proxied=True) is None
    assert await guard().check("https://cdn.test/a.png", proxied=True) is None
    for host in ("127.1", "inner.test", "localhost"):
        with pytest.raises(Blocked):
            await guard().check(f"https://{host}/a.png", proxied=True)
