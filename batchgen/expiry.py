"""When a signed link dies, read from the link itself. Pure; the link is never changed.

Knows Azure SAS, AWS SigV4 and its likes (R2, Google, Volcengine, Aliyun), epoch parameters
(`Expires`, `x-expires`), Tencent and CloudFront. Anything else lives as long as the profile says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

_SIGNED_PAIRS = (
    ("x-amz-date", "x-amz-expires"),
    ("x-goog-date", "x-goog-expires"),
    ("x-tos-date", "x-tos-expires"),
    ("x-oss-date", "x-oss-expires"),
)
_EPOCHS = ("expires", "x-expires", "x-tos-expires", "x-oss-expires")


def expires_at(url: str, *, received: float, link_ttl: float) -> float:
    """Epoch seconds at which the link stops working.

    `received` is when the link was received, `link_ttl` how many seconds the provider keeps links that
    say nothing themselves. Where several parameters name an end, the earliest counts: an Azure
    user-delegation key (`ske`) may end before the signature (`se`) does.
    """
    if "?" not in url:
        return received + link_ttl
    try:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return received + link_ttl
    query = {name.lower(): value for name, value in pairs}
    ends = [end for end in (*_azure(query), *_signed(query), *_epochs(query), *_others(query)) if end > 0]
    return min(ends, default=received + link_ttl)


def _azure(query: Mapping[str, str]) -> list[float]:
    # `ske` alone is not a signature's end.
    if _moment(query.get("se", "")) is None:
        return []
    return [end for name in ("se", "ske") if (end := _moment(query.get(name, ""))) is not None]


def _signed(query: Mapping[str, str]) -> list[float]:
    ends = []
    for date, span in _SIGNED_PAIRS:
        start, seconds = _moment(query.get(date, "")), _digits(query.get(span, ""))
        if start is not None and seconds is not None and seconds < 1e9:
            ends.append(start + seconds)
    return ends


def _epochs(query: Mapping[str, str]) -> list[float]:
    return [end for name in _EPOCHS if (end := _epoch(query.get(name, ""))) is not None]


def _others(query: Mapping[str, str]) -> list[float]:
    ends = []
    sign = dict(parse_qsl(query.get("sign", ""), max_num_fields=200)) if "q-sign-time" in query.get("sign", "") else {}
    span = query.get("q-sign-time") or sign.get("q-sign-time", "")
    if ";" in span and (end := _epoch(span.split(";")[1])) is not None:
        ends.append(end)
    if "policy" in query and (end := _cloudfront(query["policy"])) is not None:
        ends.append(end)
    return ends


def _cloudfront(policy: str) -> float | None:
    """The end in a CloudFront custom policy: base64 with `-_~` in place of `+=/`."""
    try:
        text = base64.b64decode(policy.replace("-", "+").replace("_", "=").replace("~", "/"))
        end = json.loads(text)["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return _epoch(str(end))


def _moment(text: str) -> float | None:
    """ISO 8601, extended or basic; without a zone it is UTC. A raw `+` has become a blank in the query."""
    if not text[:4].isdigit() or len(text) < 8:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _digits(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 13 else None


def _epoch(text: str) -> float | None:
    """A pure number above 10^9 is an epoch; 13 digits are milliseconds; the rest is no date."""
    number = _digits(text)
    if number is None or number <= 1e9:
        return None
    if len(text) == 13:
        return number / 1000
    return number if len(text) == 10 else None
