"""The wits of the simulator: which provider a request is for, what it meets there, and the reply as a value.

No socket: serve.py brings a `Request` and does what the `Reply` says. State is in memory.py and account.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import unquote

from batchgen.model import Json
from batchgen.simulator import answers, tasks
from batchgen.simulator.account import Account, Counts
from batchgen.simulator.answers import Manner
from batchgen.simulator.chat import Said, Style, refused_log, style_of, task_links
from batchgen.simulator.dialects import DIALECTS, ImagesPlan, envelope, images_plan
from batchgen.simulator.downloads import Downloads
from batchgen.simulator.exchange import Headers, Piece, Reply, Request, as_json, page, whole
from batchgen.simulator.failures import FAILURES, MODERATED_OUTPUT, Bare, Failure, Html, Words, Wrong
from batchgen.simulator.faults import ANSWER, asked_for, chosen
from batchgen.simulator.hosts import HOSTS, ROOTS, new_id
from batchgen.simulator.memory import Generation, Memory
from batchgen.simulator.pictures import Gallery
from batchgen.simulator.settings import SimulatorSettings
from batchgen.simulator.studio import Order, Studio
from batchgen.simulator.wanted import Unreadable, Wanted, from_chat, from_images
from batchgen.simulator.wire import spoil

CHAT = "/v1/chat/completions"
DOORS = (CHAT, "/v1/images/generations", "/v1/images/edits")
_KNOWN_ROOTS = ROOTS | {"v1", "source", "web", "moved"}


_NO_KEY = Failure(status=401, message="未提供令牌")
_NOTHING = Wanted(model="", prompt="", size=(1, 1), fields={})
"""what stands for a request whose meaning does not matter any more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request whose head has been read: where it goes and what chance has in store for it."""

    request: Request
    dialect: str
    prefix: str
    tail: str
    """the path behind the prefix"""
    account: Account
    faults: frozenset[str]
    request_id: str
    now: float

    @property
    def is_generation(self) -> bool:
        return self.request.method == "POST" and self.tail in DOORS

    @property
    def key(self) -> str | None:
        return self.request.headers.get("idempotency-key")


class Provider:
    """All simulated providers of one server."""

    def __init__(self, settings: Mapping[str, SimulatorSettings], memory: Memory, gallery: Gallery) -> None:
        self.counts = Counts(billed=len(memory.tasks))
        self.origin = ""
        """`http://host:port`, set as soon as the server listens"""
        self._settings = settings
        self._memory = memory
        self._studio = Studio(memory, gallery)
        self._downloads = Downloads(memory, gallery)
        self._accounts: dict[str, Account] = {}

    def arrive(self, request: Request) -> Visit:
        """Take note of a request's head; its body may never be read (`refuse`)."""
        dialect, prefix, tail = _route(request.path)
        account = self._account(dialect, prefix)
        faults: frozenset[str] = frozenset()
        if request.method == "POST":
            self.counts.posts += 1
            if tail in DOORS:
                ordinal = self._memory.post(prefix, request.headers.get("idempotency-key"))
                faults = chosen(account.settings.faults, account.settings.seed, ordinal)
        self.counts.paths[prefix + (tail if tail.startswith("/v1/") else "/" + tail.split("/")[1])] += 1
        now = time.time()
        return Visit(
            request=request,
            dialect=dialect,
            prefix=prefix,
            tail=tail,
            account=account,
            faults=faults,
            request_id=new_id("", now),
            now=now,
        )

    @contextmanager
    def flight(self, visit: Visit) -> Iterator[None]:
        """Hold while a visit is being answered; only generations count."""
        if not visit.is_generation:
            yield
            return
        with self.counts.flight(), visit.account.flight():
            yield

    def _account(self, dialect: str, prefix: str) -> Account:
        if prefix not in self._accounts:
            names = (unquote(prefix.rpartition("/")[2]), dialect, "")
            found = next((self._settings[name] for name in names if name in self._settings), None)
            settings = found or SimulatorSettings()
            self._accounts[prefix] = Account(settings)
        return self._accounts[prefix]

    async def answer(self, visit: Visit, body: bytes) -> Reply:
        """The reply to a request that was read whole."""
        if visit.is_generation:
            reply = await self._generate(visit, body)
        else:
            reply = await self._look_up(visit)
        self.counts.statuses[0 if reply.mute else reply.status] += 1
        return reply

    async def _look_up(self, visit: Visit) -> Reply:
        """Everything that costs nothing: tasks, files, counts."""
        root, _, rest = visit.tail.lstrip("/").partition("/")
        if visit.request.method not in ("GET", "HEAD") or root == "v1":
            return self._send(visit, FAILURES["wrong_path"])
        if visit.tail == "/_counts":
            return as_json(self.counts.as_json(self._memory.keys))
        if root not in ("source", "web"):
            return await self._downloads.answer(visit.request, visit.prefix, visit.now)
        generation = self._memory.tasks.get(unquote(rest).rpartition(":")[2])
        if generation is None or "task_unknown" in generation.faults:
            return as_json({"error": "task not found"}, status=404)
        told = self._studio.told(generation, self.origin, visit.now)
        return tasks.web(told, visit.now) if root == "web" else tasks.source(told, visit.now)

    async def _generate(self, visit: Visit, body: bytes) -> Reply:
        key = visit.request.headers.get("authorization", "").removeprefix("Bearer").strip()
        if not key or key.startswith("sk-bad"):
            return self._send(visit, FAILURES["bad_key"] if key else _NO_KEY)
        if (failure := visit.account.over_limit(visit.now)) is not None:
            return self._send(visit, failure)
        media = visit.request.headers.get("content-type", "")
        try:
            wanted = from_chat(body) if visit.tail == CHAT else from_images(body, media)
            return await self._worked(visit, wanted)
        except Unreadable as problem:
            failure = Failure(
                status=problem.status, message=problem.message, code=problem.code or None, param=problem.param
            )
            return self._send(visit, failure)

    async def _worked(self, visit: Visit, wanted: Wanted) -> Reply:
        """A readable request: the fault it meets, or a generation. Raises Unreadable."""
        if visit.tail == CHAT and not DIALECTS[visit.dialect].chat:
            return self._send(visit, FAILURES["wrong_path"])
        if not DIALECTS[visit.dialect].streams:
            wanted = replace(wanted, stream=False)
        # What the prompt asks for comes instead of what chance would have brought.
        faults = asked_for(wanted.prompt) or visit.faults
        self.counts.faults.update(faults)
        wrong = next((_instead(name, visit, wanted) for name in ANSWER if name in faults), None)
        worked = wrong is None or (isinstance(wrong, Failure | Html) and wrong.work)
        if worked:
            reply = await self._product(visit, wanted, faults)
        if wrong is not None:
            reply = self._send(visit, wrong, wanted)
        if "json_truncated" in faults:
            reply = _halved(reply)
        return spoil(reply, faults)

    async def _product(self, visit: Visit, wanted: Wanted, faults: frozenset[str]) -> Reply:
        """Make a generation and say so in the manner of the door."""
        style = style_of(visit.dialect, wanted.model)
        if visit.tail == CHAT:
            generation = await self._generation(visit, wanted, faults, style)
            return await self._chat_reply(visit, wanted, style, generation, faults)
        plan = images_plan(visit.dialect, wanted)
        generation = await self._generation(visit, wanted, faults, plan)
        return await self._images_reply(visit, wanted, plan, generation)

    async def _generation(
        self, visit: Visit, wanted: Wanted, faults: frozenset[str], form: ImagesPlan | Style
    ) -> Generation:
        """The generation of this request, or the earlier one of its honoured Idempotency-Key."""
        settings = visit.account.settings
        known = self._memory.by_key.get(f"{visit.prefix} {visit.key}")
        if settings.honour_idempotency and known is not None:
            return known
        order = Order(
            prefix=visit.prefix,
            settings=settings,
            faults=faults,
            now=visit.now,
            hosts=form.hosts,
            size=wanted.size,
            count=1,
            key=visit.key,
        )
        if isinstance(form, ImagesPlan):
            order = replace(order, size=form.size, count=form.count, format=form.format, quality=form.quality)
        else:
            host = HOSTS.get(order.host(wanted.prompt))
            count = wanted.n if wanted.n > 1 else form.count
            order = replace(order, count=count, format=host.format if host else None)
        generation = await self._studio.make(wanted, order, self.origin)
        self.counts.billed += 1
        self.counts.images += order.count
        return generation

    async def _chat_reply(
        self, visit: Visit, wanted: Wanted, style: Style, generation: Generation, faults: frozenset[str]
    ) -> Reply:
        told = self._studio.told(generation, self.origin, visit.now)
        inline = "data" in style.hosts and "/cdn/" in generation.files[0].path
        if inline:
            urls = [
                f"data:{file.picture.media};base64,{await self._studio.inline(file, faults)}"
                for file in generation.files
            ]
            told = replace(told, urls=tuple(urls))
        said = Said((task_links(told),)) if "async_only" in faults else style.say(told)
        if "unfinished_cut" in faults:
            said = Said(said.pieces[: max(1, said.finish - 1)])
        crumbs = "split_utf8" in faults
        return answers.completion(said, replace(self._manner(visit, wanted), crumbs=crumbs))

    async def _images_reply(
        self, visit: Visit, wanted: Wanted, plan: ImagesPlan, generation: Generation
    ) -> Reply:
        told = self._studio.told(generation, self.origin, visit.now)
        items: list[Mapping[str, Json]] = []
        for file, url in zip(generation.files, told.urls, strict=True):
            if plan.link:
                items.append({"url": url})
                continue
            text = await self._studio.inline(file, generation.faults)
            # apiyi's channels differ in whether the base64 has its data: prefix.
            prefixed = visit.dialect == "apiyi" and len(wanted.prompt) % 3 == 0
            items.append({"b64_json": f"data:{file.picture.media};base64,{text}" if prefixed else text})
        official = visit.dialect == "openai"
        quality = str(wanted.fields.get("quality") or "high")
        tokens = plan.count * answers.image_tokens(quality, plan.size)
        about: dict[str, Json] = {"usage": answers.image_usage(tokens, detailed=official)}
        if official:
            width, height = plan.size
            about |= {
                "background": wanted.fields.get("background") or "opaque",
                "output_format": plan.format,
                "quality": quality,
                "size": f"{width}x{height}",
            }
        return answers.image_list(items, about, self._manner(visit, wanted))

    def _manner(self, visit: Visit, wanted: Wanted) -> Manner:
        # Drawing counts as part of the latency.
        spent = time.time() - visit.now
        return Manner(
            request_id=visit.request_id,
            model=wanted.model,
            now=visit.now,
            latency=max(0.0, visit.account.settings.latency - spent),
            stream=wanted.stream,
            headers=_headers(visit),
        )

    def _send(self, visit: Visit, wrong: Wrong, wanted: Wanted = _NOTHING) -> Reply:
        """An error in this provider's envelope. What claims to have tried takes the latency."""
        manner = self._manner(visit, wanted)
        if isinstance(wrong, Html):
            return page(wrong.status, wrong.title, wait=manner.latency)
        if isinstance(wrong, Words):
            if visit.tail == CHAT:
                return answers.completion(Said((wrong.text,)), manner)
            return answers.image_list([{"text": wrong.text}] if wrong.text else [], {}, manner)
        if isinstance(wrong, Bare):
            if wrong.value is None:
                return whole(wrong.status, b"", "text/plain", headers=manner.headers)
            return as_json(wrong.value, status=wrong.status, headers=manner.headers)
        words = {
            "{model}": wanted.model,
            "{line}": f"{visit.request.method} {visit.tail}",
            "{key}": visit.request.headers.get("authorization", "").removeprefix("Bearer").strip(),
        }
        message = wrong.message
        for word, text in words.items():
            message = message.replace(word, text)
        error = envelope(visit.dialect, replace(wrong, message=message), visit.request_id)
        if wrong.status == 200:
            return answers.error_in_200(error, manner)
        headers = manner.headers + wrong.headers
        wait = manner.latency if wrong.status >= 500 else 0.0
        return as_json(error, status=wrong.status, headers=headers, wait=wait)


def _route(path: str) -> tuple[str, str, str]:
    """Dialect, prefix (`/dialect`, `/dialect/name` or nothing) and the path behind it, all raw."""
    parts = path.split("/")
    dialect, end = ("simulator", 1) if parts[1] not in DIALECTS else (parts[1], 2)
    if end == 2 and len(parts) > 3 and parts[2] not in _KNOWN_ROOTS:
        end = 3
    return dialect, "/".join(parts[:end]), "/" + "/".join(parts[end:])


def _headers(visit: Visit) -> Headers:
    headers: Headers = ((DIALECTS[visit.dialect].id_header, visit.request_id),)
    if visit.dialect != "openai":
        return headers
    limit, remaining, reset = visit.account.allowance(visit.now)
    return (
        *headers,
        ("x-ratelimit-limit-requests", f"{limit:g}"),
        ("x-ratelimit-remaining-requests", f"{remaining:g}"),
        ("x-ratelimit-reset-requests", f"{reset * 1000:.0f}ms"),
    )


def _instead(name: str, visit: Visit, wanted: Wanted) -> Wrong | None:
    """What this answer fault sends instead of pictures; None when it only changes how they are told."""
    chat = visit.tail == CHAT
    if name == "refusal_output" and not chat:
        return MODERATED_OUTPUT
    if name == "reference_download" and wanted.references and not wanted.links:
        return None
    if name in ("refusal_log", "refusal_output"):
        return Words(refused_log(wanted.prompt, new_id("task_", visit.now), name == "refusal_output"))
    if name == "empty_content" or (name in ("async_only", "unfinished_cut") and not chat):
        return Words("")
    return FAILURES.get(name)


def _halved(reply: Reply) -> Reply:
    """Half of the body as if it were all of it."""
    body = reply.body[: len(reply.body) // 2]
    return replace(reply, pieces=(Piece(body),), length=None if reply.length is None else len(body))
