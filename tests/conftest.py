"""What holds for every test: no packet leaves this machine, and the home folder stays untouched, however slow it is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


# How long an example takes is the machine's business; `--hypothesis-profile=ci` says so too.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="session")
def closed_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the test that would send a packet elsewhere, before it is sent; give all a home of their own."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:  # Any: the standard library's own signature
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = ipaddress.ip_address(address[0])
            if not host.is_loopback:
                pytest.fail(f"a test tried to reach {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as world:
        world.setattr(socket.socket, "connect", guarded)
        for name in PROXIES:
            world.delenv(name, raising=False)
        world.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield
