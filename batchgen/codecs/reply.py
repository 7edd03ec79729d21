"""The decoder of every reply: sniffs what really came, collects it, and judges it at the end.

A server may answer a stream with one JSON object and the other way round, on either door, so the
first bytes decide and all shapes are known here. A 200, `[DONE]` and `stop` prove nothing: only an
image is success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from batchgen.codecs.base import Answer, Fact, Found
from batchgen.codecs.chat import read_candidates, read_choices
from batchgen.codecs.content import Reading, Watch, find_task_id, read
from batchgen.codecs.faults import classify_error, tidy
from batchgen.codecs.harvest import Harvest
from batchgen.codecs.images import read_data, read_event
from batchgen.codecs.inline import KEPT_BYTES, kept_json, kept_text
from batchgen.codecs.lifted import identity, read_lifted
from batchgen.codecs.sse import DONE, Event, Events
from batchgen.codecs.tasks import Running, read_value
from batchgen.errors import (
    Disposition,
    EmptyReply,
    Interrupted,
    JobError,
    NoImage,
    Refused,
    Saturated,
    Unfinished,
    Unreadable,
)
from batchgen.events import Progress, TaskSeen
from batchgen.model import Json

_FIELD = re.compile(rb"(?::|(?:data|event|id|retry)\s?:)")
_SAFETY = re.compile(r"safety|prohibited|content_filter|blocklist|recitation|spii|moderation", re.IGNORECASE)
_TASK_PAGE = re.compile(r"https?://[^\s\"]{1,200}/(?:web|source|api/share)/")
_ERROR_ONLY = frozenset({"message", "msg", "detail", "code", "success", "request_id", "data"})
_CODES_OK = (0, 200, "0", "200", "success", "ok", None)


class ReplyDecoder:
    """A `Decoder` (codecs/base.py) for both doors."""

    def __init__(self, content_type: str) -> None:
        self._streamed = "event-stream" in content_type.lower()
        self._head = bytearray()
        self._body: bytearray | None = None
        self._events: Events | None = None
        self._raw = bytearray()
        self._raw_whole = True
        self._harvest = Harvest()
        self._watch = Watch()
        self._value: Json = None
        self._task_told = False
        self._percent = -1
        self._inline = False

    @property
    def task_id(self) -> str | None:
        """The provider's task id seen so far."""
        return self._watch.task_id or self._harvest.task_id

    def feed(self, data: bytes) -> list[Fact]:
        """Take the next bytes; returns each new fact once."""
        if self._body is not None:
            self._body += data
            return []
        if self._events is None:
            self._head += data
            if not self._sniff(over=False):
                return []
            data, self._head = bytes(self._head), bytearray()
            if self._body is not None:
                self._body += data
                return []
        return self._stream(data)

    def finish(self) -> Answer:
        """The images of the whole reply, or the leaf that says why there are none."""
        self._close()
        reading = read(self._harvest.text(), whole=self._harvest.ended)
        images = self._images(reading)
        if images:
            usage = self._harvest.usage
            return Answer(
                images=images,
                task_id=self.task_id or reading.task_id,
                gen_id=reading.gen_id,
                usage=json.dumps(usage, ensure_ascii=False) if usage else None,
            )
        if self._harvest.task_id is None:
            self._harvest.task_id = reading.task_id
        raise self._why_none(reading)

    def words(self) -> str:
        """What the assistant said in the whole reply, word for word: its first choice."""
        self._close()
        return "".join(self._harvest.texts.get(0, ()))

    def _close(self) -> None:
        """The body is complete: take in what is left of it."""
        if self._events is None and self._body is None:
            self._sniff(over=True)
            data, self._head = bytes(self._head), bytearray()
            if self._body is not None:
                self._body += data
            else:
                self._stream(data)
        if self._events is not None:
            for event in self._events.close():
                self._take_event(event)
        elif self._body is not None:
            self._take_body(self._body)

    def kept(self) -> str:
        """The reply as text without base64. A long stream is kept folded into one answer of its kind."""
        if self._body is not None:
            if isinstance(self._value, Mapping | list):
                return kept_json(self._value)
            return kept_text(self._body[: 64 * KEPT_BYTES].decode("utf-8", "replace"))
        text = self._harvest.text()
        if self._raw_whole and not self._inline and "base64," not in text:
            return kept_text(bytes(self._raw + self._head).decode("utf-8", "replace"))
        folded: dict[str, Json] = {
            "choices": [
                {"index": index, "message": {"role": "assistant", "content": "".join(pieces)}}
                for index, pieces in sorted(self._harvest.texts.items())
            ]
        }
        if self._harvest.images:
            folded["data"] = [
                {"url": image.url} if image.url else {"b64_json": image.inline}
                for image in self._harvest.images.values()
            ]
        for name, value in (
            ("finish_reason", self._harvest.finish),
            ("task_id", self.task_id),
            ("usage", self._harvest.usage),
            ("error", self._harvest.error),
        ):
            if value:
                folded[name] = value
        return kept_json(folded)

    # --- taking in -----------------------------------------------------------------------------

    def _sniff(self, over: bool) -> bool:
        """Decide between a stream and one body by the first bytes; False: too few of them yet."""
        head = bytes(self._head[:64]).removeprefix(b"\xef\xbb\xbf").lstrip()
        if len(head) < 8 and not over and not head.startswith((b"{", b"[", b"<", b":")):
            return False
        if _FIELD.match(head) or (self._streamed and not head.startswith((b"{", b"[", b"<"))):
            self._events = Events()
        else:
            self._body = bytearray()
        return True

    def _stream(self, data: bytes) -> list[Fact]:
        room = KEPT_BYTES - len(self._raw)
        self._raw += data[: max(0, room)]
        self._raw_whole = self._raw_whole and len(data) <= room
        facts: list[Fact] = []
        for event in self._events.feed(data) if self._events is not None else ():
            facts += self._take_event(event)
        return facts

    def _take_event(self, event: Event) -> list[Fact]:
        if event.text == DONE:
            self._harvest.ended = True
            return []
        if not event.readable:
            if event.name == "error":
                self._harvest.error = event.text
            return []
        if event.name == "error" and isinstance(event.value, Mapping) and not event.value.get("error"):
            self._harvest.error = event.value
            return []
        before = len(self._harvest.images)
        fresh = self._take(event.value)
        self._inline = self._inline or "b64_json" in event.text or "base64" in event.text
        self._inline = self._inline or len(self._harvest.images) > before
        return self._news(self._watch.feed(fresh) if fresh else [])

    def _news(self, facts: list[Fact]) -> list[Fact]:
        """Facts not told before: from the text, and from fields of the JSON."""
        if self._harvest.task_id is not None:
            facts = [TaskSeen(self._harvest.task_id), *facts]
        if self._harvest.percent is not None:
            facts.append(Progress(self._harvest.percent))
        news: list[Fact] = []
        for fact in facts:
            if isinstance(fact, TaskSeen) and not self._task_told:
                self._task_told = True
                news.append(fact)
            elif isinstance(fact, Progress) and fact.percent > self._percent:
                self._percent = fact.percent
                news.append(fact)
        return news

    def _take_body(self, body: bytearray) -> None:
        readable, value = read_lifted(body)
        if readable and isinstance(value, Mapping | list):
            self._value = value
            self._harvest.ended = True
            self._take(value)
            return
        text = body.decode("utf-8", "replace")
        if text.strip() and text.lstrip("\ufeff \r\n\t")[:1] not in ("<", "{", "["):
            # Plain text: some proxies answer with the bare content. It counts when it holds an image.
            self._harvest.ended = True
            self._harvest.say(text)

    def _take(self, value: Json) -> str:
        """Take one JSON value of any known shape; returns the new assistant text in it."""
        if isinstance(value, list):
            return "".join(self._take(item) for item in value)
        if not isinstance(value, Mapping):
            return ""
        harvest = self._harvest
        if value.get("error"):
            harvest.known, harvest.error = True, value["error"]
        harvest.usage = value.get("usage") or value.get("usageMetadata") or harvest.usage
        kind = value.get("type")
        fresh = ""
        if "choices" in value:
            fresh = read_choices(value, harvest)
        if "candidates" in value or "promptFeedback" in value:
            fresh += read_candidates(value, harvest)
        if isinstance(kind, str) and kind.startswith(("image_generation.", "image_edit.")):
            read_event(kind, value, harvest)
        elif isinstance(data := value.get("data"), list) or ("data" in value and "created" in value):
            fresh += read_data(data if isinstance(data, list) else [], harvest)
        elif isinstance(images := value.get("images"), list):
            fresh += read_data(images, harvest)
        elif "choices" not in value and "candidates" not in value:
            self._take_task(value)
        return fresh

    def _take_task(self, value: Mapping[str, Json]) -> None:
        """Take an answer about a task: an envelope `{code, data, msg}`, a task page, or a bare id."""
        harvest = self._harvest
        data = value.get("data")
        bad_code = "code" in value and value["code"] not in _CODES_OK
        if not isinstance(data, Mapping) and (bad_code or _ERROR_ONLY.issuperset(value)) and _has_words(value):
            harvest.known, harvest.error = True, value
            return
        frame = data if isinstance(data, Mapping) else value
        link = value.get("source_url") or value.get("preview_url")
        named = frame.get("task_id") or (frame.get("id") if "status" in frame or "code" in value else None)
        if isinstance(link, str) and _TASK_PAGE.match(link):
            named = find_task_id(f"{link} ") or value.get("id")
        if isinstance(named, str) and named:
            harvest.known, harvest.task_id = True, harvest.task_id or named[:200]
        if not {"status", "urls", "generations", "results", "url"} & set(frame):
            return
        harvest.known = True
        try:
            outcome = read_value(value)
        except JobError as error:
            harvest.fault = error
            return
        if isinstance(outcome, Running):
            harvest.percent = outcome.progress if outcome.progress is not None else harvest.percent
            return
        for image in outcome.images:
            harvest.images.setdefault(image.url or f"{len(harvest.images)}", image)

    # --- judging -------------------------------------------------------------------------------

    def _images(self, reading: Reading) -> tuple[Found, ...]:
        found = dict(self._harvest.images)
        if not reading.images:
            return tuple(found.values())
        known = {_name(image) for image in found.values()}
        for number, image in enumerate(reading.images):
            if _name(image) not in known:
                found.setdefault(image.url or f"text {number}", image)
        return tuple(found.values())

    def _why_none(self, reading: Reading) -> JobError:
        harvest, task = self._harvest, self.task_id
        if harvest.garbled:
            return Unreadable("the reply holds an image whose base64 can't be decoded", status=200)
        told = harvest.error or harvest.item_error
        leaf = harvest.fault or (classify_error(told, 200, {}, now=0.0) if told else None)
        if leaf is not None:
            # With a task at the provider, asking for it is free and sending again is not.
            if task is not None and leaf.disposition is Disposition.RETRY:
                return Unfinished(f"task {task} goes on at the provider: {leaf.message}", code=leaf.code)
            return leaf
        if harvest.refusals or (harvest.finish and _SAFETY.search(harvest.finish)):
            said = " ".join(harvest.refusals) or reading.said or str(harvest.finish)
            return Refused(tidy(said), code=harvest.finish, status=200)
        waits = reading.leaf is Saturated and task is not None
        if reading.leaf is not None and reading.leaf is not NoImage and not waits:
            text = tidy(f"{reading.reason}: {reading.said}")
            return reading.leaf(text, code=reading.reason, status=200, retry_after=reading.retry_after)
        return self._unexplained(reading)

    def _unexplained(self, reading: Reading) -> JobError:
        harvest, task = self._harvest, self.task_id
        said = tidy(reading.reason or reading.said)
        # "We will tell you when it is ready" with a task named: the task is queued, not lost.
        if task is not None and (not reading.failed or reading.leaf is Saturated):
            return Unfinished(f"no image yet; the provider's task is {task}", status=200)
        if self._body is not None and not harvest.known:
            return self._unknown_body()
        if not harvest.ended:
            return Interrupted("the stream stopped before its end and before any image")
        if reading.running:
            return Interrupted(f"the log stopped before its end: {said}")
        if not harvest.known:
            return Unreadable("a stream that said nothing", status=200)
        if not harvest.text().strip():
            return EmptyReply("a reply with nothing in it", status=200)
        return NoImage(f"text without an image: {said}", status=200)

    def _unknown_body(self) -> JobError:
        text = (self._body or bytearray())[:200_000].decode("utf-8", "replace")
        if not text.strip():
            return Unreadable("a reply with an empty body", status=200)
        task = find_task_id(text.replace("\\n", "\n").replace('\\"', '"').replace("\\/", "/"))
        if task is not None and self._value is None and not text.lstrip().startswith("<"):
            self._harvest.task_id = task
            return Unfinished(f"the reply is cut, but it names task {task}", status=200)
        kind = "a web page" if text.lstrip().startswith("<") else "no readable answer"
        return Unreadable(f"{kind} with status 200: {tidy(text)[:200]}", status=200)


def _name(image: Found) -> str:
    return image.url or identity(image.inline or "")


def _has_words(value: Mapping[str, Json]) -> bool:
    return any(isinstance(value.get(name), str) and value[name] for name in ("message", "msg", "detail", "code"))
