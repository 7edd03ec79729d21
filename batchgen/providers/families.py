"""What each family of image models takes: ratios, sizes, references, images a request. Data only.

Facts are those of the providers' own documents; where a document is silent the rule is permissive,
because a rule here can stop a job before anything is sent. The first pattern that fits wins.
"""

from __future__ import annotations

from dataclasses import replace

from batchgen.providers.profile import ModelRule, RatioForm

_ALL_FIELDS = ModelRule(pattern="*").accepts
_NO_EXTRAS = frozenset({"size"})
_AUTO = frozenset({"auto"})
_PIXELS_ONLY = frozenset[str]()


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    """`848x1280 1280x848` as pairs of pixels."""
    pairs = (word.split("x") for word in text.split())
    return tuple((int(width), int(height)) for width, height in pairs)


# apiyi's document of gpt-image-2-vip: ten ratios at 1K, 2K and 4K. Anything else is moved to a
# multiple of 16 by the provider, not refused.
VIP_SIZES = _sizes(
    "1280x1280 848x1280 1280x848 960x1280 1280x960 1024x1280 1280x1024 720x1280 1280x720 1280x544 "
    "2048x2048 1360x2048 2048x1360 1536x2048 2048x1536 1632x2048 2048x1632 1152x2048 2048x1152 2048x864 "
    "2880x2880 2336x3520 3520x2336 2480x3312 3312x2480 2560x3216 3216x2560 2160x3840 3840x2160 3840x1632"
)
_GPT_1_SIZES = _sizes("1024x1024 1536x1024 1024x1536")
_DALLE_3_SIZES = _sizes("1024x1024 1792x1024 1024x1792")
_DALLE_2_SIZES = _sizes("1024x1024 512x512 256x256")
_RECRAFT_SIZES = _sizes(
    "1024x1024 1365x1024 1024x1365 1536x1024 1024x1536 1820x1024 1024x1820 2048x1024 1024x2048 "
    "1434x1024 1024x1434 1280x1024 1024x1280 1707x1024 1024x1707"
)
_QWEN_SIZES = _sizes("1328x1328 1664x928 928x1664 1472x1140 1140x1472")
_SEEDREAM_4_SIZES = _sizes("2048x2048 2304x1728 1728x2304 2560x1440 1440x2560 2496x1664 1664x2496 3024x1296")
# Seedream 3 takes any size from 512 to 2048 pixels an edge; these are the common ratios within it.
_SEEDREAM_3_SIZES = _sizes("1024x1024 1152x864 864x1152 1280x720 720x1280 1248x832 832x1248 1512x648")

_THREE_RATIOS = ("1:1", "3:2", "2:3")
_BANANA_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_KONTEXT_RATIOS = ("3:7", "1:2", "9:16", "2:3", "3:4", "1:1", "4:3", "3:2", "16:9", "2:1", "7:3")

# --- gpt-image ---------------------------------------------------------------------------------

GPT_IMAGE_1 = ModelRule(
    pattern="gpt-image-1*",
    ratio_form=RatioForm.SIZE,
    sizes=_GPT_1_SIZES,
    size_words=_AUTO,
    max_images=10,
    max_references=16,
)
GPT_IMAGE_2 = ModelRule(
    pattern="gpt-image-2*",
    ratio_form=RatioForm.SIZE,
    size_words=_AUTO,
    max_images=10,
    note="any WxH in multiples of 16, from 1:3 to 3:1, up to 3840x2160",
)
CHATGPT_IMAGE = replace(GPT_IMAGE_1, pattern="chatgpt-image-*", min_references=1, note="edits only")
GPT_IMAGE_CHAT = ModelRule(pattern="gpt-image-*", ratio_form=RatioForm.WORDS)
GPT_IMAGE_2_VIP = ModelRule(
    pattern="gpt-image-2-vip",
    ratio_form=RatioForm.SIZE,
    sizes=VIP_SIZES,
    size_words=_AUTO,
    # n = 3 is billed three times and brings one image, so one a request.
    max_images=1,
    response_format="url",
    note="output_format jpeg is ignored (PNG comes); a mask repaints the whole picture",
)
GPT_IMAGE_ALL = ModelRule(
    pattern="gpt-image-2*-all",
    ratio_form=RatioForm.WORDS,
    response_format="url",
    note="size: long edge 512 to 1536",
)

# --- chat models that draw ---------------------------------------------------------------------

# ChatGPT shows two versions now and then, and its gateways hand on both.
GPT_4O_IMAGE = ModelRule(pattern="gpt-4o-image*", ratios=_THREE_RATIOS, max_references=10, brings=2)
SORA_IMAGE = ModelRule(
    pattern="sora_image*",
    ratio_form=RatioForm.BRACKETS,
    ratios=_THREE_RATIOS,
    note="prompt up to 500 characters",
)
NANO_BANANA_2 = ModelRule(
    pattern="nano-banana-2*", ratios=(*_BANANA_RATIOS, "1:4", "4:1", "1:8", "8:1"), note="sizes 0.5K to 4K"
)
NANO_BANANA = ModelRule(pattern="nano-banana*", ratios=_BANANA_RATIOS)
GEMINI_IMAGE = replace(NANO_BANANA, pattern="gemini-*image*")

# --- flux --------------------------------------------------------------------------------------

FLUX_KONTEXT = ModelRule(
    pattern="flux-kontext-*",
    ratio_form=RatioForm.FIELD,
    ratios=_KONTEXT_RATIOS,
    accepts=frozenset({"output_format"}),
    largest_reference=20_000_000,
    note="links live about 10 minutes",
)
FLUX_KONTEXT_DEV = replace(FLUX_KONTEXT, pattern="flux-kontext-dev*", min_references=1)
FLUX = ModelRule(pattern="flux*")

# --- others ------------------------------------------------------------------------------------

DALLE_3 = ModelRule(
    pattern="dall-e-3*",
    ratio_form=RatioForm.SIZE,
    sizes=_DALLE_3_SIZES,
    size_words=_PIXELS_ONLY,
    max_references=0,
    accepts=frozenset({"size", "quality"}),
    response_format="url",
)
DALLE_2 = ModelRule(
    pattern="dall-e-2*",
    ratio_form=RatioForm.SIZE,
    sizes=_DALLE_2_SIZES,
    size_words=_PIXELS_ONLY,
    max_references=1,
    largest_reference=4_000_000,
    max_images=10,
    accepts=frozenset({"size", "quality", "mask"}),
    response_format="url",
)
RECRAFT = ModelRule(
    pattern="recraftv3*",
    ratio_form=RatioForm.SIZE,
    sizes=_RECRAFT_SIZES,
    size_words=_PIXELS_ONLY,
    max_references=0,
    accepts=_NO_EXTRAS,
)
QWEN_EDIT = ModelRule(
    pattern="qwen-image-edit*",
    ratio_form=RatioForm.SIZE,
    sizes=_QWEN_SIZES,
    size_words=_PIXELS_ONLY,
    min_references=1,
    accepts=_NO_EXTRAS,
)
QWEN = ModelRule(
    pattern="qwen-image*",
    ratio_form=RatioForm.SIZE,
    sizes=_QWEN_SIZES,
    size_words=_PIXELS_ONLY,
    max_references=0,
    accepts=_NO_EXTRAS,
)
SEEDREAM_4 = ModelRule(
    pattern="doubao-seedream-4*",
    ratio_form=RatioForm.SIZE,
    sizes=_SEEDREAM_4_SIZES,
    size_words=frozenset({"1K", "2K", "4K"}),
    max_references=10,
    accepts=_NO_EXTRAS,
    response_format="url",
    note="more than one image: params sequential_image_generation",
)
SEEDREAM_3 = ModelRule(
    pattern="doubao-seedream-3*",
    ratio_form=RatioForm.SIZE,
    sizes=_SEEDREAM_3_SIZES,
    size_words=_PIXELS_ONLY,
    max_references=0,
    accepts=_NO_EXTRAS,
    response_format="url",
)
SEEDEDIT = ModelRule(
    pattern="doubao-seededit-3*",
    ratio_form=RatioForm.NONE,
    size_words=frozenset({"adaptive"}),
    min_references=1,
    max_references=1,
    accepts=_NO_EXTRAS,
    response_format="url",
    note="keeps the shape of its one reference (size: adaptive)",
)
ANYTHING = ModelRule(pattern="*", accepts=_ALL_FIELDS)

OTHERS = (
    GPT_4O_IMAGE,
    SORA_IMAGE,
    FLUX_KONTEXT_DEV,
    FLUX_KONTEXT,
    FLUX,
    NANO_BANANA_2,
    NANO_BANANA,
    GEMINI_IMAGE,
    DALLE_3,
    RECRAFT,
    QWEN_EDIT,
    QWEN,
    SEEDREAM_4,
    SEEDREAM_3,
    SEEDEDIT,
)
"""The models that gateways serve side by side, the narrower pattern before the wider."""
