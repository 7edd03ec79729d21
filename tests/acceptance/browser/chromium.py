"""The system's chromium, driven by playwright: a window that remembers whatever went wrong in it.

Nothing here is imported by the product, and the browser never gets further than this machine.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_FAINT: Final = Path(__file__).with_name("faint.js").read_text(encoding="utf-8")
_PATIENCE: Final = 150.0
"""Seconds that whatever is waited for has to come."""
_TWO_FRAMES: Final = "new Promise((end) => requestAnimationFrame(() => requestAnimationFrame(end)))"
_SEEN: Final = """[...document.images].filter((one) => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom > 0 && top < innerHeight && one.checkVisibility({ contentVisibilityAuto: true });
})"""


def require() -> str:
    """Where chromium is. Raises `LookupError`, in words for a user, where it or its driver is missing."""
    path = shutil.which("chromium")
    if path is None or find_spec("playwright") is None:
        raise LookupError("needs playwright (pip install '.[browser]') and the chromium of the system")
    return path


@contextmanager
def browser() -> Iterator[Any]:  # Any: playwright is not there when types are checked
    """A browser without a screen. Raises `LookupError` where there is none."""
    path = require()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Everything is on loopback, and root has no sandbox.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Window:
    """A page; `complaints` are its errors, a breach of its policy included, `strangers` the foreign addresses asked."""

    page: Any  # as above
    width: int
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def faint(self) -> list[str]:
        """Texts that are hard to read: too little contrast."""
        found: list[str] = self.page.evaluate(_FAINT)
        return found

    def settled(self) -> list[str]:
        """Wait until every picture that is to be seen has come; returns those that did not come in a long time."""
        end = time.monotonic() + _PATIENCE
        self.page.evaluate(_TWO_FRAMES)  # what was scrolled to is laid out in the first, and asks for its pictures
        while (missing := self._missing()) and time.monotonic() < end:
            self.page.evaluate(_TWO_FRAMES)
        return missing

    def _missing(self) -> list[str]:
        found: list[str] = self.page.evaluate(f"{_SEEN}.filter((one) => !one.naturalWidth).map((one) => one.src)")
        return found

    def check(self) -> None:
        """What holds for every page, always."""
        broken = self.settled()  # looked at once: while a run goes on, the next pictures may be coming already
        problems = {
            "complaints": self.complaints,
            "foreign addresses": self.strangers,
            "broken pictures": broken,
            "too faint": self.faint(),
            "wider than its window": self.page.evaluate("document.documentElement.scrollWidth") > self.width,
        }
        assert not any(problems.values()), problems

    def keep(self, path: Path) -> None:
        """A picture of what is to be seen."""
        self.settled()
        self.page.screenshot(path=path, animations="disabled")

    def heard(self, address: str) -> None:
        """Remember a request that goes anywhere else than to this machine."""
        parts = urlsplit(address)
        if parts.scheme not in ("data", "file") and parts.hostname != "127.0.0.1":
            self.strangers.append(address)


@contextmanager
def window(opened: Any, width: int, height: int, scheme: str = "light") -> Iterator[Window]:  # Any: as above
    """A window of its own, with no memory of others. `scheme`: `light` or `dark`."""
    size = {"width": width, "height": height}
    context = opened.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(_PATIENCE * 1000)
    found = Window(context.new_page(), width)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("console", lambda line: found.complaints.append(line.text) if line.type == "error" else None)
    found.page.on("request", lambda request: found.heard(request.url))
    yield found
    context.close()
