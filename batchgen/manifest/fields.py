"""The kinds of value that a manifest holds: how each is read, what is no such value, how editors see it. Pure.

Values arrive as text from YAML and CSV and typed from JSONL; both are read alike here. Messages are
the tail of a problem line; where it stands is the loader's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from batchgen.images.naming import PLACEHOLDERS, placeholders
from batchgen.manifest.words import Written, parse_duration, shortened, tidy_ratio, tidy_size
from batchgen.providers.prices import Price, read_price
from batchgen.providers.profile import SIMULATED

NAME = re.compile(r"[^\W\d]\w*")
"""What may stand in braces in a prompt."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An id stands in one line of a listing and in a file name.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_IMAGE_ENDING = re.compile(r"\.(?:png|jpe?g|webp|gif|avif)$", re.IGNORECASE)
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
MOST_IMAGES = 10_000
"""Images of one job: more is a slip of the pen."""

_LIST_FOR_TEXT = (
    "must be one text, not a list: put text that begins with '[' in quotes; several values of a job go under matrix"
)
_MAPPING_FOR_TEXT = "must be text, not a mapping: put text that holds ': ' or begins with '{' in quotes"

_MOST = 10**15
_T = TypeVar("_T")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def wrong(message: str) -> PydanticCustomError:
    """A mistake to raise in a validator; `message` is the tail of a problem line."""
    # The message is data, not a template: braces in a user's value must not be filled in.
    return PydanticCustomError("manifest", "{message}", {"message": message})


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Written):
        return value.written
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise wrong(_LIST_FOR_TEXT if isinstance(value, list | tuple) else _MAPPING_FOR_TEXT)
    if _NO_TEXT.search(value):
        raise wrong("holds a character that is no text (NUL or half a surrogate pair)")
    return value


def _given(value: object) -> str:
    text = _text(value)
    if text is None:
        raise wrong("has no value: write one, or '' for none")
    return text


def _filled(value: object) -> str | None:
    text = _text(value)
    return text if text and text.strip() else None


def _name(value: object) -> str | None:
    text = _filled(value)
    if text is not None and (_CONTROL.search(text) or len(text) > 200):
        raise wrong(f"'{shortened(text)}' must be one line of at most 200 characters")
    return text.strip() if text else None


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("must be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise wrong(f"'{shortened(value)}' is not a number") from None
    if not 0 <= number < float("inf"):
        raise wrong(f"'{shortened(value)}' is not a number of zero or more")
    return number


def _whole(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise wrong(f"'{shortened(value)}' is not a whole number")


def _above_zero(value: object) -> int | None:
    number = _whole(value)
    if number is not None and not 1 <= number <= _MOST:
        raise wrong(f"'{shortened(value)}' must be 1 or more" + (f", at most {_MOST:,}" if number > 1 else ""))
    return number


def _images(value: object) -> int | None:
    number = _above_zero(value)
    if number is not None and number > MOST_IMAGES:
        raise wrong(f"'{shortened(value)}' must be at most {MOST_IMAGES:,}")
    return number


def _percent(value: object) -> int | None:
    number = _whole(value)
    if number is not None and not 0 <= number <= 100:
        raise wrong(f"'{number}' is not from 0 to 100")
    return number


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    flag = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    if flag is None:
        raise wrong(f"'{shortened(value)}' is not true or false")
    return flag


def _duration(value: object) -> float | None:
    if value is None:
        return None
    seconds = None if isinstance(value, bool) else parse_duration(str(value))
    if seconds is None:
        raise wrong(f"'{shortened(value)}' is not a duration such as 90s, 20m or 7d")
    return seconds


def _ratio(value: object) -> str | None:
    text = _filled(value)
    ratio = tidy_ratio(text) if text else None
    if text and ratio is None:
        raise wrong(f"'{shortened(text)}' is not W:H")
    return ratio


def _size(value: object) -> str | None:
    text = _filled(value)
    size = tidy_size(text) if text else None
    if text and size is None:
        raise wrong(f"'{shortened(text)}' is not WxH, 1K, 2K, 4K or auto")
    return size


def _texts(value: object) -> tuple[str, ...]:
    """One text or a list of them; empty ones are a mistake in a list, nothing when alone."""
    if value is None or value == "":
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    texts = tuple(_filled(item) for item in items)
    if None in texts:
        raise wrong("has an empty entry")
    return tuple(text.strip() for text in texts if text)


def _models(value: object) -> str | dict[str, str | None] | None:
    if not isinstance(value, dict):
        return _name(value)
    models = {name: _name(model) for name, model in value.items()}
    if not models or None in models.values():
        raise wrong("by provider must name a model for each, as in {apiyi: gpt-image-2, tu-zi: gpt-4o-image}")
    return models


def _variables(value: object) -> tuple[str, ...]:
    names = _texts(value)
    if not all(_VARIABLE.fullmatch(name) for name in names):
        # The value is not repeated: somebody may have put the key itself here.
        raise wrong("must be the name of an environment variable (a key never stands in a manifest)")
    return names


def _address(value: object) -> str | None:
    text = _filled(value)
    if text is None or text == SIMULATED:
        return text
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or parts.query or parts.fragment or re.search(r"\s", text):
        # Not repeated either: an address may carry a password.
        raise wrong(f"must be an http(s) address such as https://host/v1, or the word {SIMULATED}")
    return text.rstrip("/")


def _task_address(value: object) -> str | None:
    text = _filled(value)
    if text is None:
        return None
    if not text.startswith(("http://", "https://")) or text.count("{task_id}") != 1:
        raise wrong("must be an http(s) address with {task_id} in it")
    return text


def _price(value: object) -> Price:
    try:
        return read_price(value)
    except ValueError as mistake:
        raise wrong(str(mistake)) from None


def _template(value: object) -> str | None:
    """A template for file names: known placeholders, and nothing that would lead out of `images/`."""
    text = _filled(value)
    if text is None:
        return None
    for name in placeholders(text):
        if name in ("{", "}"):
            raise wrong(f"'{shortened(text)}' has a single '{name}': write '{name}{name}' for the sign itself")
        # One word may be a key of some job's `meta`: only the jobs show.
        if name not in PLACEHOLDERS and not NAME.fullmatch(name) and not re.fullmatch(r"meta\..+", name):
            raise wrong(f"'{shortened(text)}' has the unknown placeholder '{{{shortened(name)}}}'")
    if any(part.strip(". ") == "" for part in text.split("/")):
        raise wrong(f"'{shortened(text)}' must be a path below images/, without empty parts, '.' or '..'")
    if ending := _IMAGE_ENDING.search(text):
        raise wrong(f"'{shortened(text)}' ends in '{ending[0]}': write '.{{ext}}', which the bytes decide")
    return text


def _several(value: object) -> object:
    if not isinstance(value, list):
        raise wrong("must be a list of values")
    if not value:
        raise wrong("has no values")
    return value


@dataclass(frozen=True, slots=True)
class Parent:
    """`after`: the job whose image this one edits, and which of its images, from 0."""

    id: str
    image: int = 0


def _parent(value: object) -> Parent | None:
    """`after: cat`, or `after: {id: cat, image: 1}`."""
    if isinstance(value, list):
        raise wrong("names one job, not a list, for a job edits the image of one: write the id of one of them")
    if not isinstance(value, Mapping):
        text = _name(value)
        return Parent(text) if text else None
    unknown = [key for key in value if key not in ("id", "image")]
    if unknown:
        raise wrong(f"has the unknown key '{shortened(unknown[0])}': it takes id and image")
    parent, image = _name(value.get("id")), _whole(value.get("image"))
    if parent is None:
        raise wrong("names no job: give its id, as in {id: cat, image: 1}")
    if image is not None and image < 0:
        raise wrong(f"image '{image}' is below 0: the first image is 0")
    return Parent(parent, image or 0)


_TEXT = {"type": ["string", "number", "boolean", "null"]}
_COUNT = {"type": ["integer", "string", "null"]}
_LIST = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}
_AMOUNT = {"type": ["number", "string"], "minimum": 0}
_AMOUNTS = {"type": "object", "additionalProperties": _AMOUNT}
_PRICE = {
    "anyOf": [
        _AMOUNT,
        {
            "type": "object",
            "properties": {"per_image": _AMOUNT, "variants": _AMOUNTS, "tokens": _AMOUNTS},
            "additionalProperties": False,
        },
    ]
}
_TIME = {"type": ["number", "string", "null"], "description": "90s, 20m, 7d or seconds"}
Given: TypeAlias = Annotated[
    str, BeforeValidator(_given), WithJsonSchema({"type": ["string", "number", "boolean"]})
]
Several: TypeAlias = Annotated[tuple[_T, ...], BeforeValidator(_several)]
"""A list of values of one kind."""
Filled: TypeAlias = Annotated[str | None, BeforeValidator(_filled), WithJsonSchema(_TEXT)]
Name: TypeAlias = Annotated[str | None, BeforeValidator(_name), WithJsonSchema(_TEXT)]
Models: TypeAlias = Annotated[
    str | dict[str, str] | None,
    BeforeValidator(_models),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}]}),
]
Ratio: TypeAlias = Annotated[str | None, BeforeValidator(_ratio), WithJsonSchema(_TEXT)]
Size: TypeAlias = Annotated[str | None, BeforeValidator(_size), WithJsonSchema(_TEXT)]
Count: TypeAlias = Annotated[int | None, BeforeValidator(_above_zero), WithJsonSchema(_COUNT)]
Images: TypeAlias = Annotated[int | None, BeforeValidator(_images), WithJsonSchema(_COUNT)]
Percent: TypeAlias = Annotated[int | None, BeforeValidator(_percent), WithJsonSchema(_COUNT)]
Number: TypeAlias = Annotated[
    float | None, BeforeValidator(_number), WithJsonSchema({"type": ["number", "string", "null"]})
]
PriceOf: TypeAlias = Annotated[Price, BeforeValidator(_price), WithJsonSchema(_PRICE)]
After: TypeAlias = Annotated[
    Parent | None,
    BeforeValidator(_parent),
    WithJsonSchema(
        {
            "anyOf": [
                _TEXT,
                {
                    "type": "object",
                    "properties": {"id": {"type": ["string", "number"]}, "image": {"type": ["integer", "string"]}},
                    "required": ["id"],
                    "additionalProperties": False,
                },
            ],
            "description": "id of the job whose image this one edits, or {id: cat, image: 1}; images count from 0",
        }
    ),
]
Flag: TypeAlias = Annotated[
    bool | None, BeforeValidator(_flag), WithJsonSchema({"type": ["boolean", "string", "null"]})
]
Duration: TypeAlias = Annotated[float | None, BeforeValidator(_duration), WithJsonSchema(_TIME)]
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_texts), WithJsonSchema(_LIST)]
Variables: TypeAlias = Annotated[tuple[str, ...] | None, BeforeValidator(_variables), WithJsonSchema(_LIST)]
Template: TypeAlias = Annotated[
    str | None,
    BeforeValidator(_template),
    WithJsonSchema({"type": "string", "description": "such as {model}/{id}-{position}.{ext}"}),
]
Address: TypeAlias = Annotated[str | None, BeforeValidator(_address), WithJsonSchema({"type": "string"})]
TaskAddress: TypeAlias = Annotated[
    str | None, BeforeValidator(_task_address), WithJsonSchema({"type": ["string", "null"]})
]
