"""A provider's simulated twin, for a rehearsal: the same dialect, limits and prices, and a night's faults. Pure.

In a rehearsal a minute of the real thing takes a second: twins answer that much sooner, and take that
many more requests a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from zlib import crc32

from batchgen.model import Entry
from batchgen.providers.profile import SIMULATED, Limits, Profile

TYPICAL_SECONDS = 60.0
"""How long one request usually takes at a gateway: between 30 s and the 150 s of apiyi's vip models."""

SPEED = 60.0
"""How much faster than the real thing a rehearsal goes."""

_SIDE = 256


class Night(StrEnum):
    """What kind of night is rehearsed."""

    ORDINARY = "ordinary"
    BAD = "bad"


FAULTS: Mapping[Night, Mapping[str, str]] = {
    # What every night has, and what mends itself: a batch without a mistake ends with every job done.
    Night.ORDINARY: {
        "rate_limit": "2%",
        "saturated": "1%",
        "server_error": "1%",
        "file_503": "1%",
        "file_404_first": "1%",
    },
    # Requests that are cut, some of them billed, refusals and dead links: for seeing the morning after.
    Night.BAD: {
        "rate_limit": "8%",
        "saturated": "8%",
        "server_error": "4%",
        "cloudflare_524": "3%",
        "cut_body": "3%",
        "refusal": "2%",
        "no_image_text": "2%",
        "file_503": "4%",
        "file_truncated": "3%",
        "file_410": "1%",
    },
}
"""Faults of a night by their names in the simulator, and how often they happen."""

STAND_IN = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAK0lEQVR42u3MMREAAAgEoNfkRjeEmwcBqMlNRyAQCAQCgUAgEAgE"
    "AsHzYAFAdAEArKmlZAAAAABJRU5ErkJggg=="
)
"""A grey picture of 64 x 64 pixels."""


def twin(profile: Profile, night: Night) -> Profile:
    """The provider as it is rehearsed. One that is simulated already stays as it is."""
    if profile.base_url == SIMULATED:
        return profile
    limits = profile.limits
    faster = Limits(
        requests_per_minute=_faster(limits.requests_per_minute),
        images_per_minute=_faster(limits.images_per_minute),
        concurrency=limits.concurrency,
    )
    simulate = {
        "latency": TYPICAL_SECONDS / SPEED,
        "image_side": _SIDE,
        "rpm": faster.requests_per_minute,
        "concurrency": limits.concurrency,
        "faults": FAULTS[night],
        # Or all providers would stumble over the same requests.
        "seed": crc32(profile.name.encode()),
    }
    return replace(profile, base_url=SIMULATED, limits=faster, simulate=simulate)


def _faster(rate: float | None) -> float | None:
    return None if rate is None else rate * SPEED


def without_links(entry: Entry) -> Entry:
    """The entry with a grey picture for each reference that is a link, so that nothing is fetched for it."""
    job = entry.like
    sources = (*job.references, *([job.mask] if job.mask else ()))
    if not any(_is_link(source) for source in sources):
        return entry
    references = tuple(STAND_IN if _is_link(source) else source for source in job.references)
    mask = job.mask
    if mask is not None and (_is_link(mask) or _is_link(job.references[0])):
        # It has to be as large as the picture that it is for.
        mask = STAND_IN if _is_link(job.references[0]) else None
    warning = "a grey picture stands for references that are links: a rehearsal fetches nothing"
    like = replace(job, references=references, mask=mask)
    return entry._replace(like=like, warnings=(*entry.warnings, warning))


def _is_link(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))
