"""Reads a provider's task page: still running, finished with images, or failed.

Six shapes are known and none is promised, so the reader looks for a few names and tolerates the
rest. Pictures that were sent *in* (`request`, `detail.input`, `inpaint_items`) are never results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from batchgen.codecs.base import Answer, Found
from batchgen.codecs.content import Reading, read
from batchgen.codecs.faults import tidy
from batchgen.codecs.inline import payload
from batchgen.codecs.links import is_video
from batchgen.codecs.phrases import meaning
from batchgen.codecs.sse import loads
from batchgen.errors import JobError, NotThereYet, Refused, Saturated, TaskFailed
from batchgen.model import Json

DONE = frozenset({"completed", "complete", "succeeded", "succeed", "success", "done", "finished"})
FAILED = frozenset(
    {"failed", "failure", "fail", "error", "cancelled", "canceled", "timeout", "expired"}
    | {"rejected", "violation", "blocked"}
)
RUNNING = frozenset(
    {
        "queued",
        "pending",
        "processing",
        "running",
        "in_progress",
        "submitted",
        "queueing",
        "generating",
        "starting",
    }
)
_REFUSING = frozenset({"violation", "blocked"})
_REASONS = ("failure_reason", "fail_reason", "error_message", "error", "message", "msg")
# Where one task page wraps another. `request`, `input` and the like are not among them.
_WRAPS = ("detail", "pending_info", "content", "data", "task", "result")
_MODERATION = re.compile(r"moderation|policy|violat|safety|sensitive|nsfw|审核|违规|违反|敏感", re.IGNORECASE)
_GONE = re.compile(r"not[ _]found|not exist|no such task|unknown task|不存在|未找到|invalid task", re.IGNORECASE)
_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Running:
    """The task has not ended; `progress` in per cent when the page says so."""

    progress: int | None


def task_address(template: str, task_id: str) -> str:
    """The URL of a task: `{task_id}` replaced by the id, quoted so that it stays one step of the path."""
    # A step of dots alone would climb up; no id looks like that.
    safe = quote(task_id, safe=":") if task_id.strip(".") else quote(task_id, safe="").replace(".", "%2E")
    return template.replace("{task_id}", safe)


def read_task(body: bytes) -> Answer | Running:
    """Read a task page. Raises TaskFailed or Refused for a task that ended without an
    image, NotThereYet when the page says that it does not know the task."""
    readable, value = loads(body.decode("utf-8", "replace"))
    if not readable or not isinstance(value, Mapping):
        # A page that is not JSON (yet) is no verdict: the gateway writes it when the task ends.
        return Running(None)
    return read_value(value)


def read_value(value: Mapping[str, Json]) -> Answer | Running:
    """As `read_task`, for JSON that was read already."""
    frames = list(_frames(value, 0))
    status = next((word for frame in frames if (word := _status(frame)) is not None), None)
    log = _log(frames)
    if status in FAILED:
        raise _failure(frames, status)
    images = () if status in RUNNING else (_images(frames) or (log.images if log else ()))
    if images:
        return Answer(images=images, task_id=_task_id(frames), gen_id=_gen_id(frames) or (log.gen_id if log else None))
    if log is not None and log.failed and log.leaf is not Saturated:
        raise (Refused if log.leaf is Refused else TaskFailed)(tidy(log.reason or log.said))
    if status in DONE:
        raise _failure(frames, status)
    reason = _reason(frames)
    if status is None and _GONE.search(reason):
        raise NotThereYet(tidy(f"task: {reason}"))
    if status is None and _MODERATION.search(reason):
        raise _failure(frames, "error")
    return Running(_progress(frames, log))


def _frames(value: Mapping[str, Json], depth: int) -> Iterator[Mapping[str, Json]]:
    """The page and the pages wrapped in it, outermost first."""
    yield value
    if depth < _DEPTH:
        for name in _WRAPS:
            if isinstance(inner := value.get(name), Mapping):
                yield from _frames(inner, depth + 1)


def _status(frame: Mapping[str, Json]) -> str | None:
    for name in ("status", "task_status", "state"):
        word = frame.get(name)
        if isinstance(word, str) and (low := word.strip().lower()) in DONE | FAILED | RUNNING:
            return low
    return None


def _log(frames: Sequence[Mapping[str, Json]]) -> Reading | None:
    text = next((text for frame in frames if isinstance(text := frame.get("content"), str) and text.strip()), None)
    return read(text) if text is not None else None


def _images(frames: Sequence[Mapping[str, Json]]) -> tuple[Found, ...]:
    generations = [group for frame in frames for group in _generations(frame)]
    for frame in frames:
        if urls := _urls(frame.get("urls")):
            # The generations are the same pictures under their first address, when they are as many.
            same = generations if len(generations) == len(urls) else [()] * len(urls)
            return _grouped([(url, *others) for url, others in zip(urls, same, strict=True)])
    if generations:
        return _grouped(generations)
    for frame in frames:
        if urls := [*_urls(frame.get("url")), *_urls(frame.get("items")), *_urls(frame.get("results"))]:
            return _grouped([(url,) for url in urls])
    return ()


def _generations(frame: Mapping[str, Json]) -> list[tuple[str, ...]]:
    """One group of addresses a picture: its `url`, then the source encoding; else each `img_paths`."""
    listed = frame.get("generations")
    groups: list[tuple[str, ...]] = []
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, Mapping):
            continue
        encodings = item.get("encodings")
        source = encodings.get("source") if isinstance(encodings, Mapping) else None
        path = source.get("path") if isinstance(source, Mapping) else None
        if group := [*_urls(item.get("url")), *_urls(path)]:
            groups.append(tuple(group))
        else:
            groups += [(url,) for url in _urls(item.get("img_paths"))]
    return groups


def _urls(value: Json) -> list[str]:
    """Links in a string, a list of strings or a list of objects with `url`; films are left out."""
    items = value if isinstance(value, list) else [value]
    urls = []
    for item in items:
        url = item.get("url") if isinstance(item, Mapping) else item
        if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://", "data:")) and not is_video(url):
            urls.append(url.strip())
    return urls


def _grouped(groups: Sequence[tuple[str, ...]]) -> tuple[Found, ...]:
    found: dict[str, Found] = {}
    for group in groups:
        first, *others = dict.fromkeys(group)
        if first.startswith("data:"):
            inline = payload(first)
            if inline is not None:
                found.setdefault(first, Found(None, inline=inline))
        else:
            found.setdefault(first, Found(first, tuple(other for other in others if other.startswith("http"))))
    return tuple(found.values())


def _failure(frames: Sequence[Mapping[str, Json]], status: str) -> JobError:
    reason = _reason(frames)
    refused = status in _REFUSING or any(_unsafe(frame) for frame in frames)
    if reason:
        known = meaning(reason)
        refused = refused or bool(_MODERATION.search(reason)) or (known is not None and known.leaf.refused)
    text = reason or ("ended without an image" if status in DONE else status)
    return (Refused if refused else TaskFailed)(tidy(f"task: {text}"))


def _unsafe(frame: Mapping[str, Json]) -> bool:
    count = frame.get("num_unsafe_generations")
    if isinstance(count, int) and count > 0:
        return True
    judged = frame.get("moderation_result")
    if not isinstance(judged, Mapping):
        return False
    return judged.get("is_output_rejection") is True or judged.get("type") not in (None, "", "passed")


def _reason(frames: Sequence[Mapping[str, Json]]) -> str:
    for frame in frames:
        for name in _REASONS:
            value = frame.get(name)
            if isinstance(value, Mapping):
                value = value.get("message") or value.get("code")
            if isinstance(value, str) and value.strip() and value.strip().lower() not in DONE | {"ok"}:
                return value.strip()
    return ""


def _task_id(frames: Sequence[Mapping[str, Json]]) -> str | None:
    for frame in frames:
        for name in ("task_id", "id"):
            if isinstance(value := frame.get(name), str) and value:
                return value[:200]
    return None


def _gen_id(frames: Sequence[Mapping[str, Json]]) -> str | None:
    for frame in frames:
        listed = frame.get("generations")
        for item in listed if isinstance(listed, list) else []:
            if isinstance(item, Mapping) and isinstance(found := item.get("id"), str) and found.startswith("gen_"):
                return found[:200]
    return None


def _progress(frames: Sequence[Mapping[str, Json]], log: Reading | None) -> int | None:
    for frame in reversed(frames):
        share = frame.get("progress_pct")
        if isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 100:
            return round(share * 100) if share <= 1 else round(share)
        told = frame.get("progress")
        if isinstance(told, str) and (number := re.match(r"\s*(\d{1,3})", told)):
            told = int(number.group(1))
        if isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= 100:
            return round(told)
    return log.progress[-1] if log is not None and log.progress else None
