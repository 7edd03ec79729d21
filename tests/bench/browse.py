"""A person at the live page: `python -m tests.bench.browse ADDRESS` looks, scrolls, filters, and prints JSON.

Seconds to the first paint of a fresh window, as the browser counts them.
"""

from __future__ import annotations

import json
import statistics
import sys

from tests.acceptance.browser.chromium import browser, window

LOOKS = 7
SCROLLED = 900
"""Cards, each with a small copy that is made then."""
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
            seen.page.fill("input[name=words]", "what nobody asked for")
            seen.page.locator("#none").wait_for()
            seen.check()
    print(json.dumps({"paint": statistics.median(paints), "scrolled": count}))


if __name__ == "__main__":
    main(sys.argv[1])
