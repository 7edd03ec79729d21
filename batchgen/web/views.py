"""What the page shows, as plain values made from ledger records; page.js and the templates know the keys. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from batchgen.answers import status_answer
from batchgen.lanes.orders import PAUSED
from batchgen.ledger.records import JobRecord, OutputRecord, ProviderStatus, RunRecord, Status
from batchgen.model import JobState, Json, OutputState
from batchgen.progress import wait_text
from batchgen.providers.prices import money_text
from batchgen.summary import Commands, link_warning, reason, store_words

_PROMPT: Final = 280
"""Characters of a prompt that a card shows."""


_HOUR: Final = 3600.0


def card(record: JobRecord) -> dict[str, Json]:
    """One job of the grid."""
    saved = [output for output in record.outputs if output.state is OutputState.SAVED]
    return {
        "id": record.id,
        "state": record.state.value,
        "prompt": record.job.prompt[:_PROMPT],
        "model": record.job.model,
        "provider": record.provider,
        "ratio": record.job.ratio or "",
        "why": reason(record),
        "page": f"/job/{quote(record.id, safe='')}",
        "pictures": [picture(record.id, output) for output in saved],
    }


def picture(job_id: str, output: OutputRecord) -> dict[str, Json]:
    """A saved picture: addresses of its small copy and of itself, which change when its bytes do."""
    at, version = f"{quote(job_id, safe='')}/{output.position}", (output.sha256 or "")[:16]
    return {
        "small": f"/small/{at}?v={version}",
        "whole": f"/picture/{at}?v={version}",
        "width": output.width or 1,
        "height": output.height or 1,
        "position": output.position,
    }


def version(record: JobRecord, gone: Collection[int]) -> str:
    """A short word that is another one when the page of a job says something else."""
    return sha256(repr((record, gone)).encode()).hexdigest()[:16]


def standing(
    status: Status, run: RunRecord | None, rate: float | None, commands: Commands, now: float
) -> dict[str, Json]:
    """How the batch stands: the answer of `status --json`, and what the page says in words."""
    providers: dict[str, Json] = {
        name: {
            "in_flight": one.in_flight,
            "limit": one.limit,
            "waits": _waits(one.waiting_until, one.reason, now),
        }
        for name, one in status.providers.items()
    }
    alive = run is not None and run.alive
    # A run fetches what it has links to; while it does, only a link that dies within the hour is worth a word.
    urgent = not alive or (status.next_expiry is not None and status.next_expiry - now < _HOUR)
    return {
        **status_answer(status),
        "providers": providers,
        "cost_text": money_text(status.cost) if status.cost or not any(status.outputs.values()) else "unknown",
        "alive": alive,
        "paused": alive and any(one.reason == PAUSED for one in status.providers.values()),
        "rate": rate,
        "reason": run.reason if run is not None and not alive else None,
        "links": link_warning(status, commands) if urgent else None,
        "store": store_words(status, commands.workspace),
        "rehearsal": status.rehearsal,
    }


def _waits(until: float | None, why: str | None, now: float) -> str:
    if until is not None:
        return f"waiting{wait_text(until, now)}" + (f": {why}" if why else "")
    return why or ""


def metrics(status: Status, alive: bool, rate: float | None) -> str:
    """The numbers in Prometheus' text format."""
    figures: list[tuple[str, str, str, Sequence[tuple[str, float]]]] = [
        ("jobs", "gauge", "jobs by state", [(_in("state", state), n) for state, n in status.jobs.items()]),
        ("outputs", "gauge", "images by state", [(_in("state", state), n) for state, n in status.outputs.items()]),
        ("attempts_total", "counter", "requests that were begun", [("", status.attempts)]),
        ("cost_total", "counter", "paid by the price list, over all runs", _each(status, lambda one: one.cost)),
        ("unsettled_cost", "gauge", "the most that may have been billed beside it", [("", status.unsettled_cost)]),
        ("images_per_minute", "gauge", "images saved in the last minute", [] if rate is None else [("", rate)]),
        ("links_expiring", "gauge", "images not on disk whose link dies in a day", [("", status.expiring_within_24h)]),
        ("next_link_dies_timestamp_seconds", "gauge", "when the first of these dies", _known(status.next_expiry)),
        ("running", "gauge", "1 while a run goes on", [("", int(alive))]),
        ("in_flight", "gauge", "requests under way", _each(status, lambda one: one.in_flight)),
        ("limit", "gauge", "requests at once, as it stands", _each(status, lambda one: one.limit)),
        ("waiting_until_timestamp_seconds", "gauge", "no request before", _each(status, lambda one: one.waiting_until)),
    ]
    lines = []
    for name, kind, words, values in figures:
        lines += [f"# HELP batchgen_{name} {words}", f"# TYPE batchgen_{name} {kind}"]
        lines += [f"batchgen_{name}{label} {value}" for label, value in values]
    return "\n".join(lines) + "\n"


def _each(status: Status, figure: Callable[[ProviderStatus], float | None]) -> list[tuple[str, float]]:
    found = ((name, figure(one)) for name, one in status.providers.items())
    return [(_in("provider", name), value) for name, value in found if value is not None]


def _known(value: float | None) -> list[tuple[str, float]]:
    return [] if value is None else [("", value)]


def _in(name: str, value: str) -> str:
    return f'{{{name}="{_label(value)}"}}'


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def choices(combinations: Sequence[tuple[str, str, str | None]]) -> dict[str, list[str]]:
    """What the filters offer."""
    models, providers, ratios = zip(*combinations, strict=True) if combinations else ((), (), ())
    return {
        "state": [state.value for state in JobState],
        "model": sorted(set(models)),
        "provider": sorted(set(providers)),
        "ratio": sorted({ratio for ratio in ratios if ratio}),
    }
