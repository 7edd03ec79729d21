"""How the live page and the report look: empty, running, failed and large, at a desk and on a phone, by day and night.

A program can't say whether it is beautiful: with BATCHGEN_SCREENS=FOLDER the pictures are kept there for eyes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import BadRequest, Interrupted, Refused
from batchgen.model import JobState
from tests.acceptance.browser.chromium import Window, window
from tests.acceptance.browser.conftest import WIDTHS, made
from tests.acceptance.conftest import Cli, Simulated, until
from tests.acceptance.test_serve import EVIL, served
from tests.bench.gallery import fill
from tests.integration.finished import Made

MANY = 5000


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = Path(os.environ.get("BATCHGEN_SCREENS") or tmp_path / "screens").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def windows(chromium: Any, schemes: Sequence[str] = ("light", "dark")) -> Iterator[tuple[Window, str]]:  # Any: no types
    """Windows of every width, and what to call a picture of each; what they complain about fails the test."""
    for width, height in WIDTHS:
        for scheme in schemes:
            with window(chromium, width, height, scheme) as opened:
                yield opened, f"{width}-{scheme}.png"
                opened.check()


def test_an_empty_workspace_says_what_will_be_there(chromium: Any, cli: Cli, screens: Path) -> None:
    made(cli.folder / "nothing")
    with served(cli, "nothing") as place:
        for one, name in windows(chromium):
            one.page.goto(place.address)
            one.page.locator("#none", has_text="No job yet").wait_for()
            one.page.locator("#filters").wait_for(state="hidden")
            one.keep(screens / f"empty-{name}")


def test_a_running_workspace_shows_what_is_there_and_what_each_provider_does(
    chromium: Any, cli: Cli, provider: Simulated, screens: Path
) -> None:
    with provider("--fault", "rate_limit_header=20%", latency="400ms") as one:
        jobs = "\n".join(
            f"  - {{id: fox-{number:02}, prompt: 'A red fox, take {number}', provider: {name}, ratio: '{ratio}'}}"
            for number, (name, ratio) in enumerate([("apiyi", "1:1"), ("tu-zi", "3:2"), ("openai", "2:3")] * 30)
        )
        head = f"{one.section('apiyi', 'tu-zi', 'openai')}defaults: {{model: gpt-image-1}}\n"
        # The last job keeps the run going for as long as somebody looks.
        stalled = "  - {id: last, prompt: 'simulate:stall', provider: apiyi}"
        cli.write("foxes.yaml", f"{head}jobs:\n{jobs}\n{stalled}\n")
        run = cli.start("run", "foxes.yaml", "--quiet", "--concurrency", "3")
        until(lambda: cli.runs("out/foxes") == 1, run)
        with served(cli, "out/foxes") as place:
            for seen, name in windows(chromium):
                seen.page.goto(place.address)
                seen.page.wait_for_selector("#badge.going")
                seen.page.locator(".card img").nth(5).wait_for()
                seen.page.locator("#providers li").nth(2).wait_for()
                seen.page.locator("#pause").wait_for()
                seen.keep(screens / f"running-{name}")
        run.kill()


def test_a_failed_workspace_says_of_each_job_why(chromium: Any, cli: Cli, screens: Path) -> None:
    made(
        cli.folder / "failed",
        Made(id="cat", prompt="A cat asleep on a warm router", size=(96, 96), colours=("#c98b3a", "#3f8f6b")),
        Made(id="script", prompt=EVIL, size=(160, 90), ratio="16:9", colours=("#4a7fc1",)),
        Made(id="no", prompt="Something rude", error=Refused("Your request was rejected."), state=JobState.REFUSED),
        Made(id="huge", error=BadRequest("size 9000x9000 is not supported " * 9), state=JobState.FAILED, ratio="16:9"),
        Made(id="cut", error=Interrupted("the connection was cut"), state=JobState.HELD, ratio="2:3"),
        Made(id="a-name-without-any-place-to-break-" + "x" * 90, prompt="y" * 300, state=JobState.PENDING),
    )
    with served(cli, "failed") as place:
        for one, name in windows(chromium):
            one.page.goto(place.address)
            one.page.locator(".card").nth(5).wait_for()
            for words in ("rejected", "not supported", "cut"):
                one.page.locator(".card .why", has_text=words).wait_for()
            one.page.locator("#retry").wait_for()  # comes with the news, not with the cards
            one.keep(screens / f"failed-{name}")
            one.page.goto(f"{place.address}job/huge")
            one.page.locator(".reason").wait_for()
            one.keep(screens / f"job-{name}")


@pytest.mark.timeout(900)  # 5,000 jobs are made first, and pictures shrunk as they are looked at
def test_five_thousand_pictures_are_there_to_be_scrolled_and_reported(chromium: Any, cli: Cli, screens: Path) -> None:
    with ThreadPoolExecutor(1) as thread:  # playwright has a loop in this one
        thread.submit(fill, cli.folder / "night", MANY, 360).result()
    with served(cli, "night") as place:
        for one, name in windows(chromium, ["light"]):
            one.page.goto(place.address)
            one.page.locator(".card img").nth(20).wait_for()
            one.keep(screens / f"many-{name}")
            for _ in range(2):
                before = one.page.locator(".card").count()
                one.page.locator("#more").scroll_into_view_if_needed()
                one.page.locator(".card").nth(before).wait_for(state="attached")
            one.page.locator(".card").nth(120).scroll_into_view_if_needed()
    cli.run("report", "night", "--group-by", "model,ratio", code=0)
    for one, name in windows(chromium):
        one.page.goto((cli.folder / "night/report.html").as_uri())
        assert one.page.locator(".chart svg").count() == 4
        assert one.page.locator("table.grid").count() == 1
        for part in ("summary", "time", "left", "pictures"):
            one.page.locator(f"#{part}").evaluate("(one) => one.scrollIntoView()")
            one.page.locator(f"#{part} >> :is(h1, h2)").wait_for()
            one.keep(screens / f"report-{part}-{name}")


def test_the_report_of_a_hostile_batch_stays_text(chromium: Any, cli: Cli, screens: Path) -> None:
    made(cli.folder / "hostile", Made(id="a", prompt=EVIL, model=EVIL), Made(id=EVIL, meta={"style": EVIL}))
    cli.run("report", "hostile", "--group-by", "meta.style", code=0)
    for one, name in windows(chromium):
        one.page.goto((cli.folder / "hostile/report.html").as_uri())
        assert one.page.locator("script").count() == 0
        one.page.locator("figcaption b", has_text=EVIL).wait_for()
        assert one.page.locator(".sheet img").first.get_attribute("alt") == EVIL
        one.keep(screens / f"hostile-{name}")
