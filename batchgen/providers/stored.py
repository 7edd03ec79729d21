"""Profiles as the ledger keeps them: what a later `fetch` must know without the manifest. No secrets.

Pure: text in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from batchgen.providers.profile import Profile

_KEPT = ("name", "base_url", "task_url", "link_ttl", "allow_private_downloads", "dialect", "timeout")


def dump_profiles(profiles: Mapping[str, Profile]) -> str:
    """Hosts, task address, link life and prices of each profile, as JSON."""
    return json.dumps(
        {
            name: {key: getattr(profile, key) for key in _KEPT}
            | {"simulate": dict(profile.simulate), "prices": dict(profile.prices)}
            for name, profile in profiles.items()
        }
    )


def load_profiles(text: str | None) -> dict[str, Profile]:
    """The profiles that `dump_profiles` wrote; none for None."""
    return {name: Profile(**fields) for name, fields in json.loads(text or "{}").items()}
