"""What a provider is, as data: where it lives, which door, what its models take, how long links live.

Pure. A profile never holds a key, only the names of the environment variables that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from batchgen.model import Endpoint
from batchgen.providers.prices import Price

SIMULATED = "simulator"
"""A `base_url` of this word: the embedded simulated provider, started and stopped by the run."""


class RatioForm(StrEnum):
    """How a model is told the wanted ratio."""

    SIZE = "size"
    """the nearest entry of `sizes` goes into the `size` field (or, on chat, into the words)"""
    FIELD = "field"
    """a request field named by `ratio_field` takes `W:H`"""
    WORDS = "words"
    """`16:9` is written into the prompt"""
    BRACKETS = "brackets"
    """`【3:2】` is appended to the prompt"""
    NONE = "none"


class Conversation(StrEnum):
    """How a follow-up (`after`) at the same provider says which picture it edits; chat only."""

    BY_ID = "by id"
    """the answers are sent back word for word, and the gateway finds the picture by its gen_id"""
    SHOWN = "shown"
    """the answers are sent back, and the picture itself stands in the new turn"""
    NONE = "none"
    """the picture is a reference like any other, without the turns before"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRule:
    """What one model (or a glob of models) takes at this provider.

    `sizes` are pixels (width, height); empty means any. `ratios` restricts the words a model knows;
    empty means any. `max_images` is how many images one request may ask for.
    """

    pattern: str
    ratio_form: RatioForm = RatioForm.WORDS
    ratio_field: str = "aspect_ratio"
    ratios: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    size_words: frozenset[str] | None = None
    """what the `size` field takes besides pixels; None: its document does not say"""
    min_references: int = 0
    max_references: int = 16
    largest_reference: int | None = None
    """bytes of one reference, where the model takes less than its provider"""
    max_images: int = 1
    brings: int = 1
    """how many images one answer may bring though fewer were asked for"""
    accepts: frozenset[str] = frozenset(
        {"size", "quality", "output_format", "output_compression", "background", "mask"}
    )
    response_format: str | None = None
    """`url` or `b64_json` when this model must be told; None: the field is not sent."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a reference may be when it is sent: bytes, and pixels on its longer side (None: any).

    `shrink`: what is larger is made smaller; else it is the user's mistake.
    """

    max_bytes: int
    max_side: int | None = None
    shrink: bool = False


@dataclass(frozen=True, slots=True)
class Shrinking:
    """What the user wants references to be made, where they are larger; None: as the provider takes them."""

    max_bytes: int | None = None
    max_side: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider allows; None: not stated."""

    requests_per_minute: float | None = None
    images_per_minute: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One named provider. Times are seconds, prices are by model, or by a pattern of models."""

    name: str
    base_url: str
    api_key_env: tuple[str, ...] = ()
    endpoint: Endpoint = Endpoint.CHAT
    stream: bool = False
    conversation: Conversation = Conversation.NONE
    timeout: float = 300.0
    """Seconds without a byte before a request counts as cut."""
    link_ttl: float = 7 * 86400.0
    limits: Limits = Limits()
    prices: Mapping[str, Price] = field(default_factory=dict)
    task_url: str | None = None
    allow_private_downloads: bool = False
    largest_reference: int = 20 << 20
    """bytes of one reference that the provider takes"""
    advised_reference: int | None = None
    """bytes of one reference that its document advises; a larger one is sent, and warned of"""
    references: Shrinking | None = None
    """None: references are sent as they are, and one that is too large is a mistake"""
    dialect: str = "simulator"
    """Which built-in dialect this profile descends from; the simulator speaks it back."""
    default_model: str | None = None
    models: tuple[ModelRule, ...] = ()
    strict_models: bool = False
    """True: a model that no rule names is an error before anything is sent."""
    simulate: Mapping[str, object] = field(default_factory=dict)
    """Settings of the embedded simulator: latency in seconds, faults as {kind: rate or count}, seed."""
    _rules: dict[str, ModelRule | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was found for the models that were asked for: there are few, and each is asked for again and again."""

    def rule(self, model: str) -> ModelRule | None:
        """The first rule whose pattern fits, or None."""
        if model not in self._rules:
            self._rules[model] = next((rule for rule in self.models if fnmatchcase(model, rule.pattern)), None)
        return self._rules[model]

    def bounds(self, model: str) -> Bounds:
        """How large a reference of this model may be, and whether a larger one is shrunk."""
        rule, wanted = self.rule(model), self.references or Shrinking()
        given = (self.largest_reference, rule.largest_reference if rule else None, wanted.max_bytes)
        return Bounds(min(size for size in given if size), wanted.max_side, shrink=self.references is not None)
