"""What an image costs, as data: a price for each, by size and quality, or by the tokens of its usage. Pure.

Money is counted in whole millionths of the price list's currency, so that 0.1 + 0.2 is 0.3. What is
written wrongly raises ValueError with the tail of a problem line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import overload

from batchgen.model import Json

MILLION = 1_000_000
"""Millionths in one unit of currency; also the tokens that a token price is for."""

_LARGEST = Decimal(1_000_000)
_SIZE = re.compile(r"\d+x\d+|[0-9.]+k")
_FORMS = "an amount such as 0.03, or a mapping with per_image, variants or tokens"
_TOKENS = ("input", "image_input", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Millionths for a million tokens: of text sent, of pictures sent, of what comes back."""

    input: int
    image_input: int
    output: int

    def of(self, text: int, pictures: int, output: int) -> int:
        """The cost in millionths of so many tokens, rounded up."""
        return -(-(text * self.input + pictures * self.image_input + output * self.output) // MILLION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one image of a model, in millionths.

    `variants` go by the words of a quality, a size or both (`high 1024x1024`); `per_image` is for an
    image that no variant fits. With `tokens` the provider's own usage decides, and the others are
    what is reckoned with before it is known.
    """

    per_image: int | None = None
    variants: Mapping[frozenset[str], int] | None = None
    tokens: TokenPrice | None = None

    def span(self, quality: str | None, size: str | None) -> tuple[int, int] | None:
        """The least and the most that an image may cost; None when only tokens are priced.

        A quality or size of None is the provider's own choice.
        """
        said = {word.lower() for word in (quality, size) if word and word != "auto"}
        variants = self.variants or {}
        fitting = [words for words in variants if words <= said]
        if fitting:
            exact = variants[max(fitting, key=len)]
            return exact, exact
        if self.per_image is not None:
            return self.per_image, self.per_image
        possible = [amount for words, amount in variants.items() if not _contradicts(words, said)]
        amounts = possible or list(variants.values())
        return (min(amounts), max(amounts)) if amounts else None


    def words(self) -> str:
        """The price for people: `0.03 an image`, or from the least to the most and by what."""
        amounts = [*(self.variants or {}).values(), *([] if self.per_image is None else [self.per_image])]
        parts = []
        if amounts:
            least, most = currency(min(amounts)), currency(max(amounts))
            parts.append(f"{least:g} an image" if least == most else f"{least:g} to {most:g} an image")
        if self.variants:
            parts.append("by size and quality")
        return ", ".join(parts + (["by the tokens of its usage"] if self.tokens else []))


def _contradicts(words: frozenset[str], said: set[str]) -> bool:
    """Whether a job that says its size (or quality) says another one than the variant."""
    kinds = {bool(_SIZE.fullmatch(word)) for word in said}
    return any(word not in said and bool(_SIZE.fullmatch(word)) in kinds for word in words)


def millionths(value: object) -> int:
    """An amount of money, rounded up to a millionth. Raises ValueError."""
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        amount = Decimal(-1)
    if isinstance(value, bool) or amount.is_nan() or not 0 <= amount <= _LARGEST:
        raise ValueError(f"'{str(value)[:40]}' is not {_FORMS}")
    return int((amount * MILLION).to_integral_value(ROUND_UP))


@overload
def currency(amount: int) -> float: ...
@overload
def currency(amount: int | None) -> float | None: ...
def currency(amount: int | None) -> float | None:
    """Millionths as the number that people and the ledger read; None stays None."""
    return None if amount is None else amount / MILLION


@overload
def exact(amount: float) -> int: ...
@overload
def exact(amount: float | None) -> int | None: ...
def exact(amount: float | None) -> int | None:
    """What `currency` gave, or a sum of it, as millionths again; None stays None."""
    return None if amount is None else round(amount * MILLION)


def money_text(amount: float) -> str:
    """An amount in currency for people: two decimals, more for what is less than a cent."""
    return f"{amount:.2f}" if not amount or amount >= 0.01 else f"{amount:.6f}".rstrip("0")


def read_price(value: object) -> Price:
    """A price as a manifest writes it: `0.03`, or `{per_image, variants, tokens}`. Raises ValueError."""
    if not isinstance(value, Mapping):
        return Price(per_image=millionths(value))
    if unknown := sorted(str(key) for key in value.keys() - {"per_image", "variants", "tokens"}):
        raise ValueError(f"has the unknown key '{unknown[0][:40]}': it takes per_image, variants and tokens")
    per_image, variants, tokens = value.get("per_image"), value.get("variants"), value.get("tokens")
    if per_image is None and not variants and not tokens:
        raise ValueError(f"is empty: write {_FORMS}")
    return Price(
        per_image=None if per_image is None else millionths(per_image),
        variants=_read_variants(variants) if variants else None,
        tokens=_read_tokens(tokens) if tokens else None,
    )


def _read_variants(value: object) -> Mapping[frozenset[str], int]:
    if not isinstance(value, Mapping):
        raise ValueError('needs variants as a mapping, such as {low: 0.01, "high 1536x1024": 0.25}')
    return {frozenset(str(words).lower().split()): millionths(amount) for words, amount in value.items()}


def _read_tokens(value: object) -> TokenPrice:
    if not isinstance(value, Mapping) or "output" not in value or value.keys() - set(_TOKENS):
        raise ValueError("needs tokens as {input: …, image_input: …, output: …}, each for a million tokens")
    text = millionths(value.get("input", 0))
    return TokenPrice(
        input=text,
        image_input=millionths(value["image_input"]) if "image_input" in value else text,
        output=millionths(value["output"]),
    )


def written(price: Price) -> Json:
    """The price as `read_price` takes it: a plain number where that says it all."""
    if price.per_image is not None and not price.variants and not price.tokens:
        return currency(price.per_image)
    form: dict[str, Json] = {}
    if price.per_image is not None:
        form["per_image"] = currency(price.per_image)
    if price.variants:
        form["variants"] = {" ".join(sorted(words)): currency(each) for words, each in price.variants.items()}
    if price.tokens:
        form["tokens"] = {name: currency(getattr(price.tokens, name)) for name in _TOKENS}
    return form
