"""Reads kept replies again: those of a killed run, and those that an older parser could not read.

Costs nothing, because nothing is sent. Only links are found this way: of inline images the ledger keeps no bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from batchgen import codecs, expiry
from batchgen.errors import JobError
from batchgen.events import Generated, RemoteImage
from batchgen.ledger.kept import SavedReply
from batchgen.ledger.records import Filter
from batchgen.ledger.store import Ledger
from batchgen.model import Endpoint, JobState, Outcome
from batchgen.providers.costs import charge
from batchgen.providers.prices import currency, exact
from batchgen.providers.profile import Profile
from batchgen.providers.stored import load_profiles

log = logging.getLogger(__name__)

MENDABLE = frozenset({JobState.RUNNING, JobState.FAILED, JobState.HELD, JobState.REFUSED})
"""States of jobs that an image found in a kept reply may bring to `generated`."""


_ENDED = MENDABLE - {JobState.RUNNING}
"""Those of which nobody follows the last attempt, also while a run goes on."""

UNKNOWN_TTL = 86400.0
"""Seconds that a link lives whose provider the manifest no longer names: the cautious guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereading:
    """What a kept reply holds: the images that it links to, if any, and the provider's task id."""

    generated: Generated | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """What is had once more at no cost; what the counts mean is in `ledger.refetching`."""

    reread: int
    """jobs of which the kept reply holds the images after all"""
    downloads: int
    reopened: tuple[int, ...]
    gone: int

    def words(self) -> str:
        """In a line: `2 images are fetched again, 1 task is asked for`."""
        counts = (
            (self.downloads + self.reread, "image is fetched", "images are fetched"),
            (len(self.reopened), "task is asked for", "tasks are asked for"),
        )
        told = [f"{number} {one if number == 1 else many} again" for number, one, many in counts if number]
        if self.gone:
            lost = "1 lost file" if self.gone == 1 else f"{self.gone} lost files"
            told.append(f"{lost} came without a link and can't be fetched")
        return ", ".join(told) or "nothing is left to fetch again"


@dataclass(frozen=True, slots=True)
class Reparsed:
    """How many replies were read again, and how many jobs have their images by that."""

    read: int
    recovered: int


def reread(reply: SavedReply, profile: Profile | None) -> Rereading:
    """Read a kept reply as if it had just come. `profile`: that of its provider, where it is known."""
    if reply.http_status is None or reply.http_status >= 300:
        return Rereading()
    decoder = codecs.decoder(Endpoint.CHAT, "")
    try:
        decoder.feed(reply.text.encode())
        answer = decoder.finish()
    except JobError:
        return Rereading(task_id=decoder.task_id)
    except Exception:
        # One reply that we fail to handle must not keep the others, or the run, from being read.
        log.exception("could not read the kept reply of attempt %d", reply.attempt_id)
        return Rereading()
    ttl = UNKNOWN_TTL if profile is None else profile.link_ttl
    images = tuple(
        RemoteImage(
            url=found.url,
            alternatives=found.alternatives,
            expires_at=expiry.expires_at(found.url, received=reply.received_at, link_ttl=ttl),
        )
        for found in answer.images
        if found.url is not None
    )
    generated = Generated(images=images, gen_id=answer.gen_id, usage=answer.usage) if images else None
    return Rereading(generated=generated, task_id=answer.task_id)


async def reparse(workspace: Path, chosen: Filter, *, now: Callable[[], float]) -> Reparsed:
    """Read the kept replies of the chosen jobs again, and record what today's parser finds in them.

    Only jobs of `MENDABLE` states, and attempts that brought nothing. Raises `WorkspaceError` when
    there is no ledger, or a run holds it.
    """
    states = chosen.states & MENDABLE if chosen.states else MENDABLE
    if not states:
        return Reparsed(0, 0)
    async with Ledger.open(workspace, now=now, create=False) as ledger:
        return await reparse_in(ledger, replace(chosen, states=states), now=now)


async def reparse_in(ledger: Ledger, chosen: Filter, *, now: Callable[[], float]) -> Reparsed:
    """`reparse` in a ledger that is open; `chosen` names states among `MENDABLE`."""
    read = 0
    recovered: set[int] = set()
    profiles = load_profiles(await ledger.get_note("profiles"))
    async for reply in ledger.reader.replies(chosen):
        if reply.outcome is Outcome.SUCCEEDED or reply.key in recovered:
            continue
        read += 1
        profile = profiles.get(reply.provider)
        found = reread(reply, profile).generated
        if found is None:
            continue
        most = exact(reply.reserved)
        cost = currency(charge(profile, reply.job, len(found.images), found.usage, most))
        if await ledger.generated(reply.attempt_id, found, now(), cost) is JobState.GENERATED:
            recovered.add(reply.key)
    return Reparsed(read, len(recovered))


async def refetch(ledger: Ledger, chosen: Filter, *, tasks: bool, now: Callable[[], float]) -> Again:
    """Take up once more what is free: kept replies, downloads and, with `tasks`, tasks. Nothing is sent by it.

    `chosen` goes by its `id_glob` alone. Images and tasks are then fetched and asked by a run.
    """
    found = await reparse_in(ledger, Filter(states=_ENDED, id_glob=chosen.id_glob), now=now)
    again = await ledger.fetch_again(chosen, tasks=tasks)
    return Again(found.recovered, again.downloads, again.reopened, again.gone)
