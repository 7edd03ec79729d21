"""What tells the imitated providers apart: doors, error envelopes, headers, and what their images door takes.

Pure. A dialect is a row of the table; `images_plan` says what an images request brings there, or raises
`Unreadable` with the provider's own words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.model import Json
from batchgen.simulator.failures import Failure
from batchgen.simulator.wanted import Unreadable, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One provider's manners. `suffix` follows error messages and takes the request id."""

    error_type: str
    id_header: str = "X-Oneapi-Request-Id"
    suffix: str = " (request id: {})"
    chat: bool = True
    streams: bool = True


_TASK_LOG = Dialect(error_type="new_api_error")

DIALECTS: Mapping[str, Dialect] = {
    "tu-zi": _TASK_LOG,
    "apiyi": Dialect(
        error_type="shell_api_error", id_header="x-request-id", suffix="（traceid: {}）", streams=False
    ),
    "apiqik": _TASK_LOG,
    "modelverse": Dialect(
        error_type="invalid_request_error", id_header="x-request-id", suffix="", chat=False
    ),
    "openai": Dialect(error_type="invalid_request_error", id_header="x-request-id", suffix="", chat=False),
    "openai-chat": Dialect(error_type="one_api_error"),
    "simulator": _TASK_LOG,
}


def envelope(dialect: str, failure: Failure, request_id: str) -> Json:
    """The JSON body of an error as this provider sends it."""
    manners = DIALECTS[dialect]
    error: dict[str, Json] = {
        "message": failure.message + manners.suffix.format(request_id),
        "type": failure.type or manners.error_type,
        "param": request_id if dialect == "modelverse" else failure.param or "",
        "code": failure.code,
    }
    if dialect == "apiyi":
        error["localized_message"] = "Unknown error"
    return {"error": {**error, **(failure.extra or {})}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesPlan:
    """What an images request brings: pictures of this size and format, as links or inline."""

    size: tuple[int, int]
    count: int
    format: str = "png"
    quality: int | None = None
    """of lossy formats, 0 to 100"""
    link: bool = False
    host: str = "dalle"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where the pictures lie; `data`: inline."""
        return (self.host,) if self.link else ("data",)


def images_plan(dialect: str, wanted: Wanted) -> ImagesPlan:
    """Decide what the images door of this dialect makes of a request. Raises Unreadable to refuse it."""
    if dialect == "apiyi":
        return _apiyi(wanted)
    if dialect == "modelverse":
        return _modelverse(wanted)
    if dialect == "openai":
        return _openai(wanted)
    return ImagesPlan(
        size=wanted.size,
        count=_count(wanted, 10),
        format=_format(wanted, ("png", "jpeg", "webp")),
        quality=_compression(wanted),
        link=wanted.fields.get("response_format") == "url",
        host="cdn",
    )


def _apiyi(wanted: Wanted) -> ImagesPlan:
    """One PNG whatever `n` and `output_format` say, off-table sizes moved: its vendor's documents."""
    official = wanted.model.startswith("gpt-image-") and not wanted.model.endswith(("-vip", "-all"))
    asked = wanted.fields.get("response_format")
    if official:
        if asked is not None:
            raise _unknown_parameter("response_format")
        return ImagesPlan(
            size=wanted.size, count=_count(wanted, 10), format=_format(wanted, ("png", "jpeg", "webp"))
        )
    if wanted.fields.get("quality") in ("xhigh", "max"):
        raise Unreadable("quality must be one of auto, low, medium, high", "", "quality", 429)
    if wanted.model.startswith("flux-kontext-dev") and not wanted.references:
        raise Unreadable("image is required")
    if wanted.model.startswith("flux"):
        return ImagesPlan(size=wanted.size, count=1, link=True, host="bfl", format="jpeg")
    # Without a word about it this gateway's default is not stable, so it follows from the prompt here.
    link = asked == "url" or (asked is None and len(wanted.prompt) % 2 == 0)
    return ImagesPlan(size=moved(wanted.size), count=1, link=link, host="r2")


_UPRIGHT = (
    *((1280, 1280), (2048, 2048), (2880, 2880)),
    *((848, 1280), (1360, 2048), (2336, 3520)),
    *((960, 1280), (1536, 2048), (2480, 3312)),
    *((1024, 1280), (1632, 2048), (2560, 3216)),
    *((720, 1280), (1152, 2048), (2160, 3840)),
)
_WIDE_ONLY = ((1280, 544), (2048, 864), (3840, 1632))
_TABLE = frozenset([*_UPRIGHT, *((height, width) for width, height in _UPRIGHT), *_WIDE_ONLY])
"""gpt-image-2-vip at apiyi: its 30 sizes"""


def moved(size: tuple[int, int]) -> tuple[int, int]:
    """An off-table size as apiyi delivers it: up to the floor of 655,360 pixels, in multiples of 16."""
    if size in _TABLE:
        return size
    factor = max(1.0, math.sqrt(655_360 / (size[0] * size[1])))
    width, height = (min(3840, math.ceil(side * factor / 16) * 16) for side in size)
    return width, height


def _modelverse(wanted: Wanted) -> ImagesPlan:
    """Its own document: three sizes, one to four pictures, PNG or JPEG, always inline."""
    _within(wanted, "size", ("1024x1024", "1024x1536", "1536x1024", "auto"))
    _within(wanted, "quality", ("low", "medium", "high", "auto"))
    compression = _compression(wanted)
    return ImagesPlan(
        size=wanted.size,
        count=_count(wanted, 4),
        format=_format(wanted, ("png", "jpeg")),
        # Its document counts the other way round: 100 is the most compression. But 100 is its default too.
        quality=None if compression is None else max(10, 100 - compression),
    )


def _openai(wanted: Wanted) -> ImagesPlan:
    """The official door: GPT image models are always inline and know no response_format."""
    if wanted.model.startswith("dall-e"):
        link = wanted.fields.get("response_format", "url") == "url"
        return ImagesPlan(
            size=wanted.size, count=_count(wanted, 10 if "-2" in wanted.model else 1), link=link
        )
    for name in ("response_format", "style"):
        if name in wanted.fields:
            raise _unknown_parameter(name)
    if wanted.model.startswith("gpt-image-2"):
        width, height = wanted.size
        if width % 16 or height % 16 or not 1 / 3 <= width / height <= 3 or max(wanted.size) > 3840:
            raise _invalid("size", f"{width}x{height}")
    else:
        _within(wanted, "size", ("1024x1024", "1024x1536", "1536x1024", "auto"))
    _within(wanted, "background", ("auto", "transparent", "opaque"))
    return ImagesPlan(
        size=wanted.size,
        count=_count(wanted, 10),
        format=_format(wanted, ("png", "jpeg", "webp")),
        quality=_compression(wanted),
    )


def _count(wanted: Wanted, most: int) -> int:
    if not 1 <= wanted.n <= most:
        raise _invalid("n", str(wanted.n))
    return wanted.n


def _format(wanted: Wanted, known: tuple[str, ...]) -> str:
    _within(wanted, "output_format", known)
    return str(wanted.fields.get("output_format") or "png")


def _compression(wanted: Wanted) -> int | None:
    text = wanted.fields.get("output_compression")
    if text is None:
        return None
    if isinstance(text, bool) or not str(text).isdecimal() or int(str(text)) > 100:
        raise _invalid("output_compression", str(text))
    return int(str(text))


def _within(wanted: Wanted, name: str, known: tuple[str, ...]) -> None:
    value = wanted.fields.get(name)
    if value is not None and value not in known:
        raise _invalid(name, str(value))


def _invalid(name: str, value: str) -> Unreadable:
    return Unreadable(f"Invalid value: '{value}' for parameter '{name}'.", "invalid_value", name)


def _unknown_parameter(name: str) -> Unreadable:
    return Unreadable(f"Unknown parameter: '{name}'.", "unknown_parameter", name)
