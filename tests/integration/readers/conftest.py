"""What holds for every reader: no network, caches of their own, and their warnings are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """These libraries read their environment when they are imported, which the first test does."""
    cache = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as world:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            world.setenv(name, "1")
        world.setenv("HF_HOME", str(cache))
        world.setenv("CROISSANT_CACHE", str(cache / "croissant"))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let these libraries warn."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
