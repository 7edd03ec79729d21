"""How one simulated provider behaves: its pace, its faults, its limits; read from a manifest's mapping.

Pure. Durations are seconds. What is written wrongly raises ValueError with one line that says what
would be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from batchgen.simulator.faults import FAULTS, Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """One simulated provider.

    `latency` is how long a picture takes, in seconds; `image_side` caps the longer side of the drawn
    pictures in pixels, 0 draws the size asked for. `link_ttl` is the life of its links in seconds,
    None: as long as the imitated provider's. `rpm` (requests a minute) and `concurrency` are answered
    with 429 when exceeded. `honour_idempotency`: a repeated Idempotency-Key brings the same task.
    """

    latency: float = 0.3
    faults: Mapping[str, Chance] = field(default_factory=dict)
    seed: int = 0
    image_side: int = 512
    link_ttl: float | None = None
    rpm: float | None = None
    concurrency: int | None = None
    honour_idempotency: bool = False


def parse_settings(mapping: Mapping[str, object]) -> SimulatorSettings:
    """Read what a manifest says under `simulate`. Raises ValueError with one line for the first mistake."""
    readers: dict[str, Callable[[object], object]] = {
        "latency": _seconds,
        "faults": _faults,
        "seed": _whole(-(2**63)),
        "image_side": _whole(0),
        "link_ttl": _seconds,
        "rpm": _positive,
        "concurrency": _whole(1),
        "honour_idempotency": _flag,
    }
    values: dict[str, object] = {}
    for key, value in mapping.items():
        if key not in readers:
            raise ValueError(_unknown("key", key, readers))
        if value is None:
            continue
        try:
            values[key] = readers[key](value)
        except ValueError as problem:
            raise ValueError(f"{key}: {problem}") from None
    return SimulatorSettings(**values)  # type: ignore[arg-type]  # each reader returns its field's type


def _faults(value: object) -> Mapping[str, Chance]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of fault names to chances, such as {rate_limit: 5%}")
    chances: dict[str, Chance] = {}
    for name, chance in value.items():
        if name not in FAULTS:
            raise ValueError(_unknown("fault", str(name), FAULTS))
        try:
            chances[name] = Chance.parse(chance)
        except ValueError as problem:
            raise ValueError(f"{name}: {problem}") from None
    return chances


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    listed = f"it takes {', '.join(known)}" if what == "key" else "batchgen simulate --list-faults tells them"
    hint = f", did you mean {' or '.join(map(repr, near))}?" if near else f"; {listed}"
    return f"unknown {what} {word!r}{hint}"


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> float:
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration: write seconds (0.3) or 300ms, 90s, 20m, 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _positive(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is not a number above 0")
    return number


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,18}", str(value).strip()):
            raise ValueError(f"{value!r} is not a whole number")
        if int(str(value)) < least:
            raise ValueError(f"{value!r} is below {least}")
        return int(str(value))

    return read


def _flag(value: object) -> bool:
    words = {"true": True, "yes": True, "false": False, "no": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false") from None
