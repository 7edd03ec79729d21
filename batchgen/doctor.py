"""Examines what a run with one provider will need: key, address, answer, clock and disk. Pays for nothing.

The one request is a list of models, once for each key; every finding says what to do about it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from batchgen.codecs.base import Call
from batchgen.codecs.sse import loads
from batchgen.errors import JobError
from batchgen.providers.keys import keys_of, missing_key, needs_key
from batchgen.providers.profile import SIMULATED, Profile
from batchgen.transport import Head, Transport

TIMEOUT: Final = 20.0
MOST_SKEW: Final = 60.0
"""Seconds; from here on the deadlines of links that we compute are wrong by as much."""
LITTLE_ROOM: Final = 2_000_000_000
"""Bytes: about a thousand pictures."""
_LONGEST_LIST: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and in words what was seen and what to do."""

    what: str
    well: bool
    words: str


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def examine(profile: Profile, keys: Mapping[str, str], folder: Path, now: float) -> list[Finding]:
    """Look at everything once. `keys` are the environment's, by variable; `now` is epoch seconds."""
    findings = [_disk(folder)]
    if profile.base_url == SIMULATED:
        return [Finding("address", True, "simulated: the run starts it, no key and no network are needed"), *findings]
    mine = keys_of(profile, keys)
    if needs_key(profile) and not mine:
        findings.append(Finding("key", False, missing_key(profile)))
    replies: list[_Reply] = []
    async with Transport() as transport:
        for name, key in (mine or {"": ""}).items():
            try:
                reply = await _models(transport, profile, key)
            except JobError as error:
                findings.append(Finding("address", False, f"{profile.base_url}: {error.message}"))
                break
            replies.append(reply)
            if name:
                findings.append(_key(name, reply))
    if replies:
        findings += [_answer(profile, replies[0]), _clock(replies[0], now)]
    return findings


def _disk(folder: Path) -> Finding:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    words = f"{free / 1e9:,.1f} GB free at {there}"
    if free < LITTLE_ROOM:
        return Finding("disk", False, f"{words}: room for about {free // 2_000_000:,} pictures of 2 MB")
    return Finding("disk", True, words)


async def _models(transport: Transport, profile: Profile, key: str) -> _Reply:
    call = Call(method="GET", url=f"{profile.base_url.rstrip('/')}/models")
    head, body = None, bytearray()
    stream = transport.send(call, timeout=TIMEOUT, authorization=f"Bearer {key}" if key else None)
    async with aclosing(stream):
        async for item in stream:
            if isinstance(item, Head):
                head = item
            elif len(body) < _LONGEST_LIST:
                body += item
    assert head is not None, "a reply begins with its head"
    return _Reply(head.status, head.headers, bytes(body))


def _key(name: str, reply: _Reply) -> Finding:
    if reply.status in (401, 403):
        return Finding("key", False, f"{name} is refused (HTTP {reply.status}): see the provider's page of keys")
    if reply.status == 200:
        return Finding("key", True, f"{name} is taken")
    return Finding("key", True, f"{name} is set; whether it is taken shows with the first request")


def _answer(profile: Profile, reply: _Reply) -> Finding:
    where = profile.base_url
    if reply.status in (401, 403):
        return Finding("address", True, f"{where} answers")
    if reply.status == 404:
        return Finding("address", True, f"{where} answers; it has no list of models")
    names = _names(reply.body) if reply.status == 200 else None
    if names is None:
        said = f"HTTP {reply.status}" if reply.status != 200 else "something that is no list of models"
        return Finding("address", False, f"{where} answers {said}: does base_url end in /v1, as the provider says?")
    wanted = profile.default_model
    if wanted and wanted not in names:
        words = f"{where} answers with {len(names)} models; '{wanted}', the default, is not listed"
        return Finding("address", True, words)
    return Finding("address", True, f"{where} answers with {len(names)} models")


def _names(body: bytes) -> frozenset[str] | None:
    readable, value = loads(body.decode("utf-8", "replace"))
    data = value.get("data") if readable and isinstance(value, Mapping) else value
    if not isinstance(data, list):
        return None
    return frozenset(str(one["id"]) for one in data if isinstance(one, Mapping) and "id" in one)


def _clock(reply: _Reply, now: float) -> Finding:
    try:
        theirs = parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return Finding("clock", True, "the provider does not tell its time")
    skew = now - theirs
    if abs(skew) > MOST_SKEW:
        way = "ahead of" if skew > 0 else "behind"
        return Finding("clock", False, f"this machine is {abs(skew):.0f} s {way} the provider: set its clock (NTP)")
    return Finding("clock", True, f"within {max(1, round(abs(skew)))} s of the provider's")
