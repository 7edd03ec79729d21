"""What a person sees and does: the grid fills while the run goes, a filter narrows, buttons work, prompts stay text."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from batchgen.ledger.rows import STORE_DOWN
from tests.acceptance.browser.chromium import Window
from tests.acceptance.conftest import Cli, Simulated, numbered, until
from tests.acceptance.test_serve import EVIL, finished, served


@contextmanager
def visited(seen: Window, cli: Cli, workspace: str, path: str = "") -> Iterator[Any]:  # Any: no types here
    """The served workspace in that window, which has nothing to complain about in the end."""
    with served(cli, workspace) as place:
        seen.page.goto(place.address + path)
        yield seen.page
        seen.check()


def _count(page: Any, selector: str, number: int) -> None:
    """Wait until so many are there. By selectors: the page's policy lets nobody evaluate a text."""
    page.locator(selector).nth(number - 1).wait_for(state="attached")
    page.wait_for_selector(f":nth-match({selector}, {number + 1})", state="detached")


def test_the_grid_fills_while_the_run_goes(seen: Window, cli: Cli, provider: Simulated) -> None:
    with provider(latency="400ms") as one:
        jobs = "\n".join(f"  - {{id: {name}, prompt: picture {name}}}" for name in numbered(12))
        head = f"{one.section('apiyi')}\nprovider: apiyi\ndefaults: {{model: gpt-image-1}}\n"
        # The last job keeps the run going for as long as somebody looks.
        cli.write("many.yaml", f"{head}jobs:\n{jobs}\n  - {{id: last, prompt: 'simulate:stall'}}\n")
        run = cli.start("run", "many.yaml", "--quiet", "--concurrency", "2")
        until(lambda: cli.runs("out/many") == 1, run)
        with visited(seen, cli, "out/many") as page:
            page.wait_for_selector("#badge.going")
            _count(page, ".card img", 12)
            page.locator("#done", has_text=re.compile("^12of")).wait_for()
            run.kill()
            run.wait()
            page.locator("#badge", has_text="no run is going on").wait_for()


def test_a_filter_narrows_and_a_hostile_prompt_stays_text(seen: Window, cli: Cli) -> None:
    with visited(seen, cli, finished(cli)) as page:
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


def test_a_retry_puts_a_job_back(seen: Window, cli: Cli) -> None:
    workspace = finished(cli)
    with visited(seen, cli, workspace, "job/bad") as page:
        page.click("button[data-order=retry]")
        for told in ("1 put back: the next run takes them up", "now pending"):
            page.locator("#said span", has_text=told).wait_for()
        assert cli.states(workspace) == {"done": 2, "pending": 1}


def test_a_store_that_takes_no_images_is_shown_beside_the_providers_until_it_does(seen: Window, cli: Cli) -> None:
    workspace = finished(cli)
    reason = "s3://night/first: 127.0.0.1:9 can't be reached"
    with visited(seen, cli, workspace) as page:
        _note(cli, workspace, reason)
        item = page.locator("#providers li.waits", has_text="image store")
        item.wait_for()
        told = f"{reason}; 0 images not there yet, those that came wait in {workspace}"
        assert item.locator(".wait").inner_text() == told
        _note(cli, workspace, "")
        item.wait_for(state="detached")


def _note(cli: Cli, workspace: str, reason: str) -> None:
    """What a run notes of a store."""
    with closing(sqlite3.connect(cli.folder / workspace / "ledger.db")) as db, db:
        db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (STORE_DOWN, reason))


def test_what_ends_between_the_grid_and_the_first_news_is_shown_too(seen: Window, cli: Cli) -> None:
    workspace = finished(cli)
    cli.run("retry", workspace, "--state", "refused", code=0)
    held: list[Any] = []
    with served(cli, workspace) as place:
        seen.page.route("**/news", lambda route: held.append(route))
        seen.page.goto(place.address)
        seen.page.locator(".shot.pending").wait_for()
        while not held:
            seen.page.evaluate("0")  # the driver tells of requests while it is asked something
        place.order(what="cancel", id="bad")
        until(lambda: b'{state="cancelled"} 1' in place.get("metrics")[1])  # what was looked up counts for a moment
        held[0].continue_()
        seen.page.locator(".shot.cancelled").wait_for()
        seen.check()


def test_the_keyboard_reaches_the_filters_and_the_jobs(seen: Window, cli: Cli) -> None:
    with visited(seen, cli, finished(cli)) as page:
        _count(page, ".card", 3)
        reached = set()
        for _ in range(14):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("(document.activeElement.name || document.activeElement.className)"))
        assert {"skip", "state", "words", "card"} <= reached
