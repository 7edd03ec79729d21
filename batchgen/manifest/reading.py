"""What the jobs of a manifest depend on, in words that can be compared with those of an earlier reading.

A manifest with the same words brings the same jobs, so it need not be read again. Local pictures are
not in them: the ledger keeps those apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from batchgen.manifest.profiles import Lookup, ProfileMistake
from batchgen.model import Json
from batchgen.providers.profile import Profile

_PACKAGE = Path(__file__).parent.parent


def words(decided: Mapping[str, Json], profiles: Mapping[str, Profile]) -> str:
    """The reading as text: what was `decided` before any job was read, and every profile they may go to."""
    told = {name: _digest(_plain(profile)) for name, profile in profiles.items()}
    return json.dumps({"code": _code(), **decided, "profiles": told}, sort_keys=True)


def same_words(noted: str, decided: Mapping[str, Json], lookup: Lookup) -> bool:
    """Whether a reading now would bring the jobs of the noted one. Finds the profiles that those go to."""
    try:
        for name in json.loads(noted)["profiles"]:
            lookup.find(name)
    except ProfileMistake:
        return False
    return words(decided, lookup.found) == noted


def _code() -> str:
    """The code that makes jobs of a manifest: a change in it may give the same text another meaning."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: object) -> Json:
    """A profile as JSON, whatever it is made of."""
    if is_dataclass(value):
        # What is no part of its meaning, such as what was looked up in it, is left out.
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value) if one.compare}
    if isinstance(value, Mapping):
        # A key may be a set of words, and the order of a set changes from process to process.
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(str(one) for one in value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str) or value is None else repr(value)
