"""The built-in profiles, as one literal table: the hosts of the documented gateways and what they say.

A profile names the variable of its key, never a key. Facts come from each provider's own
documents; a manifest's `providers` section may change any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from batchgen.model import Endpoint
from batchgen.providers import families as f
from batchgen.providers.prices import Price, TokenPrice
from batchgen.providers.profile import SIMULATED, Conversation, Limits, Profile

_HOUR = 3600.0
_DAY = 24 * _HOUR
_TASK_PAGE = "https://asyncdata.net/source/{task_id}"
"""Where the gateways that answer with a task log keep the task itself, open without a key."""

_CHAT = (f.GPT_IMAGE_CHAT, *f.OTHERS, f.ANYTHING)
# Each answer in its document holds two images.
_TWO_AN_ANSWER = tuple(replace(rule, brings=2) for rule in _CHAT)
_RESELLER = Limits()



def _gpt_image(text: int, pictures: int, output: int) -> Price:
    """A gpt-image model of OpenAI, from its dollars (in millionths) for a million tokens in and out."""
    # Output tokens of an image by quality and size: its guide to image generation.
    tokens = {
        "low 1024x1024": 272,
        "low 1024x1536": 408,
        "low 1536x1024": 400,
        "medium 1024x1024": 1056,
        "medium 1024x1536": 1584,
        "medium 1536x1024": 1568,
        "high 1024x1024": 4160,
        "high 1024x1536": 6240,
        "high 1536x1024": 6208,
    }
    price = TokenPrice(input=text, image_input=pictures, output=output)
    images = {frozenset(words.split()): price.of(0, 0, count) for words, count in tokens.items()}
    return Price(variants=images, tokens=price)


# OpenAI's pricing page. gpt-image-2 has no price here: its tokens an image follow no published table.
_OPENAI_PRICES = {
    "gpt-image-1": _gpt_image(5_000_000, 10_000_000, 40_000_000),
    "gpt-image-1-mini": _gpt_image(2_000_000, 2_500_000, 8_000_000),
    "gpt-image-1.5": _gpt_image(5_000_000, 8_000_000, 32_000_000),
    # Standard quality and 1024x1024 are what is drawn when nothing is said.
    "dall-e-3": Price(
        per_image=40_000,
        variants={
            frozenset({"1792x1024"}): 80_000,
            frozenset({"1024x1792"}): 80_000,
            frozenset({"hd"}): 80_000,
            frozenset({"hd", "1792x1024"}): 120_000,
            frozenset({"hd", "1024x1792"}): 120_000,
        },
    ),
    "dall-e-2": Price(
        per_image=20_000,
        variants={frozenset({"512x512"}): 18_000, frozenset({"256x256"}): 16_000},
    ),
}

_PROFILES = (
    Profile(
        name="tu-zi",
        dialect="tu-zi",
        base_url="https://api.tu-zi.com/v1",
        api_key_env=("TUZI_API_KEY",),
        endpoint=Endpoint.CHAT,
        # A streamed log shows the task id at once, and keeps the front proxy from cutting at 100 s.
        stream=True,
        # Seed 000: whole conversations, the picture meant named by its gen_id in the answers.
        conversation=Conversation.BY_ID,
        timeout=300.0,
        # filesystem.site does not say how long its files live; a day is the cautious guess.
        link_ttl=_DAY,
        limits=_RESELLER,
        task_url=_TASK_PAGE,
        default_model="gpt-image-1-vip",
        models=_CHAT,
    ),
    Profile(
        name="apiyi",
        dialect="apiyi",
        base_url="https://api.apiyi.com/v1",
        api_key_env=("APIYI_API_KEY",),
        # The document of gpt-image-2-vip describes the chat endpoint; `endpoint: images` has real sizes.
        endpoint=Endpoint.CHAT,
        stream=False,
        # Seed 001: add the assistant's messages and go on; pictures are shown as image_url.
        conversation=Conversation.SHOWN,
        timeout=360.0,
        link_ttl=_DAY,
        # "A hard stop", whatever the model.
        largest_reference=10_000_000,
        # It advises 1.5 MB a picture at most, where possible.
        advised_reference=1_500_000,
        limits=Limits(requests_per_minute=500),
        # "$0.03 an image", at the top of its document of the chat endpoint.
        prices={"gpt-image-2-all": Price(per_image=30_000)},
        default_model="gpt-image-2-vip",
        models=(
            f.GPT_IMAGE_2_VIP,
            f.GPT_IMAGE_ALL,
            replace(f.GPT_IMAGE_2, max_images=1),
            replace(f.GPT_IMAGE_1, max_images=1),
            *f.OTHERS,
            f.ANYTHING,
        ),
    ),
    Profile(
        name="apiqik",
        dialect="apiqik",
        base_url="https://api.apiqik.online/v1",
        api_key_env=("APIQIK_API_KEY",),
        endpoint=Endpoint.CHAT,
        stream=False,
        timeout=300.0,
        link_ttl=_DAY,
        limits=_RESELLER,
        task_url=_TASK_PAGE,
        default_model="gpt-image-1.5",
        models=_TWO_AN_ANSWER,
    ),
    Profile(
        name="modelverse",
        dialect="modelverse",
        base_url="https://api.modelverse.cn/v1",
        api_key_env=("MODELVERSE_API_KEY",),
        endpoint=Endpoint.IMAGES,
        timeout=300.0,
        # "Links lapse 7 days after generation."
        link_ttl=7 * _DAY,
        limits=_RESELLER,
        default_model="gpt-image-1",
        models=(
            replace(
                f.GPT_IMAGE_1,
                max_images=4,
                accepts=frozenset({"size", "quality", "output_format", "output_compression", "mask"}),
                note="output_compression: 0 none, 100 most (the reverse of OpenAI's); png and jpeg only",
            ),
            *f.OTHERS,
            f.ANYTHING,
        ),
    ),
    Profile(
        name="openai",
        dialect="openai",
        base_url="https://api.openai.com/v1",
        api_key_env=("OPENAI_API_KEY",),
        endpoint=Endpoint.IMAGES,
        timeout=600.0,
        # Only the dall-e models answer with links at all, and those live for 60 minutes.
        link_ttl=_HOUR,
        # POST /v1/images/edits: each below 50 MB.
        largest_reference=50_000_000,
        limits=_RESELLER,
        default_model="gpt-image-1",
        models=(f.GPT_IMAGE_2, f.GPT_IMAGE_1, f.CHATGPT_IMAGE, f.DALLE_3, f.DALLE_2),
        prices=_OPENAI_PRICES,
        strict_models=True,
    ),
    Profile(
        name="openai-chat",
        dialect="openai-chat",
        # The generic endpoint has no host of its own: the manifest gives it.
        base_url="",
        api_key_env=("OPENAI_CHAT_API_KEY",),
        endpoint=Endpoint.CHAT,
        stream=False,
        timeout=300.0,
        link_ttl=_DAY,
        limits=_RESELLER,
        task_url=_TASK_PAGE,
        default_model="gpt-4o-image",
        models=_CHAT,
    ),
    Profile(
        name="simulator",
        dialect="simulator",
        base_url=SIMULATED,
        endpoint=Endpoint.CHAT,
        stream=True,
        conversation=Conversation.BY_ID,
        timeout=300.0,
        link_ttl=7 * _DAY,
        # The run puts the simulator's own address in its place.
        task_url=_TASK_PAGE,
        default_model="sim-image",
        models=(replace(f.ANYTHING, max_images=4),),
    ),
)

BUILTIN: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _PROFILES})
"""Every built-in profile by its name."""
