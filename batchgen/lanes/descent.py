"""What a job takes over from the job it edits: the picture, the conversation, or both.

The form follows the provider: some find the picture by its id in the conversation, some are shown it in
the new turn, and every other one gets it as the first of the references.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from batchgen import codecs
from batchgen.lanes.context import Context
from batchgen.ledger.records import Origin
from batchgen.model import Endpoint, Job, Turn
from batchgen.providers.costs import PriceList
from batchgen.providers.profile import Conversation
from batchgen.providers.shape import shape
from batchgen.storage.stores import source_of


@dataclass(frozen=True, slots=True)
class Descent:
    """A job ready to be sent: with the parent's picture as a reference, and the turns before its own."""

    job: Job
    turns: tuple[Turn, ...] = ()


async def descended(context: Context, job: Job, provider: str) -> Descent | None:
    """What is sent for a job at this provider; None when its parent is done without such an image."""
    if job.after is None:
        return Descent(job)
    origin = await context.ledger.reader.origin(job.after, job.after_image)
    if origin is None:
        return None
    turns = await _conversation(context, origin, provider)
    if turns and _known_by_id(context, origin, turns[-1], job, provider):
        return Descent(job, turns)
    if origin.store is not None:
        picture = source_of(origin.store, origin.path)
    else:
        picture = str((context.workspace / origin.path).absolute())
    return Descent(replace(job, references=(picture, *job.references)), turns)


async def paid_turns(context: Context, job: Job, provider: str, prices: PriceList) -> tuple[Turn, ...]:
    """The turns that go along with a job, where their text is paid for by the token."""
    if job.after is None or prices.tokens(job) is None:
        return ()
    descent = await descended(context, job, provider)
    return descent.turns if descent else ()


async def _conversation(context: Context, origin: Origin, provider: str) -> tuple[Turn, ...]:
    """The turns that led to the picture, oldest first, as far back as this provider answered them."""
    profile = context.profiles[provider]
    if profile.endpoint is not Endpoint.CHAT or profile.conversation is Conversation.NONE:
        return ()
    turns: list[Turn] = []
    earlier: Origin | None = origin
    while earlier is not None and earlier.provider == provider:
        said = codecs.said(earlier.reply or "")
        if not said:  # its pictures came inline, or by its task alone: there are no words to give back
            break
        asked = shape(earlier.job, profile.rule(earlier.job.model), Endpoint.CHAT).prompt
        turns.append(Turn(asked, said))
        parent, image = earlier.job.after, earlier.job.after_image
        earlier = await context.ledger.reader.origin(parent, image) if parent else None
    return tuple(reversed(turns))


def _known_by_id(context: Context, origin: Origin, last: Turn, job: Job, provider: str) -> bool:
    """Whether the provider finds this very picture in the conversation by itself.

    An answer of several pictures does not say which, and another model's may be unknown to this one.
    """
    return (
        context.profiles[provider].conversation is Conversation.BY_ID
        and origin.gen_id is not None
        and origin.gen_id in last.answer
        and origin.images == 1
        and origin.job.model == job.model
    )
