"""Wire codecs: a job's request as bytes for each of the two doors, and the reader of every reply. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.codecs import chat, images
from batchgen.codecs.base import Ask, Call, Decoder
from batchgen.codecs.inline import ELIDED
from batchgen.codecs.reply import ReplyDecoder
from batchgen.model import Endpoint
from batchgen.providers.profile import Profile

_ENCODERS: Mapping[Endpoint, Callable[[Ask, Profile], Call]] = {
    Endpoint.CHAT: chat.encode,
    Endpoint.IMAGES: images.encode,
}


def encode(ask: Ask, profile: Profile) -> Call:
    """The HTTP request for one ask at the profile's door. Raises BadReference for a picture it can't take."""
    return _ENCODERS[profile.endpoint](ask, profile)


def said(kept: str) -> str:
    """The words of the answer in a reply as the ledger keeps it; empty when a picture stood in them inline."""
    reply = ReplyDecoder("")
    reply.feed(kept.encode())
    return "" if ELIDED.search(words := reply.words()) else words


def log_of(kept: str) -> str:
    """What a person reads in a kept reply: the words of the answer, where gateways tell progress, else all of it."""
    reply = ReplyDecoder("")
    reply.feed(kept.encode())
    return reply.words().strip() or kept


def decoder(endpoint: Endpoint, content_type: str) -> Decoder:
    """A fresh reader of one reply. It believes the bytes over the endpoint and the content type.

    Servers answer a stream with one object and the other way round, and either door with the other's
    shape, so the endpoint only documents what was asked.
    """
    return ReplyDecoder(content_type)
