"""Turns a job's `ratio` and `size` into the form its model takes: a size, a field, or prompt words.

Pure. What had to be replaced or left out is said in warnings; what can't work at all is said by
`check` before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, sqrt

from batchgen.model import Endpoint, Job, Json
from batchgen.providers.profile import ModelRule, RatioForm

_ANY = ModelRule(pattern="*")
_PIXELS = re.compile(r"\s*(\d{1,5})\s*[x×*X✕]\s*(\d{1,5})\s*$")
_RATIO = re.compile(r"\s*(\d{1,5}(?:\.\d{1,4})?)\s*[:：]\s*(\d{1,5}(?:\.\d{1,4})?)\s*$")
# Tables round to multiples of 8, 16 or 32, so 848x1280 is their 2:3.
_SAME = 0.035
_TIE = 0.01
# The floor of gpt-image-2; the smallest entries of every table above it are its 1K row.
_SMALLEST = 655_360
_ABOUT_1K = 1024 * 1024
_STEP = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """How a job's shape is told: the prompt to send, the `size` field, further fields, and warnings."""

    prompt: str
    size: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def shape(job: Job, rule: ModelRule | None, endpoint: Endpoint) -> Shape:
    """The shape of a job for a model and an endpoint. An exact `size` wins over `ratio`."""
    rule = rule or _ANY
    warnings = list(_unsent(job, rule, endpoint))
    if job.size is not None:
        size = normal_size(job.size)
        warnings += _about_size(job, size, rule)
        if endpoint is Endpoint.IMAGES:
            warnings += _about_word(job, size, rule)
        if endpoint is Endpoint.CHAT:
            # There is no size field on chat; the documents put it before the prompt (seed 001).
            words = "" if size == "auto" or size in job.prompt else f"{size} "
            return Shape(words + job.prompt, warnings=tuple(warnings))
        if "size" in rule.accepts:
            return Shape(job.prompt, size, warnings=tuple(warnings))
        warnings.append(f"size {size} is not sent: {job.model} takes none")
        if job.ratio is None:
            return Shape(job.prompt, warnings=tuple(warnings))
    if job.ratio is None:
        return Shape(job.prompt, warnings=tuple(warnings))
    return _by_ratio(job, job.ratio, rule, endpoint, warnings)


def _by_ratio(job: Job, asked: str, rule: ModelRule, endpoint: Endpoint, warnings: list[str]) -> Shape:
    ratio = _nearest_word(asked, rule)
    if ratio != asked:
        warnings.append(f"ratio {asked} is not one of {job.model}'s: {ratio} is asked for instead")
    match rule.ratio_form:
        case RatioForm.SIZE if endpoint is Endpoint.IMAGES and _value(ratio) is not None:
            size = nearest_size(ratio, rule.sizes)
            if _distance(size, ratio) > _SAME:
                warnings.append(f"ratio {ratio} is not one of {job.model}'s: the nearest size is {_text(size)}")
            return Shape(job.prompt, _text(size), warnings=tuple(warnings))
        case RatioForm.FIELD:
            return Shape(job.prompt, fields={rule.ratio_field: ratio}, warnings=tuple(warnings))
        case RatioForm.BRACKETS:
            mark = f"【{ratio}】"
            return Shape(job.prompt if mark in job.prompt else job.prompt + mark, warnings=tuple(warnings))
        case RatioForm.NONE:
            warnings.append(f"ratio {asked} is not sent: {job.model} takes none")
            return Shape(job.prompt, warnings=tuple(warnings))
        case _:
            said = re.search(rf"(?<!\d){re.escape(ratio)}(?!\d)", job.prompt)
            return Shape(job.prompt if said else f"{job.prompt}, {ratio}", warnings=tuple(warnings))


def check(job: Job, rule: ModelRule | None, endpoint: Endpoint, profile_name: str) -> tuple[str, ...]:
    """What makes this job impossible at this provider, one sentence each; empty when nothing does."""
    rule = rule or _ANY
    problems = []
    # The parent's image of a follow-up is a reference too.
    count = len(job.references) + (job.after is not None)
    at = f"model '{job.model}' at {profile_name}"
    if count < rule.min_references:
        problems.append(f"{at} needs {_images(rule.min_references)}, the job has {count}")
    if count > rule.max_references:
        most = "no" if rule.max_references == 0 else f"at most {rule.max_references}"
        problems.append(f"{at} takes {most} reference images, the job has {count}")
    if job.mask is not None and endpoint is Endpoint.CHAT:
        problems.append(f"{profile_name} uses the chat endpoint, which takes no mask (endpoint: images does)")
    elif job.mask is not None and count == 0:
        problems.append("a mask needs a reference image to edit")
    if (
        job.size is not None
        and (pixels := _PIXELS.match(job.size))
        and "0"
        in (
            pixels.group(1).lstrip("0") or "0",
            pixels.group(2).lstrip("0") or "0",
        )
    ):
        problems.append(f"size '{job.size}' has an edge of 0")
    return tuple(problems)


def normal_size(size: str) -> str:
    """`1024×768`, `1024*768`, `1024 X 768` as `1024x768`; words like `auto` or `2K` as they are."""
    found = _PIXELS.match(size)
    return f"{int(found.group(1))}x{int(found.group(2))}" if found else size.strip()


def nearest_size(ratio: str, sizes: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The size of the table nearest to a ratio, the smallest of about a megapixel where several are.

    Without a table any size goes: about a megapixel in multiples of 16 (gpt-image-2, 1:3 to 3:1).
    """
    if not sizes:
        value = min(3.0, max(1 / 3, _value(ratio) or 1.0))
        width = max(_STEP, round(sqrt(_ABOUT_1K * value) / _STEP) * _STEP)
        return width, max(_STEP, round(width / value / _STEP) * _STEP)
    best = min(_distance(size, ratio) for size in sizes)
    near = [size for size in sizes if _distance(size, ratio) <= best + _TIE]
    enough = [size for size in near if size[0] * size[1] >= _SMALLEST]
    if enough:
        return min(enough, key=lambda size: size[0] * size[1])
    return max(near, key=lambda size: size[0] * size[1])


def _nearest_word(ratio: str, rule: ModelRule) -> str:
    if not rule.ratios or ratio in rule.ratios or _value(ratio) is None:
        return ratio
    wanted = log(_value(ratio) or 1.0)
    return min(rule.ratios, key=lambda word: abs(log(_value(word) or 1.0) - wanted))


def _unsent(job: Job, rule: ModelRule, endpoint: Endpoint) -> list[str]:
    """Fields the user gave that this door or model has no place for."""
    given = [name for name in FIELDS if getattr(job, name) is not None]
    if endpoint is Endpoint.CHAT:
        return [f"{name} is not sent: the chat endpoint has no such field" for name in given]
    warnings = [f"{name} is not sent: {job.model} does not take it" for name in given if name not in rule.accepts]
    if job.mask is not None and "mask" not in rule.accepts:
        warnings.append(f"mask is not sent: {job.model} does not take it")
    return warnings


FIELDS = ("quality", "output_format", "output_compression", "background")
"""Job keys that are sent under their own name on the images endpoint, when the model's rule accepts them."""


def _about_size(job: Job, size: str, rule: ModelRule) -> list[str]:
    pixels = _pair(size)
    warnings = []
    if pixels is not None and rule.sizes and pixels not in rule.sizes:
        warnings.append(_not_known(job, size, rule))
    if pixels is not None and job.ratio and _value(job.ratio) and _distance(pixels, job.ratio) > _SAME:
        warnings.append(f"size {size} wins over ratio {job.ratio}")
    return warnings


def _about_word(job: Job, size: str, rule: ModelRule) -> list[str]:
    """A size in a word, such as 2K, that the model's document does not have; on chat it is a part of the prompt."""
    known = rule.size_words
    doubtful = known is not None and _pair(size) is None and size not in known and "size" in rule.accepts
    return [_not_known(job, size, rule)] if doubtful else []


def _not_known(job: Job, size: str, rule: ModelRule) -> str:
    words = sorted(rule.size_words or ())
    known = ", ".join([*(_text(other) for other in rule.sizes[:8]), *(() if rule.sizes else ("WxH",)), *words])
    more = "" if len(rule.sizes) <= 8 else f" and {len(rule.sizes) - 8} more"
    return f"size {size} is not one of {job.model}'s ({known}{more}): it may be moved or refused"


def _value(ratio: str) -> float | None:
    found = _RATIO.match(ratio)
    if not found or not float(found.group(1)) or not float(found.group(2)):
        return None
    return float(found.group(1)) / float(found.group(2))


def _pair(size: str) -> tuple[int, int] | None:
    found = _PIXELS.match(size)
    if not found or not int(found.group(1)) or not int(found.group(2)):
        return None
    return int(found.group(1)), int(found.group(2))


def _distance(size: tuple[int, int], ratio: str) -> float:
    return abs(log(size[0] / size[1]) - log(_value(ratio) or 1.0))


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _images(count: int) -> str:
    return "a reference image" if count == 1 else f"{count} reference images"
