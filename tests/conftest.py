"""What holds for every test: no packet leaves this machine, and the home folder stays untouched."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test that would send a packet elsewhere, before it is sent."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:  # Any: the standard library's own signature
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = ipaddress.ip_address(address[0])
            if not host.is_loopback:
                pytest.fail(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A home folder that is nobody's."""
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """Keep every test out of the user's home folder."""
    monkeypatch.setenv("HOME", home)
