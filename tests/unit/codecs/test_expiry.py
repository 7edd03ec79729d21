"""Signed links of every scheme, and when each of them dies."""

from __future__ import annotations

import base64
import json
from datetime import datetime

import pytest

from batchgen.expiry import expires_at

GOT, TTL = 1_700_000_000.0, 600.0
EPOCH = 1_760_000_000


def _policy(end: int) -> str:
    text = json.dumps({"Statement": [{"Condition": {"DateLessThan": {"AWS:EpochTime": end}}}]})
    return base64.b64encode(text.encode()).decode().replace("+", "-").replace("=", "_").replace("/", "~")


@pytest.mark.parametrize(
    ("query", "end"),
    [
        # Azure: the seeds' own values; the key behind the signature may end first.
        (
            "st=2025-04-03T01%3A55%3A56Z&se=2025-04-09T02%3A55%3A56Z&ske=2025-04-09T02%3A55%3A56Z",
            "2025-04-09T02:55:56Z",
        ),
        ("se=2025-12-25T09%3A19%3A35Z&sp=r&ske=2025-12-26T02%3A26%3A13Z&sig=a%2Bb%3D", "2025-12-25T09:19:35Z"),
        ("se=2025-12-25T09%3A19%3A35Z&ske=2025-12-24T02%3A26%3A13Z", "2025-12-24T02:26:13Z"),
        ("SE=2025-12-25T09:19:35Z", "2025-12-25T09:19:35Z"),
        ("se=2025-12-25", "2025-12-25T00:00:00Z"),
        ("se=2025-12-25T09:19:35%2B08:00", "2025-12-25T01:19:35Z"),
        ("se=2025-12-25T09:19:35+08:00", "2025-12-25T01:19:35Z"),
        # a date and a span
        ("X-Amz-Date=20250910T021630Z&X-Amz-Expires=3600", "2025-09-10T03:16:30Z"),
        ("X-Goog-Date=20250910T021630Z&X-Goog-Expires=60", "2025-09-10T02:17:30Z"),
        ("X-Tos-Date=20250910T021630Z&X-Tos-Expires=86400", "2025-09-11T02:16:30Z"),
        ("x-oss-date=20250910T021630Z&x-oss-expires=10", "2025-09-10T02:16:40Z"),
        ("x-amz-expires=3600&x-AMZ-date=20250910T021630Z", "2025-09-10T03:16:30Z"),
        # an epoch
        (f"x-expires={EPOCH}", EPOCH),
        (f"x-tos-expires={EPOCH}", EPOCH),
        (f"OSSAccessKeyId=a&Expires={EPOCH}&Signature=b", EPOCH),
        (f"Expires={EPOCH}&Key-Pair-Id=K", EPOCH),
        (f"AWSAccessKeyId=a&Expires={EPOCH}", EPOCH),
        (f"GoogleAccessId=a&Expires={EPOCH}", EPOCH),
        (f"expires={EPOCH}500", EPOCH + 0.5),
        # spans of time and policies
        (f"q-sign-time={EPOCH - 60};{EPOCH}", EPOCH),
        (f"q-sign-time={EPOCH - 60}%3B{EPOCH}", EPOCH),
        (f"sign=q-sign-time%3D{EPOCH - 60}%3B{EPOCH}%26q-signature%3Dx", EPOCH),
        (f"Policy={_policy(EPOCH)}&Key-Pair-Id=K", EPOCH),
    ],
)
def test_a_signed_link_tells_its_end(query: str, end: str | float) -> None:
    moment = datetime.fromisoformat(end).timestamp() if isinstance(end, str) else end
    assert expires_at(f"https://x.test/a%20b.png?{query}", received=GOT, link_ttl=TTL) == moment


@pytest.mark.parametrize(
    "query",
    [
        "",
        "token=abc",
        "se=later",
        "se=",
        "se=9999-99-99",
        "ske=2025-12-26T02%3A26%3A13Z",
        "Expires=3600",
        "Expires=soon",
        "Expires=-1760000000",
        "Expires=１７６０００００００",
        "Expires=99999999999999999999",
        "X-Amz-Expires=3600",
        "X-Amz-Date=20250910T021630Z",
        "X-Amz-Date=yesterday&X-Amz-Expires=3600",
        "X-Amz-Date=20250910T021630Z&X-Amz-Expires=1e3",
        "q-sign-time=1;2",
        "q-sign-time=;",
        "Policy=%%%",
        "Policy=bm90IGpzb24_",
        "Policy=" + "W10_",
        "%=&&;=",
        "&".join("a=1" for _ in range(500)),
    ],
)
def test_garbage_and_silence_mean_the_profiles_life_time(query: str) -> None:
    assert expires_at(f"https://x.test/a.png?{query}", received=GOT, link_ttl=TTL) == GOT + TTL


@pytest.mark.parametrize("url", ["", "https://[x/?se=2025-12-25", "not a link", "https://x.test/a.png#se=2025-12-25"])
def test_what_is_no_link_has_the_profiles_life_time_too(url: str) -> None:
    assert expires_at(url, received=GOT, link_ttl=TTL) == GOT + TTL


def test_of_two_ends_the_earlier_counts() -> None:
    url = f"https://x.test/a.png?Expires={EPOCH}&x-expires={EPOCH - 5}"
    assert expires_at(url, received=GOT, link_ttl=TTL) == EPOCH - 5
