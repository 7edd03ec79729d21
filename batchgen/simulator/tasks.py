"""What a provider answers about a task: one of four JSON shapes, queued, running, done or failed; and a page.

Pure. Which shape a task has follows from its id, so that a reader meets all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from batchgen.model import Json
from batchgen.simulator.chat import Told, linked_log, plain_log
from batchgen.simulator.exchange import Reply, as_json, whole

_QUEUED = 0.1
"""share of its time that a task spends in the queue"""


def source(told: Told, now: float) -> Reply:
    """The raw task. `now` is epoch seconds."""
    task_id = told.generation.task_id
    shape = hashlib.blake2b(task_id.encode(), digest_size=1).digest()[0] % len(_SHAPES)
    progress = told.generation.progress(now)
    if shape == 0 and progress < _QUEUED:
        return whole(200, "等待处理中".encode(), "text/plain; charset=utf-8")
    return as_json(_SHAPES[shape](told, progress))


def web(told: Told, now: float) -> Reply:
    """The page for people."""
    done = told.generation.progress(now) >= 1 and not _failed(told)
    pictures = "".join(f'<p><img src="{url.replace("&", "&amp;")}"></p>' for url in told.urls) if done else ""
    text = f"<!doctype html><title>{told.generation.task_id}</title><h1>{_word(told, now)}</h1>{pictures}"
    return whole(200, text.encode(), "text/html; charset=utf-8")


def _word(told: Told, now: float) -> str:
    progress = told.generation.progress(now)
    return "failed" if _failed(told) and progress >= 1 else "succeeded" if progress >= 1 else "running"


def _failed(told: Told) -> bool:
    return "task_failed" in told.generation.faults


def _log(told: Told, progress: float) -> Mapping[str, Json]:
    """(a) the same log that the chat shows, as far as it has come."""
    said = linked_log(told) if told.previews else plain_log(told)
    if progress >= 1 and not _failed(told):
        return {"content": "".join(said.pieces)}
    log = "".join(said.pieces[: 1 + int(progress * (said.finish - 1))])
    return {"content": log + ("\n\n> 生成失败 ❌\n> 失败原因：output_moderation\n" if progress >= 1 else "")}


def _image_task(told: Told, progress: float) -> Mapping[str, Json]:
    """(b) status and urls."""
    task: dict[str, Json] = {"id": told.generation.task_id, "progress": int(progress * 100)}
    if progress < 1:
        return {**task, "status": "queued" if progress < _QUEUED else "processing"}
    if _failed(told):
        return {**task, "status": "failed", "failure_reason": "output_moderation", "urls": []}
    return {**task, "status": "completed", "urls": list(told.urls)}


def _raw(told: Told, progress: float) -> Mapping[str, Json]:
    """(c) the upstream's own task; its progress counts from 0 to 1."""
    generation = told.generation
    width, height = generation.files[0].picture.size
    done = progress >= 1 and not _failed(told)
    running = "queued" if progress < _QUEUED else "running"
    return {
        "id": generation.task_id,
        "created_at": generation.started,
        "status": running if progress < 1 else "succeeded" if done else "failed",
        "progress_pct": None if progress < _QUEUED else round(progress, 2),
        "progress_pos_in_queue": 3 if progress < _QUEUED else None,
        "type": "image_gen",
        "prompt": generation.prompt,
        "n_variants": len(generation.files),
        "width": width,
        "height": height,
        "operation": "simple_compose",
        "inpaint_items": [{"type": "image", "url": link} for link in generation.links],
        "generations": [
            {
                "id": file.gen_id,
                "task_id": generation.task_id,
                "url": url,
                "encodings": {"source": {"path": url}},
                "width": width,
                "height": height,
            }
            for file, url in zip(generation.files, told.urls, strict=True)
            if done
        ],
        "failure_reason": "output_moderation" if _failed(told) and progress >= 1 else None,
        "needs_user_review": False,
    }


def _wrapper(told: Told, progress: float) -> Mapping[str, Json]:
    """(d) a wrapper around (c) that repeats the input, whose pictures are no results."""
    generation = told.generation
    raw = _raw(told, progress)
    status = "pending" if progress < 1 else "failed" if _failed(told) else "completed"
    images = list(generation.links) or [f"{told.base}/cdn/20260101/the-users-own-picture.png"]
    detail: dict[str, Json] = {
        "id": generation.task_id,
        "input": {"prompt": generation.prompt, "images": images},
        "status": status,
    }
    detail.update({"pending_info": raw} if progress < 1 else {**raw, "status": status})
    return {
        "id": f"{generation.model}:{generation.task_id}",
        "detail": detail,
        "status": status,
        "status_update_time": int((generation.started + generation.duration * progress) * 1000),
    }


_SHAPES: tuple[Callable[[Told, float], Mapping[str, Json]], ...] = (_log, _image_task, _raw, _wrapper)
