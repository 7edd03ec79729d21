"""The `providers` section over the built-in profiles: who extends whom and what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from batchgen.manifest.schema import LimitsSection, ProviderSection, ReferencesSection
from batchgen.manifest.words import LISTED, known_or, shortened
from batchgen.model import NEXT, Endpoint
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.profile import SIMULATED, Limits, Profile, Shrinking
from batchgen.providers.twins import Night, twin
from batchgen.shards.division import Indivisible, Shard

_PLAIN = (
    "base_url",
    "api_key_env",
    "stream",
    "timeout",
    "link_ttl",
    "task_url",
    "allow_private_downloads",
)

GENERIC = "openai-chat"
"""What a provider without `extends` starts from."""


class ProfileMistake(Exception):
    """A provider that makes no profile; the text is the tail of a problem line, `key` is what it is about."""

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def resolve(
    name: str, sections: Mapping[str, ProviderSection], night: Night | None = None, shard: Shard | None = None
) -> Profile:
    """The profile of that name, or with a `night` its simulated twin; for a `shard`, with its part of the limits.

    Raises ProfileMistake: unknown name, a circle of `extends`, no base URL, limits too small to be divided.
    """
    profile = _layered(name, sections, ())
    if NEXT in name:
        raise ProfileMistake(f"provider '{name}' can't have '{NEXT}' in its name")
    if not profile.base_url:
        raise ProfileMistake(f"provider '{name}' needs base_url, such as https://host/v1")
    if profile.simulate and profile.base_url != SIMULATED:
        raise ProfileMistake(f"'simulate' in provider '{name}' needs base_url: {SIMULATED}", "simulate")
    profile = profile if night is None else twin(profile, night)
    try:
        return profile if shard is None else replace(profile, limits=shard.limits(profile.limits))
    except Indivisible as mistake:
        raise ProfileMistake(f"provider '{name}': {mistake}", "limits") from None


def _layered(name: str, sections: Mapping[str, ProviderSection], below: tuple[str, ...]) -> Profile:
    section = sections.get(name)
    if section is None or name in below:
        if name in BUILTIN:
            return BUILTIN[name]
        if section is not None:
            raise ProfileMistake(f"provider '{name}' extends itself: extends names another", "extends")
        text = f"unknown provider '{name}'{known_or(name, [*sections, *BUILTIN], LISTED)}"
        raise ProfileMistake(text, "extends" if below else None)
    # An entry that bears a built-in's name changes that one.
    parent = section.extends or (name if name in BUILTIN else GENERIC)
    base = _layered(parent, sections, (*below, name))
    if section.extends is None and name not in BUILTIN:
        # A stranger's server: what it draws with is not ours to guess.
        base = replace(base, default_model=None)
    return _over(base, name, section)


def _over(base: Profile, name: str, section: ProviderSection) -> Profile:
    """The base with what the section writes in its place; `limits` and `prices` key by key."""
    limits = section.limits or LimitsSection()
    plain = {key: value for key in _PLAIN if (value := getattr(section, key)) is not None}
    return replace(
        base,
        name=name,
        endpoint=Endpoint(section.endpoint) if section.endpoint else base.endpoint,
        limits=Limits(
            requests_per_minute=_first(limits.requests_per_minute, base.limits.requests_per_minute),
            images_per_minute=_first(limits.images_per_minute, base.limits.images_per_minute),
            concurrency=limits.concurrency or base.limits.concurrency,
        ),
        references=_shrinking(base.references, section.references),
        # Another host has its own prices; the simulated twin has those of what it stands for.
        prices=MappingProxyType(
            {**(base.prices if section.base_url in (None, SIMULATED) else {}), **(section.prices or {})}
        ),
        # Another host may well serve other models than the one whose document the rules come from.
        strict_models=base.strict_models and section.base_url is None,
        simulate=section.simulate if section.simulate is not None else base.simulate,
        **plain,
    )


def _shrinking(base: Shrinking | None, section: ReferencesSection | None) -> Shrinking | None:
    if section is None:
        return base
    base = base or Shrinking()
    return Shrinking(section.max_bytes or base.max_bytes, section.max_side or base.max_side)


def _first(own: float | None, other: float | None) -> float | None:
    return other if own is None else own


class Lookup:
    """Finds profiles by name, once each. `found` fills up as names are asked for.

    `silenced` names have been told as mistakes where they are defined, so that no job repeats it.
    """

    def __init__(
        self, sections: Mapping[str, ProviderSection | None], night: Night | None, shard: Shard | None = None
    ) -> None:
        self._sections = {name: section or ProviderSection() for name, section in sections.items()}
        self._night = night
        self._shard = shard
        self.found: dict[str, Profile] = {}
        self.silenced: set[str] = set()

    def problem(self, name: str) -> str | None:
        """What is wrong with a name that only models are given for; None when there is such a provider."""
        if name in self._sections or name in BUILTIN:
            return None
        return f"unknown provider '{shortened(name)}'{known_or(name, [*self._sections, *BUILTIN], LISTED)}"

    def find(self, name: str) -> Profile | None:
        """The profile; None for a silenced name. Raises ProfileMistake."""
        if name in self.silenced:
            return None
        if name not in self.found:
            self.found[name] = resolve(name, self._sections, self._night, self._shard)
        return self.found[name]
