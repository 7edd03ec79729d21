"""The ledger's SQL, read once from the `.sql` files of this package.

In `queries/*.sql` a line `-- name: WORD` opens a statement; `schema/NNN.sql` are the ordered
migration scripts. No SQL is put together from text anywhere: values go in as parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

_HERE = Path(__file__).parent
_OPENING = "-- name:"


def _statements(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(_OPENING)[1:]:
        name, _, statement = part.partition("\n")
        yield name.strip(), statement.strip()


def _load() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for source in sorted(_HERE.joinpath("queries").iterdir(), key=lambda entry: entry.name):
        for name, statement in _statements(source.read_text(encoding="utf-8")):
            if name in found:
                raise RuntimeError(f"two statements are named {name!r}")
            found[name] = statement
    return found


SQL: Mapping[str, str] = _load()
"""Every statement by its name."""

MIGRATIONS: tuple[str, ...] = tuple(
    entry.read_text(encoding="utf-8")
    for entry in sorted(_HERE.joinpath("schema").iterdir(), key=lambda entry: entry.name)
    if entry.name.endswith(".sql")
)
"""The scripts that lead from an empty file to today's schema; version N is the state after N of them."""
