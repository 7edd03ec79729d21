"""What a request may cost at a provider, and what it did cost. Pure; amounts in millionths of the currency."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from batchgen.errors import EmptyReply, JobError, NoImage, Refused, UpstreamLimit
from batchgen.model import Job, Outcome
from batchgen.providers.prices import Price
from batchgen.providers.profile import ModelRule, Profile
from batchgen.providers.shape import normal_size, shape

REFERENCE_TOKENS = 7_000
"""The most input tokens that one picture takes: OpenAI counts 65 and 129 a tile of its 512-pixel copy,
and 6,240 more at high input fidelity (its guide to images and vision)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one image may cost, and what comes on top for each request (the tokens that are sent)."""

    low: int
    high: int
    sent: int = 0

    def worst(self, images: int) -> int:
        """The most that a request for so many images can cost."""
        return self.high * images + self.sent


def price_of(profile: Profile, model: str) -> Price | None:
    """The price of a model: under its own name, else of the first pattern that fits."""
    if model in profile.prices:
        return profile.prices[model]
    return next((price for name, price in profile.prices.items() if fnmatchcase(model, name)), None)


def quote(profile: Profile, job: Job) -> Quote | None:
    """What an image of this job costs at this provider; None when nobody can say beforehand."""
    price = price_of(profile, job.model)
    if price is None:
        return None
    span = price.span(job.quality, _size(profile, job) if price.variants else None)
    if span is None:
        return None
    sent = 0
    if price.tokens is not None:
        # No text has more tokens than bytes. A child sends its parent's image too.
        pictures = len(job.references) + (job.mask is not None) + (job.after is not None)
        sent = price.tokens.of(len(job.prompt.encode()), pictures * REFERENCE_TOKENS, 0)
    return Quote(*span, sent)


def no_price(profile: Profile, model: str) -> str | None:
    """The line for a model without which no budget can be kept; None when its price is known."""
    price = price_of(profile, model)
    if price is not None and price.span(None, None) is not None:
        return None
    what = "no price" if price is None else "a price by tokens only"
    form = f"{{{model}: 0.03}}" if price is None else f"{{{model}: {{per_image: 0.25, tokens: …}}}}"
    return (
        f"max_cost can't be kept: model '{model}' of provider '{profile.name}' has {what}; "
        f"write providers.{profile.name}.prices: {form}, with the most that an image costs"
    )


def asked(rule: ModelRule | None, missing: int) -> int:
    """How many of the missing images one request asks for."""
    return min(max(1, missing), rule.max_images if rule else 1)


def worst(profile: Profile, job: Job, ask: int) -> int | None:
    """The most that a request for `ask` images of the job can cost; None when nobody can say."""
    offer = quote(profile, job)
    rule = profile.rule(job.model)
    return None if offer is None else offer.worst(max(ask, rule.brings if rule else 1))


def charge(
    profile: Profile | None, job: Job, images: int, usage: str | None, most: int | None = None
) -> int | None:
    """What an answer with so many images cost: by its usage where tokens are priced, else by the image.

    `most` is what was reckoned with when the request left. Images beyond that cost nothing, because
    a gateway bills what was asked for. None: no price is known.
    """
    if profile is None:
        return None
    price = price_of(profile, job.model)
    if price is not None and price.tokens is not None and (counted := _counted(usage)) is not None:
        return price.tokens.of(*counted)
    offer = quote(profile, job)
    if offer is None:
        return None
    cost = offer.worst(images)
    return cost if most is None else min(cost, most)


def perhaps_billed(outcome: Outcome, error: JobError) -> bool:
    """Whether a request that brought no image may have been paid for all the same.

    That is an outcome that nobody knows, and an answer of 200 in words: soft refusals are billed (apiyi).
    """
    soft = isinstance(error, Refused | NoImage | UpstreamLimit | EmptyReply) and error.status == 200
    return outcome is Outcome.UNKNOWN or soft


def _size(profile: Profile, job: Job) -> str | None:
    told = shape(job, profile.rule(job.model), profile.endpoint).size or job.size
    return None if told is None else normal_size(told)


def _counted(usage: str | None) -> tuple[int, int, int] | None:
    """Tokens of text sent, of pictures sent and of what came, out of a `usage` object; None without them."""
    try:
        told = json.loads(usage or "null")
    except ValueError:
        return None
    if not isinstance(told, Mapping):
        return None
    sent = _tokens(told, "input_tokens", "prompt_tokens")
    output = _tokens(told, "output_tokens", "completion_tokens")
    if not output:
        return None
    details = told.get("input_tokens_details") or told.get("prompt_tokens_details")
    pictures = _tokens(details, "image_tokens") if isinstance(details, Mapping) else 0
    return max(0, sent - pictures), pictures, output


def _tokens(told: Mapping[str, object], *names: str) -> int:
    found = (told.get(name) for name in names)
    return next((count for count in found if isinstance(count, int) and count > 0), 0)
