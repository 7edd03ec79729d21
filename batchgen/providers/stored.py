"""Profiles as the ledger keeps them: what a later `fetch` must know without the manifest. No secrets.

Pure: text in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from batchgen.providers.prices import read_price, written
from batchgen.providers.profile import Profile

_KEPT = ("name", "base_url", "task_url", "link_ttl", "allow_private_downloads", "dialect", "timeout")


def dump_profiles(profiles: Mapping[str, Profile]) -> str:
    """Hosts, task address, link life and prices of each profile, as JSON."""
    return json.dumps(
        {
            name: {key: getattr(profile, key) for key in _KEPT}
            | {
                "simulate": dict(profile.simulate),
                "prices": {model: written(price) for model, price in profile.prices.items()},
            }
            for name, profile in profiles.items()
        }
    )


def load_profiles(text: str | None) -> dict[str, Profile]:
    """The profiles that `dump_profiles` wrote; none for None."""
    return {
        name: Profile(**{**kept, "prices": {model: read_price(price) for model, price in kept["prices"].items()}})
        for name, kept in json.loads(text or "{}").items()
    }
