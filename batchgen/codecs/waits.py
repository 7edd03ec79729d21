"""How long a provider asks us to wait, and by which id its support knows the request: from headers.

Gateways send neither as a rule (one-api, new-api); the official API and LiteLLM do. Header names
are lower case here. Garbage counts as nothing said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from batchgen.codecs.phrases import LONGEST_WAIT, duration
from batchgen.events import Allowance

_REQUEST_IDS = (
    "x-oneapi-request-id",
    "x-api-request-id",
    "x-request-id",
    "llm_provider-x-oneapi-request-id",
    "llm_provider-x-request-id",
)
_RESETS = re.compile(r"^(?:llm_provider-)?x-ratelimit-reset(-[\w-]+)?$")
_NUMBER = re.compile(r"\d{1,13}(?:\.\d{1,9})?$")


def request_id(headers: Mapping[str, str]) -> str | None:
    """The first request id among the headers that gateways use for it."""
    return next((value.strip()[:200] for name in _REQUEST_IDS if (value := headers.get(name, "")).strip()), None)


def told_wait(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds of `retry-after-ms`, `retry-after` (seconds or an HTTP date) and LiteLLM's renamed twins."""
    for prefix in ("", "llm_provider-"):
        thousandths = _number(headers.get(f"{prefix}retry-after-ms", ""))
        if thousandths is not None and thousandths / 1000 <= LONGEST_WAIT:
            return thousandths / 1000
        value = headers.get(f"{prefix}retry-after", "").strip()
        seconds = _number(value)
        if seconds is None and value:
            seconds = _until(value, now)
        if seconds is not None and seconds <= LONGEST_WAIT:
            return seconds
    return None


def reset_wait(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds until the `x-ratelimit-reset-*` of the limits that have nothing left; for a 429 only."""
    waits = []
    for name, value in headers.items():
        found = _RESETS.match(name)
        if not found or (_number(headers.get(name.replace("-reset", "-remaining"), "")) or 0) > 0:
            continue
        number = _number(value.strip())
        if number is None:
            seconds = duration(value)
        elif number > 1e9:
            # An epoch, in seconds or milliseconds (OpenRouter).
            seconds = max(0.0, (number / 1000 if number > 1e11 else number) - now)
        else:
            seconds = number
        if seconds is not None and seconds <= LONGEST_WAIT:
            waits.append(seconds)
    return max(waits, default=None)


def allowance(headers: Mapping[str, str], *, now: float) -> Allowance | None:
    """What the `x-ratelimit-*` of a reply leave, by the limit that leaves least; of tokens, only that none is left."""
    told = []
    for name in headers:
        family = _RESETS.match(name)
        left = _number(headers.get(name.replace("-reset", "-remaining"), "")) if family else None
        of_tokens = "token" in name
        if left is None or (left > 0 and of_tokens):
            continue
        if seconds := reset_wait({name: headers[name]}, now=now):
            whole = None if of_tokens else _number(headers.get(name.replace("-reset", "-limit"), ""))
            told.append(Allowance(int(left), seconds, int(whole) if whole else None))
    return min(told, key=lambda one: (one.remaining, -one.reset), default=None)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.match(text.strip()) else None


def _until(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
