"""An S3 server on this machine, which can be stopped and started again with all that is in it."""

from __future__ import annotations

import logging
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from tests.acceptance.conftest import Cli

SECRET = "sEcReT-of-the-bucket-4f9a1c7e2b"


class Bucket:
    """The bucket `night`, and the server that holds it."""

    def __init__(self) -> None:
        server = pytest.importorskip("moto.server", reason="moto is not installed: pip install '.[s3]'")
        self._make = server.ThreadedMotoServer
        self.port = 0
        self._kept = socket.socket()
        self.start()
        request = urllib.request.Request(f"{self.endpoint}/night", method="PUT")
        urllib.request.urlopen(request).close()

    @property
    def endpoint(self) -> str:
        """What stands in AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """At the port that it had before; what it holds outlives it."""
        self._kept.close()
        self._server = self._make(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def close(self) -> None:
        """Give the port back."""
        self._kept.close()

    def paths(self) -> list[str]:
        """Everything that is in the bucket."""
        return [found["path"] for page in obstore.list(self._opened()) for found in page]

    def content(self, path: str) -> bytes:
        """One object."""
        return bytes(obstore.get(self._opened(), path).bytes())

    def _opened(self) -> S3Store:
        return S3Store(
            "night",
            endpoint=self.endpoint,
            access_key_id="AKIATEST",
            secret_access_key=SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def stop(self) -> None:
        """Answer nobody any more, and keep the port from others."""
        self._server.stop()
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before linger
        self._kept.bind(("127.0.0.1", self.port))


@pytest.fixture
def bucket(cli: Cli) -> Iterator[Bucket]:
    """A server with an empty bucket `night`; the command line has its credentials."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    opened = Bucket()
    cli.env.update(
        AWS_ACCESS_KEY_ID="AKIATEST",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=opened.endpoint,
    )
    urllib.request.urlopen(
        urllib.request.Request(f"{opened.endpoint}/moto-api/reset", method="POST")
    ).close()
    urllib.request.urlopen(urllib.request.Request(f"{opened.endpoint}/night", method="PUT")).close()
    yield opened
    opened.stop()
    opened.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What moto and flask warn of is theirs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
