"""Prices and what requests cost by them: whole millionths, by size and quality, by tokens."""

from __future__ import annotations

import json

import pytest

from batchgen.errors import Interrupted, NoImage, RateLimited, Refused
from batchgen.model import Endpoint, Job, Outcome, Turn
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.costs import OWN_TOKENS, PriceList, Quote, asked, charge, no_price, perhaps_billed
from batchgen.providers.prices import Price, TokenPrice, currency, exact, millionths, money_text, read_price, written
from batchgen.providers.profile import ModelRule, Profile
from batchgen.providers.stored import dump_profiles, load_profiles

BY_SIZE = read_price({"per_image": "0.04", "variants": {"hd": "0.08", "hd 1792x1024": "0.12", "1792x1024": 0.08}})
OPEN = read_price({"variants": {"low 1024x1024": 0.01, "high 1024x1024": 0.2, "high 1536x1024": 0.3}})
TOKENS = read_price({"per_image": 0.25, "tokens": {"input": 5, "image_input": 10, "output": 40}})
USAGE = {"input_tokens": 109, "output_tokens": 4160, "input_tokens_details": {"text_tokens": 9, "image_tokens": 100}}


def at(price: Price | None, *, brings: int = 1, endpoint: Endpoint = Endpoint.CHAT) -> Profile:
    """A provider that sells the model `m`."""
    rule = ModelRule(pattern="*", brings=brings, max_images=4)
    prices = {} if price is None else {"m": price}
    return Profile(name="p", base_url="https://p.example/v1", prices=prices, models=(rule,), endpoint=endpoint)


def job(quality: str | None = None, size: str | None = None, *, prompt: str = "four", references: int = 0) -> Job:
    pictures = tuple(f"/{number}.png" for number in range(references))
    return Job(
        id="j", prompt=prompt, provider=("p",), model="m", quality=quality, size=size, references=pictures, n=4
    )


def test_money_is_counted_without_the_dust_of_binary_fractions() -> None:
    tenth, fifth = read_price("0.1"), read_price(0.2)
    assert (tenth.per_image or 0) + (fifth.per_image or 0) == millionths("0.3") == 300_000
    assert sum(millionths("0.000001") for _ in range(1000)) == 1000
    assert (exact(0.1 + 0.2), currency(300_000), exact(None), currency(None)) == (300_000, 0.3, None, None)


def test_an_amount_finer_than_a_millionth_is_rounded_up_so_that_no_budget_is_too_small() -> None:
    assert millionths("0.0000001") == 1


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf", "1e99", True, None, "", [1]])
def test_what_is_no_amount_is_refused_with_what_would_be_right(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not an amount such as 0\.03"):
        read_price(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"per_pixel": 1}, "unknown key 'per_pixel'"),
        ({}, "is empty"),
        ({"variants": [1]}, "variants as a mapping"),
        ({"tokens": {"input": 5}}, "tokens as"),
        ({"tokens": {"output": 5, "cached": 1}}, "tokens as"),
    ],
)
def test_a_mistake_in_a_long_price_is_said_in_words(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_price(value)


def test_the_variant_that_fits_best_decides_and_per_image_stands_for_what_none_fits() -> None:
    assert BY_SIZE.span(None, None) == (40_000, 40_000)
    assert BY_SIZE.span("hd", None) == (80_000, 80_000)
    assert BY_SIZE.span("HD", "1792x1024") == (120_000, 120_000)
    assert BY_SIZE.span("auto", "512x512") == (40_000, 40_000)


def test_what_the_provider_chooses_itself_costs_from_the_least_to_the_most() -> None:
    assert OPEN.span(None, None) == (10_000, 300_000)
    assert OPEN.span("high", None) == (200_000, 300_000)
    assert OPEN.span(None, "1024x1024") == (10_000, 200_000)
    assert OPEN.span("ultra", "9x9") == (10_000, 300_000), "unheard-of words are reckoned with the dearest"


@pytest.mark.parametrize("price", [BY_SIZE, OPEN, TOKENS, read_price("0.03")])
def test_a_price_is_read_again_as_it_was_written(price: Price) -> None:
    assert read_price(json.loads(json.dumps(written(price)))) == price
    assert load_profiles(dump_profiles({"p": at(price)}))["p"].prices == {"m": price}


def test_a_request_is_reckoned_with_all_that_an_answer_may_bring() -> None:
    plain = read_price(0.03)
    assert PriceList(at(plain)).worst(job(), 3) == 90_000
    assert PriceList(at(plain, brings=2)).worst(job(), 1) == 60_000
    assert PriceList(at(plain, brings=2)).worst(job(), 3) == 90_000
    assert PriceList(at(None)).worst(job(), 1) is None


def test_the_tokens_that_are_sent_count_for_every_request() -> None:
    offer = PriceList(at(TOKENS)).quote(job(references=1))
    assert offer == Quote(250_000, 250_000, (4 + OWN_TOKENS) * 5 + 7_000 * 10)


def test_the_conversation_that_goes_along_is_paid_for_where_tokens_are_and_only_there() -> None:
    turns = (Turn("a cat", "an answer of more words"), Turn("ü", "x"))
    text = 5 + 23 + 2 + 1 + 4 * OWN_TOKENS
    for price, more in ((TOKENS, text * 5), (read_price(0.03), 0)):
        prices = PriceList(at(price))
        alone, within = prices.worst(job(), 1), prices.worst(job(), 1, turns)
        assert alone is not None
        assert within == alone + more


def test_a_size_that_follows_from_the_ratio_is_priced_as_that_size() -> None:
    openai = BUILTIN["openai"]
    wide = Job(id="j", prompt="x", provider=("openai",), model="dall-e-3", ratio="16:9")
    assert PriceList(openai).quote(wide) == Quote(80_000, 80_000)


def test_an_answer_costs_its_images_but_never_more_than_was_reckoned_with() -> None:
    plain = at(read_price(0.03))
    assert charge(plain, job(), 2, None, 90_000) == 60_000
    assert charge(plain, job(), 4, None, 90_000) == 90_000
    assert charge(plain, job(), 4, None) == 120_000
    assert charge(at(None), job(), 4, None) is charge(None, job(), 1, None) is None


def test_usage_decides_where_tokens_are_priced_and_only_there() -> None:
    usage = json.dumps(USAGE)
    assert charge(at(TOKENS), job(), 1, usage, 250_000) == 9 * 5 + 100 * 10 + 4160 * 40
    assert charge(at(read_price(0.03)), job(), 1, usage) == 30_000
    chat = json.dumps({"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110})
    assert charge(at(TOKENS), job(), 1, chat) == 10 * 5 + 100 * 40


@pytest.mark.parametrize("usage", [None, "{}", "[]", "no json", '{"output_tokens": "many"}', '{"output_tokens": 0}'])
def test_without_a_usage_that_says_something_the_price_of_an_image_holds(usage: str | None) -> None:
    assert charge(at(TOKENS), job(), 1, usage, 999_000) == 250_000 + (4 + OWN_TOKENS) * 5


def test_a_fraction_of_a_millionth_is_charged_in_full() -> None:
    assert TokenPrice(input=1, image_input=0, output=0).of(1, 0, 0) == 1


def test_a_pattern_gives_its_price_to_the_models_that_have_none_of_their_own() -> None:
    shop = Profile(name="s", base_url="x", prices={"m*": read_price(1), "m": read_price(2), "*": read_price(3)})
    priced = [
        PriceList(shop).quote(Job(id="j", prompt="x", provider=("s",), model=name)) for name in ("m", "mm", "z")
    ]
    assert priced == [Quote(2_000_000, 2_000_000), Quote(1_000_000, 1_000_000), Quote(3_000_000, 3_000_000)]


def test_a_model_without_a_price_is_named_with_what_to_write() -> None:
    assert no_price(at(read_price(0)), "m") is None
    assert "write providers.p.prices: {m: 0.03}" in str(no_price(at(None), "m"))
    only_tokens = no_price(at(read_price({"tokens": {"output": 40}})), "m")
    assert "a price by tokens only" in str(only_tokens)
    assert "per_image: 0.25" in str(only_tokens)


def test_as_many_images_are_asked_for_as_one_request_takes() -> None:
    rule = ModelRule(pattern="*", max_images=4)
    assert [asked(rule, missing) for missing in (0, 1, 4, 9)] == [1, 1, 4, 4]
    assert asked(None, 9) == 1


def test_only_what_nobody_knows_and_answers_in_words_may_have_been_billed() -> None:
    assert perhaps_billed(Outcome.UNKNOWN, Interrupted("cut"))
    assert perhaps_billed(Outcome.FAILED, NoImage("words", status=200))
    assert perhaps_billed(Outcome.REFUSED, Refused("no", status=200))
    assert not perhaps_billed(Outcome.REFUSED, Refused("no", status=400))
    assert not perhaps_billed(Outcome.FAILED, RateLimited("wait", status=429))


@pytest.mark.parametrize(("amount", "text"), [(0, "0.00"), (12.345, "12.35"), (0.01, "0.01"), (0.0004, "0.0004")])
def test_small_amounts_are_told_with_the_decimals_they_need(amount: float, text: str) -> None:
    assert money_text(amount) == text
