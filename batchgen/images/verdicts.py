"""What a host's answer to a download means: the file, a part of it, a dead link, or try later. Pure.

The status comes first, but object stores say in XML that a signature has run out, and not all of
them with a 403.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from batchgen.errors import DownloadFailed, JobError, LinkDead, NotThereYet
from batchgen.transport import Head

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# 408 and 425 ask for a repetition themselves.
_LATER: Final = frozenset({408, 425, 429})
_XML_CODE: Final = re.compile(rb"<Code>\s*([A-Za-z0-9.]{1,60})\s*</Code>")
# Azure; S3, R2, OSS and TOS; S3 with a session token; OSS.
_RUN_OUT: Final = frozenset({"AuthenticationFailed", "AccessDenied", "ExpiredToken", "RequestExpired"})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def refusal(head: Head, body: bytes, now: float) -> JobError:
    """The leaf for an answer that brings no image; `body` is its beginning, `now` epoch seconds."""
    code = xml_code(body)
    words = f"HTTP {head.status}" + (f" {code}" if code else "")
    if expired(body):
        return LinkDead(f"the link is dead: {words}", code=code, status=head.status)
    if head.status == 404:
        return NotThereYet(f"the file is not there (yet): {words}", code=code, status=404)
    if head.status in _LATER or not 400 <= head.status < 500:
        wait = _retry_after(head.headers, now)
        return DownloadFailed(
            f"the file's host answered {words}", code=code, status=head.status, retry_after=wait
        )
    return LinkDead(f"the link is dead: {words}", code=code, status=head.status)


def xml_code(body: bytes) -> str | None:
    """The `<Code>` of an object store's error document."""
    found = _XML_CODE.search(body)
    return found[1].decode("ascii") if found else None


def expired(body: bytes) -> bool:
    """Whether an object store says that the link's signature has run out."""
    return xml_code(body) in _RUN_OUT or b"Request has expired" in body


def whole_size(head: Head) -> int | None:
    """How many bytes the file has by the headers of a 200 or 206; None where they don't say."""
    if not _plain(head):
        return None  # Content-Length counts the compressed bytes
    found = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
    if head.status == 206 and found:
        return int(found[3]) if found[3] != "*" else int(found[2]) + 1
    length = head.headers.get("content-length", "")
    return int(length) if head.status == 200 and length.isascii() and length.isdigit() else None


def continues(head: Head, size: int) -> bool:
    """Whether a 206 brings what follows after the first `size` bytes."""
    found = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
    return head.status == 206 and _plain(head) and found is not None and int(found[1]) == size


def validator(head: Head) -> str | None:
    """What to say in If-Range so that parts of two different files never meet; None: don't resume."""
    if not _plain(head) or head.headers.get("accept-ranges", "").lower() == "none":
        return None
    etag = head.headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    # A weak ETag promises the same picture, not the same bytes.
    return head.headers.get("last-modified")


def _plain(head: Head) -> bool:
    return head.headers.get("content-encoding", "identity").lower() in ("", "identity")


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, told as a number or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
