"""What a request may cost at a provider, and what it did cost. Pure; amounts in millionths of the currency."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from batchgen.errors import EmptyReply, JobError, NoImage, Refused, UpstreamLimit
from batchgen.model import Job, Outcome, Turn
from batchgen.providers.prices import Price, TokenPrice
from batchgen.providers.profile import ModelRule, Profile
from batchgen.providers.shape import normal_size, shape

REFERENCE_TOKENS = 7_000
"""The most input tokens that one picture takes: OpenAI counts 65 and 129 a tile of its 512-pixel copy,
and 6,240 more at high input fidelity (its guide to images and vision)."""

OWN_TOKENS = 50
"""Tokens that a provider may count beside those of the text."""


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


class PriceList:
    """What one provider's requests cost, for jobs of any route. Remembers: many jobs ask for the same."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._rules: dict[str, ModelRule | None] = {}
        self._spans: dict[tuple[str | None, ...], tuple[int, int] | None] = {}

    def _rule(self, job: Job) -> ModelRule | None:
        model = job.at(self._profile.name).model
        if model not in self._rules:
            self._rules[model] = self._profile.rule(model)
        return self._rules[model]

    def asked(self, job: Job, missing: int) -> int:
        """How many of the missing images one request asks for."""
        return asked(self._rule(job), missing)

    def brought(self, job: Job, ask: int) -> int:
        """The most images that an answer to a request for so many is known to bring."""
        rule = self._rule(job)
        return max(ask, rule.brings if rule else 1)

    def quote(self, job: Job) -> Quote | None:
        """What an image of this job costs; None when nobody can say beforehand."""
        job = job.at(self._profile.name)
        kind = (job.model, job.quality, job.size, job.ratio)
        if kind not in self._spans:
            self._spans[kind] = self._span(job)
        span = self._spans[kind]
        if span is None:
            return None
        sent, tokens = 0, self.tokens(job)
        if tokens is not None:
            # No text has more tokens than bytes. A child sends its parent's image too.
            text = len(job.prompt.encode()) + OWN_TOKENS
            pictures = len(job.references) + (job.mask is not None) + (job.after is not None)
            sent = tokens.of(text, pictures * REFERENCE_TOKENS, 0)
        return Quote(*span, sent)

    def worst(self, job: Job, ask: int, turns: Sequence[Turn] = ()) -> int | None:
        """The most that a request for `ask` images of the job can cost; None when nobody can say.

        `turns` is the conversation that goes along with it: each request pays for its text anew.
        """
        offer, tokens = self.quote(job), self.tokens(job)
        if offer is None:
            return None
        said = sum(len(text.encode()) + OWN_TOKENS for turn in turns for text in (turn.prompt, turn.answer))
        return offer.worst(self.brought(job, ask)) + (tokens.of(said, 0, 0) if tokens else 0)

    def tokens(self, job: Job) -> TokenPrice | None:
        """What the tokens of this job's model cost; None where they are not priced."""
        price = price_of(self._profile, job.at(self._profile.name).model)
        return None if price is None else price.tokens

    def charge(self, job: Job, images: int, usage: str | None, most: int | None = None) -> int | None:
        """What an answer with so many images cost: by its usage where tokens are priced, else by the image.

        `most` is what was reckoned with when the request left. Images beyond that cost nothing, because
        a gateway bills what was asked for. None: no price is known.
        """
        if (tokens := self.tokens(job)) is not None and (counted := _counted(usage)) is not None:
            return tokens.of(*counted)
        offer = self.quote(job)
        if offer is None:
            return None
        cost = offer.worst(images)
        return cost if most is None else min(cost, most)

    def _span(self, job: Job) -> tuple[int, int] | None:
        price = price_of(self._profile, job.model)
        if price is None:
            return None
        size = None
        if price.variants:
            size = shape(job, self._rule(job), self._profile.endpoint).size or job.size
        return price.span(job.quality, None if size is None else normal_size(size))


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
    """How many of the missing images one request asks for, by the rule of its model."""
    return min(max(1, missing), rule.max_images if rule else 1)


def charge(
    profile: Profile | None, job: Job, images: int, usage: str | None, most: int | None = None
) -> int | None:
    """What one answer cost, as `PriceList.charge` says; None without a profile."""
    return None if profile is None else PriceList(profile).charge(job, images, usage, most)


def perhaps_billed(outcome: Outcome, error: JobError) -> bool:
    """Whether a request that brought no image may have been paid for all the same.

    That is an outcome that nobody knows, and an answer of 200 in words: soft refusals are billed (apiyi).
    """
    soft = isinstance(error, Refused | NoImage | UpstreamLimit | EmptyReply) and error.status == 200
    return outcome is Outcome.UNKNOWN or soft


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
