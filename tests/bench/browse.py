"""A person at the live page: `python -m tests.bench.browse ADDRESS` looks, scrolls, filters, and prints JSON.

Seconds as the browser counts them: to the first paint of a fresh window, from a filter to its first card.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from tests.acceptance.browser.chromium import browser, window

LOOKS = 7
SCROLLED = 900
"""Cards, each with a small copy that is made then."""
WORDS = ("heron", "take 99,990 of", "what nobody asked for")
"""Of prompts: in many, in one of the last, in none."""

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main(address: str) -> None:
    """Browse and print."""
    paints = []
    with browser() as opened:
        for _ in range(LOOKS):
            with window(opened, 1280, 900) as seen:
                seen.page.goto(address)
                seen.page.locator(".card").first.wait_for()
                paints.append(seen.page.evaluate(_PAINT) / 1000)
        with window(opened, 1280, 900) as seen:
            seen.page.goto(address)
            cards = seen.page.locator(".card")
            while (count := cards.count()) < SCROLLED:
                seen.page.locator("#more").scroll_into_view_if_needed()
                cards.nth(count).wait_for(state="attached")
                seen.settled()
            asked = [_asked(seen.page, address, words) for words in WORDS]
            seen.check()
    print(json.dumps({"paint": statistics.median(paints), "asked": max(asked), "scrolled": count}))


def _asked(page: Any, address: str, words: str) -> float:  # Any: playwright is not there when types are checked
    """Seconds until the page has the answer to a filter on the text of the prompts."""
    script = """async ([at, words]) => {
      const begun = performance.now();
      await (await fetch(at + "jobs?" + new URLSearchParams({ words }))).json();
      return performance.now() - begun;
    }"""
    return float(page.evaluate(script, [address, words])) / 1000


if __name__ == "__main__":
    main(sys.argv[1])
