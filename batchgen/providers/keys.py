"""Which key a provider needs and what to say when it is missing. Pure: the variables come in as a mapping."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.providers.profile import SIMULATED, Profile


def needs_key(profile: Profile) -> bool:
    """Whether requests to this provider carry a key: the simulated one takes any."""
    return bool(profile.api_key_env) and profile.base_url != SIMULATED


def chosen_key(profile: Profile, variables: Mapping[str, str]) -> str | None:
    """The secret of the first variable that is set, or None. The embedded simulator takes a word of ours."""
    if profile.base_url == SIMULATED:
        return SIMULATED
    # A key pasted with its line end is a common accident, and no header can carry it.
    given = (variables.get(name, "").strip() for name in profile.api_key_env)
    return next((key for key in given if key), None)


def missing_key(profile: Profile) -> str:
    """The line for a provider none of whose key variables is set."""
    return (
        f"provider '{profile.name}' needs the environment variable {' or '.join(profile.api_key_env)}: "
        "export it, or try the batch without a key by setting base_url: simulator"
    )
