"""What a person sees and does: the grid fills while the run goes, a filter narrows, buttons work, prompts stay text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import Cli, Simulated, numbered
from tests.acceptance.test_serve import EVIL, finished, served

WIDTHS = ((1280, 900), (390, 844))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:  # Any: playwright is not there when types are checked
    """A browser."""
    reason = "needs playwright (pip install '.[browser]') and the chromium of the system"
    driver = pytest.importorskip("playwright.sync_api", reason=reason)
    if (path := shutil.which("chromium")) is None:
        pytest.skip(reason)
    with driver.sync_playwright() as playwright:
        # Everything is on loopback, and root has no sandbox.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS, ids=lambda size: f"{size[0]} px")
def page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:  # Any: as above
    """A window; every complaint of the page fails the test, a breach of its policy included."""
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height})
    window = context.new_page()
    complaints: list[str] = []
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    yield window
    assert complaints == []
    assert window.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than its window"
    context.close()


def _count(page: Any, selector: str, number: int) -> None:
    """Wait until so many are there. By selectors: the page's policy lets nobody evaluate a text."""
    page.locator(selector).nth(number - 1).wait_for(state="attached")
    page.wait_for_selector(f":nth-match({selector}, {number + 1})", state="detached")


def test_the_grid_fills_while_the_run_goes(page: Any, cli: Cli, provider: Simulated) -> None:
    with provider(latency="400ms") as one:
        jobs = "\n".join(f"  - {{id: {name}, prompt: picture {name}}}" for name in numbered(12))
        head = f"{one.section('apiyi')}\nprovider: apiyi\ndefaults: {{model: gpt-image-1}}\n"
        cli.write("many.yaml", f"{head}jobs:\n{jobs}\n")
        run = cli.start("run", "many.yaml", "--quiet", "--concurrency", "2")
        while not (cli.folder / "out/many/ledger.db").exists():
            assert run.poll() is None
        with served(cli, "out/many") as place:
            page.goto(place.address)
            page.wait_for_selector("#badge.going")
            page.locator(".card img").nth(2).wait_for()
            _count(page, ".card img", 12)
            page.locator("#done", has_text=re.compile("^12of")).wait_for()
            cli.end(run, 0)


def test_a_filter_narrows_and_a_hostile_prompt_stays_text(page: Any, cli: Cli) -> None:
    with served(cli, finished(cli)) as place:
        page.goto(place.address)
        _count(page, ".card", 3)
        page.select_option("select[name=state]", "refused")
        _count(page, ".card", 1)
        assert page.inner_text(".card b") == "bad"
        page.select_option("select[name=state]", "")
        _count(page, ".card", 3)
        page.fill("input[name=words]", "script")
        _count(page, ".card", 1)
        assert page.inner_text(".card .line >> nth=0") == EVIL
        page.click(".card")
        page.wait_for_selector(".prompt")
        assert page.inner_text(".prompt") == EVIL
        assert page.evaluate("document.querySelectorAll('script').length") == 1


def test_a_retry_puts_a_job_back(page: Any, cli: Cli) -> None:
    workspace = finished(cli)
    with served(cli, workspace) as place:
        page.goto(f"{place.address}job/bad")
        page.click("button[data-order=retry]")
        page.wait_for_selector("#said:not([hidden])")
        assert page.inner_text("#said") == "1 put back: the next run takes them up"
        assert cli.states(workspace) == {"done": 2, "pending": 1}


def test_the_keyboard_reaches_the_filters_and_the_jobs(page: Any, cli: Cli) -> None:
    with served(cli, finished(cli)) as place:
        page.goto(place.address)
        _count(page, ".card", 3)
        seen = set()
        for _ in range(14):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("(document.activeElement.name || document.activeElement.className)"))
        assert {"skip", "state", "words", "card"} <= seen
