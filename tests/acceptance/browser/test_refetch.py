"""The page of a job under somebody's hands: it tells what happened, fetches again, and shows parent and children."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import BadImage
from tests.acceptance.browser.chromium import Window, window
from tests.acceptance.browser.conftest import WIDTHS
from tests.acceptance.browser.test_page import visited
from tests.acceptance.conftest import QUICK, Cli

HEAD = "provider: p\nproviders: {p: {extends: tu-zi, base_url: simulator, %s}}\ndefaults: {model: gpt-image-1}\n"
BROKEN = "simulate: {latency: 0.05, image_side: 64, faults: {not_image: 100%}}"


def broken(cli: Cli) -> str:
    """A batch of one picture that came and is none."""
    cli.write("bad.yaml", f"{HEAD % BROKEN}jobs: [{{id: cat, prompt: a cat}}]\n")
    cli.run("run", "bad.yaml", "--quiet", code=1)
    return "out/bad"


def test_fetch_again_is_pressed_with_a_key_and_the_page_shows_what_came_of_it(seen: Window, cli: Cli) -> None:
    workspace = broken(cli)
    with visited(seen, cli, workspace, "job/cat") as page:
        assert "sends no request that is paid" in page.inner_text("#fetch-words")
        page.focus("button[data-order=fetch]")
        page.keyboard.press("Enter")
        page.locator("#state", has_text="generated").wait_for()
        page.locator("#said", has_text="now generated").wait_for()
        assert page.evaluate("document.activeElement.id") == "main", "the focus is not lost with the button"
    assert cli.json("status", workspace)["attempts"] == 1


def test_the_first_page_offers_to_fetch_again_what_is_lost(seen: Window, cli: Cli) -> None:
    workspace = broken(cli)
    with visited(seen, cli, workspace) as page:
        page.click("#fetch")
        page.locator("#said", has_text="1 image is fetched again by the next run").wait_for()
        page.wait_for_selector("#fetch", state="hidden")


def test_a_paid_retry_of_all_asks_first(seen: Window, cli: Cli) -> None:
    workspace = broken(cli)
    asked: list[str] = []

    def answer(dialog: Any) -> None:  # Any: playwright has no types here
        asked.append(dialog.message)
        if len(asked) == 1:
            dialog.dismiss()
        else:
            dialog.accept()

    with visited(seen, cli, workspace) as page:
        page.on("dialog", answer)
        page.click("#retry")
        page.click("#retry")
        page.locator("#said", has_text="1 put back").wait_for()
    assert len(asked) == 2
    assert all("1 job is taken up again" in one and "paid" in one for one in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_job_stands_between_its_parent_and_its_children(
    chromium: Any, cli: Cli, tmp_path: Path, scheme: str
) -> None:  # Any: playwright is not there when types are checked
    chain = "jobs: [{id: a, prompt: a cat}, {id: b, prompt: a hat, after: a}, {id: c, prompt: at night, after: b}]\n"
    cli.write("chain.yaml", f"{HEAD % QUICK}{chain}")
    cli.run("run", "chain.yaml", "--quiet", code=0)
    for size in WIDTHS:
        with window(chromium, *size, scheme) as one, visited(one, cli, "out/chain", "job/b") as page:
            assert page.inner_text("[aria-label=parent] h2") == "Edits a"
            assert page.locator("[aria-label=parent] img").count() >= 1
            assert page.inner_text("[aria-label=children] b") == "c"
            assert page.locator("[aria-label=children] img").count() == 1
            assert "attempt 1 begins at p" in page.inner_text(".log")
            page.focus("[aria-label=children] a")
            page.keyboard.press("Enter")
            page.wait_for_url("**/job/c")


def test_the_error_of_a_bad_picture_is_told_in_words(seen: Window, cli: Cli) -> None:
    workspace = broken(cli)
    with visited(seen, cli, workspace, "job/cat") as page:
        told = page.inner_text(".log")
        assert BadImage.kind in told
        assert "came and is no image that can be used" in told
