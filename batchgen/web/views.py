"""What the page shows, as plain values made from ledger records; page.js and the templates know the keys. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from batchgen.answers import status_answer
from batchgen.lanes.orders import PAUSED
from batchgen.ledger.records import JobRecord, OutputRecord, RunRecord, Status
from batchgen.model import JobState, Json, OutputState
from batchgen.progress import wait_text
from batchgen.providers.prices import money_text
from batchgen.summary import Commands, link_warning, reason

_PROMPT: Final = 280
"""Characters of a prompt that a card shows."""


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
    return {
        **status_answer(status),
        "providers": providers,
        "cost_text": money_text(status.cost) if status.cost or not any(status.outputs.values()) else "unknown",
        "alive": alive,
        "paused": alive and any(one.reason == PAUSED for one in status.providers.values()),
        "rate": rate,
        "reason": run.reason if run is not None and not alive else None,
        "links": link_warning(status, commands),
        "rehearsal": status.rehearsal,
    }


def _waits(until: float | None, why: str | None, now: float) -> str:
    if until is not None:
        return f"waiting{wait_text(until, now)}" + (f": {why}" if why else "")
    return why or ""


def metrics(status: Status, alive: bool) -> str:
    """The numbers in Prometheus' text format."""
    lines = ["# TYPE batchgen_jobs gauge"]
    lines += [f'batchgen_jobs{{state="{state.value}"}} {status.jobs.get(state, 0)}' for state in JobState]
    lines.append("# TYPE batchgen_outputs gauge")
    lines += [f'batchgen_outputs{{state="{state.value}"}} {status.outputs.get(state, 0)}' for state in OutputState]
    lines += ["# TYPE batchgen_attempts_total counter", f"batchgen_attempts_total {status.attempts}"]
    lines += ["# TYPE batchgen_cost_total counter", f"batchgen_cost_total {status.cost}"]
    lines += ["# TYPE batchgen_links_expiring gauge", f"batchgen_links_expiring {status.expiring_within_24h}"]
    lines += ["# TYPE batchgen_running gauge", f"batchgen_running {int(alive)}", "# TYPE batchgen_in_flight gauge"]
    for name, one in status.providers.items():
        lines.append(f'batchgen_in_flight{{provider="{_label(name)}"}} {one.in_flight}')
    return "\n".join(lines) + "\n"


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
