"""Who may come in: by the name that was asked for, and by the account that holds the other end of the connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from batchgen.web.guard import Door, owner
from batchgen.web.server import listen

HERE = frozenset({"127.0.0.1", "::1", "localhost"})


@pytest.mark.parametrize(
    ("host", "port", "answered"),
    [
        ("127.0.0.1:8765", 8765, True),
        ("LOCALHOST:8765", 8765, True),
        ("[::1]:8765", 8765, True),
        ("localhost", 80, True),
        ("[::1]", 80, True),
        ("localhost", 8765, False),
        ("localhost:80", 8765, False),
        ("evil.example:8765", 8765, False),
        ("localhost.evil.example:8765", 8765, False),
        ("127.0.0.1:8765:8765", 8765, False),
        ("192.168.1.7:8765", 8765, False),
        ("", 8765, False),
    ],
)
def test_only_its_own_names_are_answered(host: str, port: int, answered: bool) -> None:
    assert Door(names=HERE, port=port).is_named(host) is answered


@pytest.mark.parametrize(("host", "answered"), [("192.168.1.7:80", True), ("::1", False), ("evil.example", False)])
def test_where_others_may_look_a_bare_address_is_answered_and_a_foreign_name_is_not(host: str, answered: bool) -> None:
    """A page can give its own name another address, and never another name to an address."""
    assert Door(names=HERE, port=80, addresses=True).is_named(host) is answered


@contextmanager
def connected(host: str) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Both ends of a connection within this machine."""
    with listen(host, 0) as listening, socket.create_connection(listening.getsockname()[:2]) as client:
        yield client.getsockname()[:2], client.getpeername()[:2]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_account_behind_a_connection_is_known_and_a_stranger_is_told_from_it(host: str) -> None:
    try:
        with connected(host) as ends:
            assert owner(*ends) == os.geteuid()
            assert owner(ends[0], (host, 1)) is None
            assert Door(names=HERE, port=1, uid=os.geteuid()).is_for(*ends)
            assert not Door(names=HERE, port=1, uid=os.geteuid()).is_for(ends[0], (host, 1))
            assert Door(names=HERE, port=1).is_for(ends[0], (host, 1)), "others may come in where the user says so"
            if os.geteuid() != 0:
                assert not Door(names=HERE, port=1, uid=os.geteuid() + 1).is_for(*ends)
    except OSError as error:
        pytest.skip(f"{host}: {error}")
