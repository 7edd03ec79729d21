"""The commands that move jobs, attempts and outputs. Each runs inside one transaction of the writer.

Every UPDATE names the state it expects; when no row fits, `IllegalStep` is raised and the
command leaves no trace. An attempt of an earlier round is recorded without touching the job.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import count

from batchgen.errors import JobError
from batchgen.events import Generated, RemoteImage, Replied, Saved
from batchgen.images.remarks import NEAR, bits_apart, numbered
from batchgen.ledger.chains import LOST, revive_children
from batchgen.ledger.records import Ending, ErrorRecord, Unpriced
from batchgen.ledger.rows import Params, dump, error_params, route_of, signature
from batchgen.ledger.statements import SQL
from batchgen.ledger.states import IllegalStep, Tallied, Withdrawn, require_step, state_by_outputs
from batchgen.model import JobState, Outcome, OutputState
from batchgen.providers.costs import perhaps_billed

_REPLY_BYTES = 64 * 1024


def begin_attempt(db: sqlite3.Connection, key: int, params: Params) -> int:
    """pending → running, with an open attempt row: the row that must be there before the request leaves.

    Raises `Withdrawn` for a job that the user cancelled since it was claimed.
    """
    if db.execute(SQL["start_job"], {**params, "key": key}).rowcount != 1:
        if _job(db, key)["state"] == JobState.CANCELLED:
            raise Withdrawn(f"job {key} was cancelled")
        raise IllegalStep(f"job {key} is not pending")
    attempt_id: int = db.execute(SQL["add_attempt"], {**params, "key": key}).fetchone()[0]
    return attempt_id


def task_seen(db: sqlite3.Connection, attempt_id: int, task_id: str) -> None:
    """The provider named its task."""
    _change(db, "note_task", {"attempt": attempt_id, "task_id": task_id}, f"no attempt {attempt_id}")


def replied(db: sqlite3.Connection, attempt_id: int, reply: Replied, at: float) -> None:
    """A reply came; its text is cut at 64 KiB."""
    told: Params = {"attempt": attempt_id, "status": reply.status, "request_id": reply.request_id}
    _change(db, "note_reply", told, f"no attempt {attempt_id}")
    _keep_reply(db, attempt_id, reply, at)


def _keep_reply(db: sqlite3.Connection, attempt_id: int, reply: Replied, at: float) -> None:
    cut = reply.text.encode("utf-8", "replace")[:_REPLY_BYTES].decode("utf-8", "ignore")
    db.execute(SQL["keep_reply"], {"attempt": attempt_id, "text": cut, "at": at})


def generated(
    db: sqlite3.Connection, attempt_id: int, result: Generated, at: float, cost: float | None
) -> JobState:
    """The attempt brought images. Also for an attempt that ended without, when its reply is read again."""
    attempt = _attempt(db, attempt_id)
    expected = Outcome(attempt["outcome"])
    if expected is Outcome.SUCCEEDED:
        raise IllegalStep(f"attempt {attempt_id} has its images already")
    if result.reply is not None:
        _keep_reply(db, attempt_id, result.reply, at)
    key: int = attempt["job"]
    if expected is not Outcome.OPEN:
        db.execute(SQL["supersede_lost"], {"key": key})
    ended: Params = {
        "attempt": attempt_id,
        "expected": expected,
        "at": at,
        "cost": cost,
        "status": None if result.reply is None else result.reply.status,
        "request_id": None if result.reply is None else result.reply.request_id,
        "gen_id": result.gen_id,
        "usage": result.usage,
        "images": len(result.images),
    }
    _change(db, "attempt_succeeded", ended, f"attempt {attempt_id} is not {expected}")
    _add_outputs(db, attempt, result.images)
    if cost is not None:
        db.execute(SQL["charge_job"], {"key": key, "cost": cost})
    job = _job(db, key)
    if job["round"] == attempt["round"]:
        new = state_by_outputs(_outputs_now(db, job), job["wanted"])
        # A reply read again helps only when it completes the job: what failed is not sent again by it.
        if expected is Outcome.OPEN or new is JobState.GENERATED:
            move(db, job, new, clean=True)
            return new
    return JobState(job["state"])


def settle(db: sqlite3.Connection, attempt_id: int, ending: Ending, at: float) -> None:
    """An open attempt ends without images, and its job goes where the runner decided."""
    attempt = _attempt(db, attempt_id)
    if ending.reply is not None:
        replied(db, attempt_id, ending.reply, at)
    error = error_params(ending.error)
    ended: Params = {
        **error,
        "unsettled": perhaps_billed(ending.outcome, ending.error),
        "attempt": attempt_id,
        "outcome": ending.outcome,
        "at": at,
        "counted": ending.counted,
        "status": ending.error.status,
        "request_id": ending.error.request_id,
    }
    _change(db, "attempt_ended", ended, f"attempt {attempt_id} is not open")
    job = _job(db, attempt["job"])
    if job["round"] != attempt["round"]:
        return
    require_step(job["id"], JobState(job["state"]), ending.state)
    settled: Params = {
        **error,
        "key": job["key"],
        "state": ending.state,
        "not_before": ending.not_before,
        "more_tries": ending.counted - attempt["counted"],
        "signature": signature(ending.error),
        "counted": ending.counted,
        "route": None if ending.route is None else route_of(ending.route),
    }
    if ending.route is not None:
        db.execute(SQL["keep_route"], {"route": settled["route"]})
    _change(db, "settle_job", settled, f"job {job['id']!r} is not running")


def price(db: sqlite3.Connection, late: Unpriced, cost: float | None, reserved: float | None) -> None:
    """A price became known after the request: what it cost, or may have cost."""
    params: Params = {"attempt": late.attempt_id, "cost": cost, "reserved": reserved}
    _change(db, "price_attempt", params, f"no attempt {late.attempt_id}")
    if cost is not None:
        db.execute(SQL["charge_job"], {"key": late.key, "cost": cost})


def keep_open(
    db: sqlite3.Connection, attempt_id: int, error: JobError, at: float, reply: Replied | None = None
) -> None:
    """Note an error, and the reply before it, on an attempt whose task is still being asked."""
    if reply is not None:
        replied(db, attempt_id, reply, at)
    params: Params = {**error_params(error), "attempt": attempt_id, "at": at}
    _change(db, "attempt_kept_open", params, f"attempt {attempt_id} is not open")


def end_pending(db: sqlite3.Connection, key: int, state: JobState, error: ErrorRecord | JobError) -> None:
    """A pending job ends without an attempt: `cancelled` or `failed`."""
    job = _job(db, key)
    require_step(job["id"], JobState(job["state"]), state)
    params: Params = {**error_params(error), "key": key, "state": state}
    _change(db, "end_pending", params, f"job {job['id']!r} is not pending")


def saved(db: sqlite3.Connection, output_id: int, file: Saved, at: float) -> JobState:
    """The file of an output is on disk. Its likeness to one that came before is remarked."""
    look = None if file.look is None else int.from_bytes(bytes.fromhex(file.look), signed=True)
    came = file.came or file.sha256
    likeness = _likeness(db, {"output": output_id, "came": came, "look": look})
    output = _one(db, "output", {"output": output_id}, f"no output {output_id}")
    job = _job(db, output["job"])
    params: Params = {
        "came": came,
        "look": look,
        "warnings": dump(numbered((*file.warnings, *likeness), output["position"], job["wanted"])),
        "output": output_id,
        "path": file.path,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "width": file.width,
        "height": file.height,
        "format": file.format,
        "store": file.store,
        "at": at,
    }
    if file.store is not None:
        db.execute(SQL["keep_store"], {"store": file.store})
    _change(db, "output_saved", params, f"output {output_id} is not remote")
    return _after_download(db, output, job)


def _likeness(db: sqlite3.Connection, output: Params) -> list[str]:
    """The first saved image with the same bytes, else the first that looks the same."""
    twin = db.execute(SQL["same_bytes"], output).fetchone()
    if twin is not None:
        return [f"same bytes as job {twin['job']} image {twin['position']}"]
    look = output["look"]
    if not isinstance(look, int):
        return []
    for row in db.execute(SQL["like_looks"], output):
        if bits_apart(row["look"], look) <= NEAR:
            return [f"looks like job {row['job']} image {row['position']}"]
    return []


def output_failed(db: sqlite3.Connection, output_id: int, error: JobError, params: Params) -> JobState:
    """A download failed: `remote` to try again later, `expired` or `bad` for good."""
    if params["state"] == OutputState.SAVED:
        raise IllegalStep(f"output {output_id} can't fail into saved")
    _change(
        db,
        "output_failed",
        {**params, **error_params(error), "output": output_id},
        f"output {output_id} is not remote",
    )
    output = _one(db, "output", {"output": output_id}, f"no output {output_id}")
    return _after_download(db, output, _job(db, output["job"]))


def lost(db: sqlite3.Connection, output_id: int) -> bool:
    """A saved file is gone from the disk: fetch it again from its link. False when it has none."""
    if db.execute(SQL["output_lost"], {"output": output_id}).rowcount != 1:
        return False
    output = db.execute(SQL["output"], {"output": output_id}).fetchone()
    job = _job(db, output["job"])
    if job["state"] == JobState.DONE and output["round"] == job["round"] and not output["superseded"]:
        move(db, job, JobState.GENERATED)
    return True


def fresh_links(db: sqlite3.Connection, attempt_id: int, images: Sequence[RemoteImage]) -> bool:
    """New links for the unsaved outputs of an attempt, in order; whether any was renewed."""
    attempt = _attempt(db, attempt_id)
    rows = db.execute(SQL["links_of_attempt"], {"attempt": attempt_id, "key": attempt["job"]}).fetchall()
    renewed = False
    for row, image in zip(rows, images, strict=False):
        if row["state"] in (OutputState.REMOTE, OutputState.EXPIRED):
            db.execute(SQL["fresh_link"], {**_link(image), "output": row["id"]})
            renewed = True
    job = _job(db, attempt["job"])
    if renewed and job["round"] == attempt["round"] and job["state"] == JobState.EXPIRED:
        move(db, job, JobState.GENERATED, clean=True)
    return renewed


def add_round(db: sqlite3.Connection, identity: Params) -> int:
    """A new round for a job (`key`) with that `fingerprint`; returns its number. The one it leaves is kept."""
    db.execute(SQL["keep_round"], identity)
    number: int = db.execute(SQL["add_round"], identity).fetchone()[0]
    return number


def count_outputs(db: sqlite3.Connection, place: Params) -> Tallied:
    """The outputs of a job (`key`) in a `round`, by state."""
    row = db.execute(SQL["count_outputs"], place).fetchone()
    return Tallied(**{name: row[name] or 0 for name in ("remote", "saved", "expired", "bad")})


def _outputs_now(db: sqlite3.Connection, job: sqlite3.Row) -> Tallied:
    return count_outputs(db, {"key": job["key"], "round": job["round"]})


def _after_download(db: sqlite3.Connection, output: sqlite3.Row, job: sqlite3.Row) -> JobState:
    """The state of a job one of whose outputs has just settled."""
    old = JobState(job["state"])
    if old is not JobState.GENERATED or output["round"] != job["round"] or output["superseded"]:
        return old
    new = state_by_outputs(_outputs_now(db, job), job["wanted"])
    if new is old:
        return old
    move(db, job, new)
    if new is not JobState.DONE:
        lost = db.execute(SQL["lost_output"], {"key": job["key"], "round": job["round"]}).fetchone()
        db.execute(SQL["note_error"], {**dict(lost), "key": job["key"]})
    return new


def _add_outputs(db: sqlite3.Connection, attempt: sqlite3.Row, images: Sequence[RemoteImage]) -> None:
    place: Params = {"key": attempt["job"], "round": attempt["round"]}
    taken = {row["position"] for row in db.execute(SQL["taken_positions"], place)}
    free = (position for position in count() if position not in taken)
    for position, image in zip(free, images, strict=False):
        params: Params = {**place, **_link(image), "attempt": attempt["id"], "position": position}
        db.execute(SQL["add_output"], params)


def _link(image: RemoteImage) -> Params:
    return {
        "url": image.url,
        "alternatives": dump(image.alternatives),
        "spool": image.spool,
        "expires_at": image.expires_at,
    }


def move(db: sqlite3.Connection, job: sqlite3.Row, new: JobState, *, clean: bool = False) -> None:
    """Bring a job from the state of its row to a new one, and its children with it; `clean` forgets its failures."""
    old = JobState(job["state"])
    require_step(job["id"], old, new)
    params: Params = {"key": job["key"], "old": old, "new": new}
    _change(db, "move_clean" if clean else "move_job", params, f"job {job['id']!r} is not {old}")
    if old in LOST:
        revive_children(db, job["key"])


def _job(db: sqlite3.Connection, key: int) -> sqlite3.Row:
    return _one(db, "job", {"key": key}, f"no job {key}")


def _attempt(db: sqlite3.Connection, attempt_id: int) -> sqlite3.Row:
    return _one(db, "attempt", {"attempt": attempt_id}, f"no attempt {attempt_id}")


def _one(db: sqlite3.Connection, name: str, params: Params, otherwise: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(SQL[name], params).fetchone()
    if row is None:
        raise IllegalStep(otherwise)
    return row


def _change(db: sqlite3.Connection, name: str, params: Params, otherwise: str) -> None:
    if db.execute(SQL[name], params).rowcount != 1:
        raise IllegalStep(otherwise)
