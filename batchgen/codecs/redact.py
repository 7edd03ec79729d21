"""Takes keys out of any text before it reaches a log line, an error message or the ledger.

Gateways quote whole keys, or parts of them in brackets, in their own error texts. Never raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_SECRETS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # First what a text must hold, in lower case, to be worth searching: most replies hold none of it.
    # `[sk-abc***xyz]` and `Incorrect API key provided: abc***xyz`: parts of a key are still a hint.
    ("**", re.compile(r"\[(?:sk-)?[\w-]{0,64}\*{2,}[\w*-]{0,64}\]"), "[key]"),
    ("***", re.compile(r"(?<![\w*-])[\w-]{1,64}\*{3,}[\w*-]{0,64}"), "[key]"),
    ("bearer", re.compile(r"(?i)\b(bearer)\s+(?!\[key\])[\w.~+/=-]{6,}"), r"\1 [key]"),
    ("k-", re.compile(r"(?<![\w/.%-])(?:sk|pk|rk)-[\w-]{6,}"), "[key]"),
    ("aiza", re.compile(r"(?<![\w/.%-])AIza[\w-]{20,}"), "[key]"),
    (
        "key",
        re.compile(r"""(?i)\b((?:x-)?api[-_ ]?key["']?\s*[:=]\s*["']?)(?!\[key\])[\w.~+/=-]{8,}"""),
        r"\1[key]",
    ),
)


_LONG = 8
"""Characters from which a key can't be a piece of anything else."""


def without_keys(text: str, keys: Collection[str]) -> str:
    """The text with these keys taken out. A short one, such as `x` for a gateway of one's own, only as a whole word."""
    for key in sorted(keys, key=len, reverse=True):
        # Gateways take keys with and without `sk-`, and quote them either way.
        for form in (key, key.removeprefix("sk-")):
            if len(form) >= _LONG:
                text = text.replace(form, "[key]")
        if 0 < len(key) < _LONG and key in text:
            text = re.sub(rf"(?<![\w-]){re.escape(key)}(?![\w-])", "[key]", text)
    return text


def redact(text: str) -> str:
    """The text with everything that looks like a key, whole or in part, replaced by `[key]`."""
    lowered = text.lower()
    for needle, pattern, mark in _SECRETS:
        if needle in lowered:
            text = pattern.sub(mark, text)
    return text
