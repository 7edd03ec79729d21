"""Signed links as the object stores behind the providers write them, and the check that they came unaltered.

Pure: the time is an argument. A query is a template whose signature is computed over the rest of the
link, byte for byte as written; so a client that re-encodes or reorders it is found out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote

_SECRET = b"batchgen simulator"
"""No secret at all: it has to be the same after a restart, so that links outlive a kill -9."""

DAY = 86400.0


class Scheme(StrEnum):
    """Who signs the link, and so which parameters it has."""

    PLAIN = "plain"
    AZURE = "azure"
    AMAZON = "amazon"
    VOLCENGINE = "volcengine"
    ALIYUN = "aliyun"


def _iso(when: float) -> str:
    return quote(datetime.fromtimestamp(int(when), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), safe="")


def _compact(when: float) -> str:
    return datetime.fromtimestamp(int(when), UTC).strftime("%Y%m%dT%H%M%SZ")


def _azure(start: float, life: float) -> str:
    return (
        f"st={_iso(start)}&se={_iso(start + life)}&sks=b&skt={_iso(start)}&ske={_iso(start + life)}"
        "&sktid=a48cca56-e6da-484e-a814-9c849652bcb3&skoid=aa5ddad1-c91a-4f0a-9aca-e20682cc8969"
        "&skv=2019-02-02&sv=2018-11-09&sr=b&sp=r&spr=https%2Chttp&sig={}&az=oaivgprodscus"
    )


def _amazon(start: float, life: float) -> str:
    day = _compact(start)[:8]
    return (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=5a1c%2F{day}%2Fauto%2Fs3%2Faws4_request"
        f"&X-Amz-Date={_compact(start)}&X-Amz-Expires={int(life)}&X-Amz-SignedHeaders=host&X-Amz-Signature={{}}"
    )


def _volcengine(start: float, life: float) -> str:
    day = _compact(start)[:8]
    return (
        f"X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Credential=AK%2F{day}%2Fcn-beijing%2Ftos%2Frequest"
        f"&X-Tos-Date={_compact(start)}&X-Tos-Expires={int(life)}&X-Tos-Signature={{}}&X-Tos-SignedHeaders=host"
    )


def _aliyun(start: float, life: float) -> str:
    return f"Expires={int(start + life)}&OSSAccessKeyId=LTAI5tSimulated&Signature={{}}"


_TEMPLATES: Mapping[Scheme, Callable[[float, float], str]] = {
    Scheme.AZURE: _azure,
    Scheme.AMAZON: _amazon,
    Scheme.VOLCENGINE: _volcengine,
    Scheme.ALIYUN: _aliyun,
}


def signed(path: str, scheme: Scheme, start: float, life: float) -> str:
    """The raw path with its signed query; a plain link has none. `start` is epoch seconds."""
    if scheme is Scheme.PLAIN:
        return path
    template = _TEMPLATES[scheme](start, life)
    return f"{path}?{template.replace('{}', _signature(path, template.replace('{}', '')))}"


def _signature(path: str, unsigned: str) -> str:
    digest = hmac.digest(_SECRET, f"{path}?{unsigned}".encode(), hashlib.sha256)
    if "X-" in unsigned:
        return digest.hex()
    # Seen in the wild: all escaped, a raw slash, and both raw. Which one follows from the content.
    return quote(base64.b64encode(digest).decode(), safe=("", "/", "/+")[digest[0] % 3])


_SIGNED = re.compile(
    r"(?P<before>(?:^|.*&)(?:sig|X-Amz-Signature|X-Tos-Signature|Signature)=)[^&]*(?P<after>.*)"
)


class Verdict(StrEnum):
    """What the object store thinks of a link."""

    GOOD = "good"
    ALTERED = "altered"
    EXPIRED = "expired"


def judge(path: str, query: str, scheme: Scheme, now: float) -> Verdict:
    """Compare a link as it came, raw, with what was issued; `path` without the query."""
    if scheme is Scheme.PLAIN:
        return Verdict.GOOD
    match = _SIGNED.fullmatch(query)
    if match is None:
        return Verdict.ALTERED
    signature = _signature(path, match["before"] + match["after"])
    if query != f"{match['before']}{signature}{match['after']}":
        return Verdict.ALTERED
    return Verdict.EXPIRED if now >= _deadline(query, scheme) else Verdict.GOOD


def _deadline(query: str, scheme: Scheme) -> float:
    """When the (already authentic) query expires, epoch seconds."""
    fields = dict(pair.split("=", 1) for pair in query.split("&"))
    if scheme is Scheme.AZURE:
        return _epoch(fields["se"].replace("%3A", ""), "%Y-%m-%dT%H%M%SZ")
    if scheme is Scheme.ALIYUN:
        return float(fields["Expires"])
    vendor = "X-Amz" if scheme is Scheme.AMAZON else "X-Tos"
    return _epoch(fields[f"{vendor}-Date"], "%Y%m%dT%H%M%SZ") + float(fields[f"{vendor}-Expires"])


def _epoch(text: str, form: str) -> float:
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()


def denial(scheme: Scheme, verdict: Verdict) -> bytes:
    """The XML body of the 403 that this store answers."""
    expired = verdict is Verdict.EXPIRED
    if scheme in (Scheme.AZURE, Scheme.PLAIN):
        code = "AuthenticationFailed"
        text = "Server failed to authenticate the request. Make sure the signature is formed correctly."
        why = "Signature not valid in the specified time frame" if expired else "Signature did not match"
        detail = f"<AuthenticationErrorDetail>{why}</AuthenticationErrorDetail>"
    else:
        code = "AccessDenied" if expired else "SignatureDoesNotMatch"
        text = "Request has expired" if expired else "The signature we calculated does not match yours."
        detail = ""
    lines = f"<Error><Code>{code}</Code><Message>{text}</Message>{detail}</Error>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{lines}'.encode()
