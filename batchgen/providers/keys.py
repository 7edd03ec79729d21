"""Which keys a provider has, and what to say of those that are missing. Pure: the variables come in as a mapping.

Keys are spoken of by the names of their variables; no text here ever holds a key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from batchgen.providers.profile import SIMULATED, Profile


def needs_key(profile: Profile) -> bool:
    """Whether requests to this provider carry a key: the simulated one takes any."""
    return bool(profile.api_key_env) and profile.base_url != SIMULATED


def keys_of(profile: Profile, variables: Mapping[str, str]) -> dict[str, str]:
    """The secrets that requests to this provider share, by the names of their variables, in the profile's order.

    Variables that are not set or empty are left out, and so is one with the same key as an earlier one:
    its limits are the same. The embedded simulator takes a word of ours.
    """
    if profile.base_url == SIMULATED:
        return {SIMULATED: SIMULATED}
    # A key pasted with its line end is a common accident, and no header can carry it.
    given = {name: variables.get(name, "").strip() for name in profile.api_key_env}
    found: dict[str, str] = {}
    for name, key in given.items():
        if key and key not in found.values():
            found[name] = key
    return found


def missing_key(profile: Profile) -> str:
    """The line for a provider none of whose key variables is set."""
    return (
        f"provider '{profile.name}' needs the environment variable {' or '.join(profile.api_key_env)}: "
        "export it, or play the batch through without a key: run --rehearse"
    )


def without_key(profiles: Iterable[Profile], variables: Collection[str]) -> Iterator[Profile]:
    """Those of whose key variables none is set. `variables` are the names of those that are."""
    return (
        profile
        for profile in profiles
        if needs_key(profile) and not any(name in variables for name in profile.api_key_env)
    )


def partly_set(profile: Profile, variables: Collection[str]) -> str | None:
    """A warning for a list of key variables of which some are not set; None when all or none are."""
    missing = [name for name in profile.api_key_env if name not in variables]
    if not needs_key(profile) or not missing or len(missing) == len(profile.api_key_env):
        return None
    left = [name for name in profile.api_key_env if name in variables]
    verb = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} of provider '{profile.name}' {verb} not set: all goes with {', '.join(left)}"
