"""What pydantic found wrong, in the words of a problem line. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import ErrorDetails

from batchgen.manifest.schema import (
    HEAD_KEYS,
    JOB_KEYS,
    MATRIX_KEYS,
    LimitsSection,
    OutputSection,
    ProviderSection,
    ReferencesSection,
    SettingsSection,
)
from batchgen.manifest.words import did_you_mean, shortened


def job_problem(error: ErrorDetails, job: str) -> str:
    """A mistake in one job; `job` names it, as in `job 'cat'`."""
    return _sentence(error, error["loc"], job, JOB_KEYS)


def head_problem(error: ErrorDetails) -> str:
    """A mistake in any other section of the manifest."""
    loc = error["loc"]
    match loc:
        case ("defaults", _, *_):
            return _sentence(error, loc[1:], "'defaults'", JOB_KEYS)
        case ("settings", _, *_):
            return _sentence(error, loc[1:], "'settings'", SettingsSection.model_fields)
        case ("output", _, *_) if error["type"] == "extra_forbidden":
            return _sentence(error, loc[1:], "'output'", OutputSection.model_fields)
        case ("providers", name, "limits", _):
            return _sentence(error, loc[2:], f"limits of provider '{name}'", LimitsSection.model_fields)
        case ("providers", name, "references", _):
            return _sentence(error, loc[2:], f"references of provider '{name}'", ReferencesSection.model_fields)
        case ("providers", name, _, *_):
            return _sentence(error, loc[2:], f"provider '{name}'", ProviderSection.model_fields)
        case ("providers", name):
            return f"provider '{name}' must be a mapping"
    return _sentence(error, loc, "", HEAD_KEYS)


def _advice(known: Iterable[str]) -> str:
    """What to do about a key that is like none that is known."""
    if known is JOB_KEYS:
        return "; a provider's own goes under 'params', yours under 'meta'"
    return f"; it takes {', '.join(known)}"


def _sentence(error: ErrorDetails, loc: tuple[int | str, ...], where: str, known: Iterable[str]) -> str:
    name = ".".join(str(step) for step in loc)
    match error["type"]:
        case "extra_forbidden":
            place = f" in {where}" if where else ""
            advice = did_you_mean(str(loc[-1]), known) or _advice(known)
            return f"unknown key '{shortened(loc[-1])}'{place}{advice}"
        case "model_type" | "dict_type":
            return f"{name} must be a mapping"
        case "literal_error":
            return f"{name} '{shortened(error['input'])}' is not {error['ctx']['expected']}"
        case "manifest":
            # A name of the user's own in a matrix may be a misspelt key.
            unsure = loc[:-1] == ("matrix",) and loc[-1] not in MATRIX_KEYS
            return f"{name} {error['msg']}{did_you_mean(str(loc[-1]), MATRIX_KEYS) if unsure else ''}"
    return f"{name}: {error['msg'][:1].lower()}{error['msg'][1:]}"
