"""Takes keys out of any text before it reaches a log line, an error message or the ledger.

Gateways quote whole keys, or parts of them in brackets, in their own error texts. Never raises.
"""

from __future__ import annotations

import re

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # `[sk-abc***xyz]` and `Incorrect API key provided: abc***xyz`: parts of a key are still a hint.
    (re.compile(r"\[(?:sk-)?[\w-]{0,64}\*{2,}[\w*-]{0,64}\]"), "[key]"),
    (re.compile(r"(?<![\w*-])[\w-]{1,64}\*{3,}[\w*-]{0,64}"), "[key]"),
    (re.compile(r"(?i)\b(bearer)\s+(?!\[key\])[\w.~+/=-]{6,}"), r"\1 [key]"),
    (re.compile(r"(?<![\w/.%-])(?:sk|pk|rk)-[\w-]{6,}"), "[key]"),
    (re.compile(r"(?<![\w/.%-])AIza[\w-]{20,}"), "[key]"),
    (
        re.compile(r"""(?i)\b((?:x-)?api[-_ ]?key["']?\s*[:=]\s*["']?)(?!\[key\])[\w.~+/=-]{8,}"""),
        r"\1[key]",
    ),
)


def redact(text: str) -> str:
    """The text with everything that looks like a key, whole or in part, replaced by `[key]`."""
    for pattern, mark in _SECRETS:
        text = pattern.sub(mark, text)
    return text
