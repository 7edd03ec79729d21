"""Jobs to columns and rows back to frozen values: the only place that knows both shapes. Pure."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from math import ceil
from operator import attrgetter
from typing import Any, TypeAlias, cast

from batchgen.errors import JobError
from batchgen.ledger.kept import SavedReply
from batchgen.ledger.records import (
    AttemptRecord,
    DueOutput,
    ErrorRecord,
    Filter,
    JobRecord,
    OpenAttempt,
    Origin,
    OutputRecord,
    Outstanding,
    Unpriced,
)
from batchgen.model import NEXT, Entry, Job, JobState, Json, Outcome, OutputState

Value: TypeAlias = int | float | str | None
Params: TypeAlias = dict[str, Value]
Rows: TypeAlias = Iterable[sqlite3.Row]
Fields: TypeAlias = dict[str, Any]  # Any: what a column holds is known where it is taken out

ONLY_ASKED = 2
"""In `attempts.asked_again`: opened again to ask for its task, and for nothing else."""

# One encoder: `json.dumps` with options makes a new one a call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_IN_REQUEST = ("size", "quality", "output_format", "output_compression", "background", "mask")
_request_values = attrgetter(*_IN_REQUEST)


def dump(value: Json) -> str:
    """Compact JSON that a reader of the file can read."""
    return _ENCODER.encode(value)


def alike_values(entry: Entry) -> tuple[Value, ...]:
    """The columns of `jobs` that jobs alike but for id and prompt share, in the order of the table `kinds`."""
    job = entry.like
    plain = not (job.references or job.meta or job.params or job.models or job.after_image)
    return (
        job.provider[0],
        _dumptexts(job.provider),
        route_of(job.provider),
        job.model,
        job.ratio,
        _plain_request(*_request_values(job)) if plain else _request(job),
        job.after,
        job.n,
        _dumptexts(entry.warnings),
        int(entry.apart),
    )


def _request(job: Job) -> str:
    """The column `request`: whatever else the job says."""
    request: dict[str, Json] = {
        name: value for name, value in zip(_IN_REQUEST, _request_values(job), strict=True) if value is not None
    }
    if job.after_image:
        request["after_image"] = job.after_image
    if job.references:
        request["references"] = job.references
    if job.meta:
        request["meta"] = job.meta
    if job.params:
        request["params"] = job.params
    if job.models:
        request["models"] = job.models
    return dump(request)


@lru_cache
def _dumptexts(texts: tuple[str, ...]) -> str:
    return dump(texts)


@lru_cache
def _plain_request(*values: str | int | None) -> str:
    """The column `request` of a job that says no more than these; most jobs share it with others."""
    return dump({name: value for name, value in zip(_IN_REQUEST, values, strict=True) if value is not None})


def fields(row: sqlite3.Row) -> Fields:
    """The columns by name. A row itself compares the names of all its columns at each look."""
    return dict(zip(row.keys(), row, strict=True))


def job_of(row: Fields, *, own: bool = False) -> Job:
    """The job as the manifest meant it when the ledger last read it. `own`: its mappings are nobody else's."""
    text = row["request"]
    request = json.loads(text) if own or len(text) > _SHORT else _loaded(text)
    return Job(
        id=row["id"],
        prompt=row["prompt"],
        provider=texts(row["providers"]),
        model=row["model"],
        ratio=row["ratio"],
        n=row["wanted"],
        after=row["parent"],
        after_image=request.get("after_image", 0),
        references=tuple(request.get("references", ())),
        meta=cast(Mapping[str, Json], request.get("meta", {})),
        params=cast(Mapping[str, Json], request.get("params", {})),
        models=cast(Mapping[str, str], request.get("models", {})),
        **{name: request.get(name) for name in _IN_REQUEST},
    )


_SHORT = 4096
"""Characters of a `request` that is remembered: with a data URL in it, it may be megabytes."""


@lru_cache
def _loaded(request: str) -> Mapping[str, Any]:
    """The column `request`; most jobs share it with others, and nobody here changes what is in it."""
    loaded: Mapping[str, Any] = json.loads(request)
    return loaded


STORE_DOWN = "store_down"
"""The note that says why images wait in the workspace for their object store; empty when they don't."""


def route_of(providers: Iterable[str]) -> str:
    """How the ledger writes the providers that a job may go to: `apiyi > tu-zi`."""
    return NEXT.join(providers)


def providers_of(route: str) -> tuple[str, ...]:
    """The providers of a route, first one first."""
    return tuple(route.split(NEXT))


def outstanding(row: sqlite3.Row) -> Outstanding:
    """A row of `outstanding`."""
    prompt = "x" * ceil(row["prompt_bytes"] / row["jobs"])
    return Outstanding(
        job=replace(job_of(fields(row)), prompt=prompt),
        missing=row["missing"],
        warnings=texts(row["warnings"]),
        count=row["jobs"],
    )


def error_params(error: JobError | ErrorRecord | None) -> Params:
    """The three error columns; all NULL for None."""
    if error is None:
        return {"error_kind": None, "error_code": None, "error_message": None}
    return {"error_kind": error.kind, "error_code": error.code, "error_message": error.message}


def signature(error: JobError) -> str:
    """What makes two errors of a job the same error."""
    return f"{error.kind}|{error.code or ''}|{error.message}"


def job_record(row: sqlite3.Row, attempts: Rows, outputs: Rows) -> JobRecord:
    """A row of `jobs` with its rows of `attempts` and `outputs`, each in order."""
    attempts, outputs = tuple(attempts), tuple(outputs)
    numbers = {attempt["id"]: attempt["number"] for attempt in attempts}
    remarks = [texts(one["warnings"]) for one in outputs if one["round"] == row["round"] and not one["superseded"]]
    return JobRecord(
        # It goes to whoever uses the library, and may be changed there.
        job=job_of(fields(row), own=True).at(row["served_by"] or row["provider"]),
        state=JobState(row["state"]),
        provider=row["served_by"] or row["provider"],
        cost=row["cost"],
        not_before=row["not_before"],
        error=_error(row),
        warnings=tuple(chain(texts(row["warnings"]), *remarks)),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        outputs=tuple(_output(output, numbers[output["attempt"]]) for output in outputs),
        waits_for=row["parent"] if row["blocked"] and row["state"] == JobState.PENDING else None,
    )


def open_attempt(row: sqlite3.Row) -> OpenAttempt:
    """A row of `open_attempts`."""
    return OpenAttempt(
        attempt_id=row["attempt_id"],
        key=row["key"],
        job=job_of(fields(row)).at(row["attempt_provider"]),
        provider=row["attempt_provider"],
        task_id=row["task_id"],
        started_at=row["started_at"],
        tries=row["tries"] - row["counted"],
        reserved=row["reserved"],
        only_ask=row["asked_again"] == ONLY_ASKED,
    )


def unpriced(row: sqlite3.Row) -> Unpriced:
    """A row of `page_of_unpriced`."""
    delivered = Outcome(row["outcome"]) is Outcome.SUCCEEDED
    return Unpriced(
        attempt_id=row["attempt_id"],
        key=row["key"],
        job=job_of(fields(row)),
        provider=row["attempt_provider"],
        images=row["images"] if delivered else None,
        usage=row["usage"],
    )


def due_output(row: sqlite3.Row) -> DueOutput:
    """A row of `due_outputs` or `retried_outputs`."""
    told = fields(row)
    first = () if told["url"] is None else (told["url"],)
    return DueOutput(
        output_id=told["output_id"],
        key=told["key"],
        job=job_of(told).at(told["attempt_provider"]),
        provider=told["attempt_provider"],
        position=told["output_position"],
        round=told["output_round"],
        urls=first + texts(told["alternatives"]),
        spool=told["spool"],
        expires_at=told["expires_at"],
        tries=told["output_tries"],
        task_id=told["task_id"],
        attempt_id=told["attempt_id"],
        gen_id=told["gen_id"],
        request_id=told["request_id"],
        delivered_at=told["finished_at"],
        apart=bool(told["apart"]),
    )


def origin_of(row: sqlite3.Row) -> Origin:
    """A row of `origin`."""
    return Origin(
        job=job_of(fields(row)).at(row["attempt_provider"]),
        path=row["path"],
        store=row["address"],
        provider=row["attempt_provider"],
        gen_id=row["gen_id"],
        images=row["images"],
        reply=row["reply"],
    )


def saved_reply(row: sqlite3.Row) -> SavedReply:
    """A row of `reply` or `page_of_replies`."""
    return SavedReply(
        attempt_id=row["attempt_id"],
        key=row["key"],
        job=job_of(fields(row)).at(row["attempt_provider"]),
        state=JobState(row["state"]),
        provider=row["attempt_provider"],
        outcome=Outcome(row["outcome"]),
        http_status=row["http_status"],
        task_id=row["task_id"],
        text=row["text"],
        received_at=row["received_at"],
        reserved=row["reserved"],
    )


def _attempt(row: sqlite3.Row) -> AttemptRecord:
    return AttemptRecord(
        number=row["number"],
        provider=row["provider"],
        task_id=row["task_id"],
        gen_id=row["gen_id"],
        request_id=row["request_id"],
        http_status=row["http_status"],
        outcome=Outcome(row["outcome"]),
        error=_error(row),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cost=row["cost"],
        asked_again=bool(row["asked_again"]),
    )


def _output(row: sqlite3.Row, attempt: int) -> OutputRecord:
    return OutputRecord(
        position=row["position"],
        url=row["url"],
        expires_at=row["expires_at"],
        state=OutputState(row["state"]),
        path=row["path"],
        store=row["address"],
        sha256=row["sha256"],
        bytes=row["bytes"],
        width=row["width"],
        height=row["height"],
        format=row["format"],
        error=_error(row),
        second_chance=bool(row["second_chance"]),
        attempt=attempt,
        settled_at=row["settled_at"],
        tries=row["tries"],
        not_before=row["not_before"],
    )


def _error(row: sqlite3.Row) -> ErrorRecord | None:
    if row["error_kind"] is None:
        return None
    return ErrorRecord(row["error_kind"], row["error_code"], row["error_message"])


@lru_cache
def texts(text: str) -> tuple[str, ...]:
    """A JSON list of texts."""
    return tuple(json.loads(text))


def glob(pattern: str | None) -> str | None:
    """A shell pattern in SQLite's spelling, which negates a set with `^`."""
    return None if pattern is None else pattern.replace("[!", "[^")


def containing(words: str | None) -> str | None:
    """A pattern of LIKE for a text with these words somewhere in it, in large or small letters."""
    return None if words is None else "%" + re.sub(r"([\\%_])", r"\\\1", words) + "%"


def filter_params(chosen: Filter) -> Params:
    """The parameters of every statement that takes a `Filter`."""
    return {
        "states": dump(sorted(chosen.states)) if chosen.states else None,
        "error": glob(chosen.error),
        "provider": glob(chosen.provider),
        "model": glob(chosen.model),
        "id": glob(chosen.id_glob),
        "warned": int(chosen.warned),
        "ratio": chosen.ratio,
        "words": containing(chosen.words),
    }
