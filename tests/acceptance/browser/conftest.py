"""Fixtures: a browser, and a window of it at the width of a desk and of a phone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.browser.chromium import Window, browser, window
from tests.integration.finished import Made, finished

WIDTHS = ((1280, 900), (390, 844))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:  # Any: playwright is not there when types are checked
    """A browser; without one the test is skipped."""
    try:
        with browser() as opened:
            yield opened
    except LookupError as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=WIDTHS, ids=lambda size: f"{size[0]} px")
def seen(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Window]:  # Any: as above
    """A window."""
    with window(chromium, *request.param) as opened:
        yield opened


def made(workspace: Path, *jobs: Made) -> None:
    """A finished workspace, made in a thread of its own: playwright has a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(finished, workspace, *jobs).result()
