"""The web application of one workspace: pages, pictures, a stream of news, and orders to the run.

Every look is a read of the ledger through a connection that can't write. What changes something needs the
page's token (guard.py) and goes to the run that is on; without one it is done here (ordering.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from batchgen.answers import job_answer
from batchgen.errors import StoreDown, WorkspaceError
from batchgen.images.thumbnails import MIME, thumbnail
from batchgen.ledger.orders import Order, Wish
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter, JobRecord, OutputRecord
from batchgen.ledger.rows import Params
from batchgen.model import JobState, OutputState
from batchgen.providers.stored import load_profiles
from batchgen.storage.local import inside
from batchgen.storage.stores import bucket
from batchgen.web import history, views
from batchgen.web.guard import Door, Guard
from batchgen.web.ordering import carry_out
from batchgen.web.watch import EVERY, Watch

CARDS: Final = 60
CHILDREN: Final = 12
"""Children that the page of a job shows."""
_PLACE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")
_LONGEST_ORDER: Final = 16 * 1024
_FOREVER: Final = {"cache-control": "private, max-age=31536000, immutable"}
_RETRIED: Final = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


def application(workspace: Path, door: Door, token: str, leaving: Callable[[], bool]) -> Starlette:
    """The page of the batch in `workspace`. `leaving`: the server wants to end, and streams of news are to end too."""
    page = _Page(workspace, token, leaving)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Reader.open(workspace) as reader, anyio.create_task_group() as group:
            page.reader, page.watch = reader, Watch(reader, workspace)
            group.start_soon(page.watch.keep_count)
            yield
            group.cancel_scope.cancel()

    routes = [
        Route("/", page.home),
        Route("/job/{id:path}", page.job),
        Route("/small/{id:path}/{position:int}", page.small),
        Route("/picture/{id:path}/{position:int}", page.picture),
        Route("/jobs", page.cards),
        Route("/news", page.news),
        Route("/changes/{id:path}", page.changes),
        Route("/orders", page.order, methods=["POST"]),
        Route("/metrics", page.metrics),
        Route("/style.css", page.style),
        Route("/favicon.ico", page.icon),
        Mount("/static", StaticFiles(packages=[("batchgen.web", "static")])),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, door=door, token=token)],
        exception_handlers={WorkspaceError: _unusable, StoreDown: _store_down},
    )


async def _unusable(request: Request, error: Exception) -> Response:
    """The workspace can't be read or written: moved, damaged, on a full disk."""
    return PlainTextResponse(str(error), status_code=409)


class _Page:
    """The handlers; `reader` and `watch` are there while the application lives."""

    reader: Reader
    watch: Watch

    def __init__(self, workspace: Path, token: str, leaving: Callable[[], bool]) -> None:
        self._workspace = workspace
        self._leaving = leaving
        self._token = token
        self._shrinking = anyio.CapacityLimiter(2)
        # Everything is escaped: prompts, ids and error texts come from elsewhere.
        self._templates = Environment(
            loader=PackageLoader("batchgen.web"), autoescape=True, undefined=StrictUndefined
        )

    async def home(self, request: Request) -> Response:
        """The page with the grid."""
        choices = views.choices(await self.reader.choices())
        return self._html("home.html", choices=choices, standing=await self.watch.standing())

    async def job(self, request: Request) -> Response:
        """The page of one job."""
        record = await self.reader.job(request.path_params["id"])
        if record is None:
            return PlainTextResponse("no such job", status_code=404)
        parent = await self.reader.job(record.job.after) if record.job.after else None
        children = await self.reader.children(record.id, CHILDREN + 1)
        replies = await self.reader.replies_of(record.id)
        profiles = load_profiles(await self.reader.note("profiles"))
        askable = {name for name, profile in profiles.items() if profile.task_url}
        gone = self._gone(record)
        return self._html(
            "job.html",
            job=job_answer(record),
            card=views.card(record),
            gone=gone,
            parent=views.card(parent) if parent else None,
            children=[views.card(child) for child in children[:CHILDREN]],
            more_children=len(children) > CHILDREN,
            request=_request(record),
            log=history.log(await self.reader.job(record.id, all=True) or record, replies),
            told=history.told(replies),
            retry=history.retry_words(record, askable, time.time()),
            fetch=history.fetch_words(record, askable, gone, replies),
        )

    async def cards(self, request: Request) -> Response:
        """The next jobs of the grid that fit the filters, and where to go on."""
        asked = request.query_params
        after: Params | None = None
        if found := _PLACE.fullmatch(asked.get("after", "")):
            after = {"position": int(found[1]), "key": int(found[2])}
        place, records = await self.reader.page(_filter(asked), after, most=CARDS)
        more = f"{place['position']}.{place['key']}" if place else None
        return JSONResponse({"jobs": [views.card(record) for record in records], "more": more})

    async def news(self, request: Request) -> Response:
        """How the batch stands, whenever that changes, as server-sent events."""

        async def standing() -> str:
            # The last word is that of the very end.
            return json.dumps(await self.watch.standing(0.0 if self._leaving() else EVERY))

        return self._stream(request, standing)

    async def changes(self, request: Request) -> Response:
        """A word that changes whenever the page of a job does, as server-sent events."""

        async def version() -> str:
            record = await self.reader.job(request.path_params["id"])
            return "" if record is None else views.version(record, self._gone(record))

        return self._stream(request, version)

    def _stream(self, request: Request, look: Callable[[], Awaitable[str]]) -> Response:
        """What `look` says, as often as it changes; `end` when the server leaves."""

        async def events() -> AsyncIterator[str]:
            last = None
            while not self._leaving() and not await request.is_disconnected():
                said = await look()
                # A comment keeps proxies and browsers from giving the connection up.
                yield f"data: {said}\n\n" if said != last else ": still so\n\n"
                last = said
                for _ in range(5):
                    if not self._leaving():
                        await anyio.sleep(EVERY / 5)
            yield f"event: end\ndata: {await look()}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def small(self, request: Request) -> Response:
        """A thumbnail."""
        output = await self._output(request)
        if output is None:
            return PlainTextResponse("no such picture", status_code=404)
        path = await anyio.to_thread.run_sync(
            thumbnail,
            self._workspace,
            output.path or "",
            output.sha256 or "",
            output.store,
            limiter=self._shrinking,
        )
        if path is None:
            return PlainTextResponse("the picture is not on disk", status_code=404)
        return FileResponse(path, media_type=MIME, headers=_FOREVER)

    async def picture(self, request: Request) -> Response:
        """A picture as it was saved."""
        output = await self._output(request)
        if output is not None and output.store is not None:
            return await self._stored(output, output.store)
        path = inside(self._workspace, output.path) if output is not None and output.path else None
        if output is None or path is None or not path.is_file():
            return PlainTextResponse("the picture is not on disk", status_code=404)
        return FileResponse(path, media_type=f"image/{output.format}", headers=_FOREVER)

    async def _stored(self, output: OutputRecord, store: str) -> Response:
        """A picture out of object storage: it comes through here, so that the browser needs no credentials."""
        file = await anyio.to_thread.run_sync(bucket(store).open, output.path or "")
        if file is None:
            return PlainTextResponse("the picture is not in its store", status_code=404)
        return Response(file.read(), media_type=f"image/{output.format}", headers=_FOREVER)

    async def style(self, request: Request) -> Response:
        """The look that the report and this page share."""
        return Response(files("batchgen.report").joinpath("style.css").read_bytes(), media_type="text/css")

    async def icon(self, request: Request) -> Response:
        """Browsers ask for one; there is none."""
        return Response(status_code=204)

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return PlainTextResponse(await self.watch.metrics(), media_type="text/plain; version=0.0.4")

    async def order(self, request: Request) -> Response:
        """Do what a button says."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LONGEST_ORDER:
                return PlainTextResponse("not an order", status_code=413)
        try:
            asked = json.loads(body)
            order = Order(Wish(asked["what"]), _chosen(asked))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return PlainTextResponse("not an order", status_code=400)
        return JSONResponse({"said": await carry_out(order, self._workspace, self.reader)})

    def _gone(self, record: JobRecord) -> list[int]:
        """Positions of the saved pictures whose file is not there any more."""
        saved = ((one.position, one.path) for one in record.outputs if one.path and one.store is None)
        places = ((position, inside(self._workspace, path)) for position, path in saved)
        return [position for position, place in places if place is None or not place.is_file()]

    async def _output(self, request: Request) -> OutputRecord | None:
        record = await self.reader.job(request.path_params["id"])
        position = request.path_params["position"]
        outputs = record.outputs if record is not None else ()
        return next((one for one in outputs if one.position == position and one.state is OutputState.SAVED), None)

    def _html(self, name: str, **values: object) -> Response:
        page = self._templates.get_template(name)
        name = self._workspace.resolve().name
        return HTMLResponse(page.render(name=name, token=self._token, **values), headers={"cache-control": "no-store"})


async def _store_down(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=502)


def _filter(asked: Mapping[str, str]) -> Filter:
    return Filter(
        states=frozenset(state for state in JobState if state == asked.get("state")),
        model=_exactly(asked.get("model")),
        provider=_exactly(asked.get("provider")),
        ratio=asked.get("ratio") or None,
        words=asked.get("words") or None,
    )


def _chosen(asked: Mapping[str, Any]) -> Filter:
    wanted = asked.get("states") or ()
    states = frozenset(JobState(state) for state in wanted) if wanted else _RETRIED
    chosen = Filter(states=states if asked["what"] == Wish.RETRY else frozenset())
    if not asked.get("id"):
        return chosen
    asked["id"].encode()  # a text, and one that can be written
    return replace(chosen, id_glob=_exactly(asked["id"]))


def _exactly(text: str | None) -> str | None:
    """A glob that fits this text alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text) if text else None


def _request(record: JobRecord) -> dict[str, str]:
    job = record.job
    names = ("size", "quality", "output_format", "background", "n", "after", "mask")
    told = {name: str(getattr(job, name)) for name in names if getattr(job, name) not in (None, "")}
    if job.references:
        told["references"] = ", ".join(one if len(one) < 120 else one[:100] + "…" for one in job.references)
    return {**told, **{f"meta.{key}": str(value) for key, value in job.meta.items()}}
