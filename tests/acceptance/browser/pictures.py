"""Makes the two pictures of the README from the demo: `python -m tests.acceptance.browser.pictures`.

Everything in them is what the demo's run, the live page and the report really show. The demo is slowed down, two
requests at a time, so that there is something to look at while it runs.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from PIL import Image

from tests.acceptance.browser.chromium import Window, browser, window
from tests.acceptance.conftest import ROOT, Cli, command_line
from tests.acceptance.test_serve import served

FOLDER: Final = Path(__file__).with_name("pictures")
DASHBOARD, REPORT = FOLDER / "dashboard.png", FOLDER / "report.png"
DEMO: Final = ("run", str(ROOT / "jobs/demo.yaml"), "--concurrency", "2", "--quiet")
FLAT: Final = 48
"""Colours of the page that are kept as they are."""


def make(folder: Path, live: Cli, ended: Cli, enough: int = 17) -> None:
    """Run the demo in the folders of two command lines, and keep both pictures in `folder`.

    `enough`: of its twenty jobs, so many are done when the live page is taken. Raises `LookupError` without a browser.
    """
    for one in (folder, live.folder, ended.folder):
        one.mkdir(exist_ok=True)
    with browser() as opened:
        run = live.start(*DEMO)
        _halt(run, lambda: _done(live) > 0)
        with served(live, "out/demo") as place, window(opened, 960, 980) as seen:
            seen.page.goto(place.address)
            seen.page.wait_for_selector("#badge.going")
            run.send_signal(signal.SIGCONT)
            _halt(run, lambda: _done(live) >= enough)
            done = _done(live)
            seen.page.locator("#done", has_text=re.compile(f"^{done}of")).wait_for()
            seen.page.locator("#rate", has_text=re.compile("[1-9]")).wait_for()
            seen.page.locator(".card img").nth(done - 1).wait_for()
            _keep(seen, folder / DASHBOARD.name)
        run.kill()
        # Another run for the report: that one was stopped by hand, and its times tell of it.
        ended.run(*DEMO, code=1)
        ended.run("report", "out/demo", code=0)
        with window(opened, 960, 1480) as seen:
            seen.page.goto((ended.folder / "out/demo/report.html").as_uri() + "#time")
            _keep(seen, folder / REPORT.name)


def _halt(run: subprocess.Popen[str], then: Callable[[], bool]) -> None:
    """Stop the process, so that nothing moves while it is looked at, as soon as that is so."""
    while not then():
        if run.poll() is not None:
            raise RuntimeError(f"the demo ended too early: {run.stderr and run.stderr.read()}")
        time.sleep(0.01)
    run.send_signal(signal.SIGSTOP)


def _done(cli: Cli) -> int:
    with suppress(sqlite3.OperationalError):  # the ledger is being made
        return int(cli.ask("out/demo", "SELECT n FROM tally WHERE subject = 'job' AND state = 'done'")[0][0])
    return 0


def _keep(seen: Window, path: Path) -> None:
    """Check the page, take its picture, and make the file small."""
    seen.check()
    seen.keep(path)
    with Image.open(path) as opened:
        whole = opened.convert("RGB")
    whole.quantize(palette=_palette(whole), dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def _palette(whole: Image.Image) -> Image.Image:
    """256 colours: the page's own as they are, since its areas are flat, and what is nearest to the pictures'."""
    found = sorted(whole.getcolors(whole.width * whole.height) or (), reverse=True)
    colours = [bytes(colour) for _, colour in found if isinstance(colour, tuple)]
    flat, others = b"".join(colours[:FLAT]), b"".join(colours[FLAT:]) or bytes(3)
    rest = Image.frombytes("RGB", (len(others) // 3, 1), others)
    palette = Image.new("P", (1, 1))
    palette.putpalette(list(flat) + (rest.quantize(256 - FLAT).getpalette() or []))
    return palette


def main() -> None:
    """Both, where the README looks for them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        command_line(Path(folder) / "live") as live,
        command_line(Path(folder) / "ended") as ended,
    ):
        make(FOLDER, live, ended)


if __name__ == "__main__":
    main()
