"""The `--json` answers, as plain values made from ledger records, a plan, a profile or a comparison.

Pure. Keys, their order and the time format (ISO 8601, UTC, whole seconds) are a public promise; every
key is always there, `null` where there is nothing to say; only what is said of an object store is left out of a
batch that has none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batchgen.ledger.records import AttemptRecord, ErrorRecord, JobRecord, OutputRecord, Status
from batchgen.model import JobState, Json, OutputState
from batchgen.providers.prices import written

if TYPE_CHECKING:  # `status` has no use for these, and it is to start at once
    from batchgen.plan import Plan
    from batchgen.providers.profile import ModelRule, Profile
    from batchgen.verify import Comparison


def iso(seconds: float | None) -> str | None:
    """Epoch seconds as `2026-11-20T10:00:00Z`; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def job_answer(record: JobRecord) -> dict[str, Json]:
    """One line of `jobs --json`."""
    job = record.job
    return {
        "id": job.id,
        "state": record.state.value,
        "prompt": job.prompt,
        "model": job.model,
        "provider": record.provider,
        "ratio": job.ratio,
        "cost": _money(record.cost),
        "not_before": iso(record.not_before),
        "error": _error(record.error),
        "warnings": list(record.warnings),
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "outputs": [_output(output) for output in record.outputs],
    }


def status_answer(status: Status) -> dict[str, Json]:
    """`status --json`: every state is named, also those that count nothing."""
    jobs: dict[str, Json] = {"total": sum(status.jobs.values())}
    jobs.update({state.value: status.jobs.get(state, 0) for state in JobState})
    return {
        "jobs": jobs,
        "outputs": {state.value: status.outputs.get(state, 0) for state in OutputState},
        "attempts": status.attempts,
        "cost": _money(status.cost),
        "next_expiry": iso(status.next_expiry),
        "expiring_within_24h": status.expiring_within_24h,
        "providers": {
            name: {
                "in_flight": provider.in_flight,
                "limit": provider.limit,
                "waiting_until": iso(provider.waiting_until),
                "reason": provider.reason,
                "cost": _money(provider.cost),
            }
            for name, provider in status.providers.items()
        },
        "unsettled": {"requests": status.unsettled, "cost": _money(status.unsettled_cost)},
        **({"store": {"reason": status.store_down}} if status.store_down else {}),
    }


def plan_answer(plan: Plan) -> dict[str, Json]:
    """`plan --json`."""
    return {
        "jobs": {
            "new": plan.jobs.new,
            "changed": plan.jobs.changed,
            "unchanged": plan.jobs.unchanged,
            "removed": plan.jobs.removed,
        },
        "requests": plan.requests,
        "images": plan.images,
        "cost": {
            "estimate": _money(plan.cost),
            "unpriced_models": list(plan.unpriced_models),
            "low": _money(plan.low),
            "high": _money(plan.high),
            "spent": _money(plan.spent),
            "max_cost": plan.max_cost,
        },
        "seconds": round(plan.seconds, 1),
        "warnings": list(plan.warnings),
        **({} if plan.shard is None else {"shard": str(plan.shard)}),
    }


def verify_answer(comparison: Comparison) -> dict[str, Json]:
    """`verify --json`: paths relative to the workspace."""
    return {
        "checked": comparison.checked,
        "missing": list(comparison.missing),
        "changed": list(comparison.changed),
        "unknown": list(comparison.unknown),
        "leftovers": list(comparison.leftovers),
    }


def provider_answer(profile: Profile, key_set: bool | None) -> dict[str, Json]:
    """One provider of `providers --json`. `key_set`: a key variable has a value; None: it needs none."""
    limits = profile.limits
    return {
        "base_url": profile.base_url,
        "endpoint": profile.endpoint.value,
        "stream": profile.stream,
        "default_model": profile.default_model,
        "models": [_rule(rule) for rule in profile.models],
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "images_per_minute": limits.images_per_minute,
            "concurrency": limits.concurrency,
        },
        "link_ttl": profile.link_ttl,
        "prices": {model: written(price) for model, price in profile.prices.items()},
        "api_key_env": list(profile.api_key_env),
        "key_set": key_set,
    }


def _rule(rule: ModelRule) -> dict[str, Json]:
    return {
        "model": rule.pattern,
        "ratios": list(rule.ratios),
        "sizes": [f"{width}x{height}" for width, height in rule.sizes],
        "max_images": rule.max_images,
        "min_references": rule.min_references,
        "max_references": rule.max_references,
        "note": rule.note,
    }


def _error(error: ErrorRecord | None) -> Json:
    if error is None:
        return None
    return {"kind": error.kind, "code": error.code, "message": error.message}


def _attempt(attempt: AttemptRecord) -> dict[str, Json]:
    return {
        "number": attempt.number,
        "provider": attempt.provider,
        "task_id": attempt.task_id,
        "gen_id": attempt.gen_id,
        "request_id": attempt.request_id,
        "http_status": attempt.http_status,
        "outcome": attempt.outcome.value,
        "error": _error(attempt.error),
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
    }


def _output(output: OutputRecord) -> dict[str, Json]:
    return {
        "position": output.position,
        "url": output.url,
        "expires_at": iso(output.expires_at),
        "state": output.state.value,
        "path": output.path,
        "sha256": output.sha256,
        "bytes": output.bytes,
        "width": output.width,
        "height": output.height,
        "format": output.format,
        **({"store": output.store} if output.store is not None else {}),
    }


def _money(amount: float | None) -> float | None:
    """Sums of prices without the dust of binary fractions."""
    return None if amount is None else round(amount, 6)
