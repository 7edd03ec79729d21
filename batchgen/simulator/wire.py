"""Faults of the wire, as changes to a finished reply: cut, silent, in crumbs, with noise between.

Pure: a `Reply` goes in and a `Reply` comes out; serve.py does what it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from batchgen.simulator.exchange import Ending, Piece, Reply

_TASK_LINE = re.compile(rb"> ID: `[^`]+`")
_DRIPPED = 4096
"""so many bytes go one by one; the rest of a large body follows whole"""


def spoil(reply: Reply, faults: frozenset[str]) -> Reply:
    """Apply every wire fault in `faults`; noise first, so that a cut cuts the noisy reply."""
    for name, change in _CHANGES.items():
        if name in faults:
            reply = change(reply)
    return reply


def _is_stream(reply: Reply) -> bool:
    return any("event-stream" in value for _, value in reply.headers)


def _no_done(reply: Reply) -> Reply:
    return replace(reply, pieces=tuple(piece for piece in reply.pieces if b"data: [DONE]" not in piece.data))


def _between(noise: bytes) -> Callable[[Reply], Reply]:
    """Put `noise` after each piece of a stream; other replies have no place for it."""

    def change(reply: Reply) -> Reply:
        if not _is_stream(reply):
            return reply
        return replace(reply, pieces=tuple(replace(piece, data=piece.data + noise) for piece in reply.pieces))

    return change


def _split(reply: Reply) -> Reply:
    """Cut into pieces of 1 to 7 bytes' turn, which falls inside every longer character, id and URL."""
    body = reply.body
    if len(body) > 64 * 1024:
        step = len(body) // 4096
        return replace(reply, pieces=_chopped(reply, [step + 1, step, step + 2]))
    return replace(reply, pieces=_chopped(reply, [1, 5, 2, 7, 3]))


def _chopped(reply: Reply, sizes: list[int]) -> tuple[Piece, ...]:
    pieces = []
    turn = 0
    for piece in reply.pieces:
        start, pause = 0, piece.pause
        while start < len(piece.data):
            end = start + sizes[turn % len(sizes)]
            pieces.append(Piece(piece.data[start:end], pause))
            start, pause, turn = end, 0.0, turn + 1
    return tuple(pieces)


def _drip(reply: Reply) -> Reply:
    body = reply.body
    singles = tuple(Piece(body[at : at + 1]) for at in range(min(len(body), _DRIPPED)))
    rest = body[_DRIPPED:]
    return replace(reply, pieces=(*singles, Piece(rest)) if rest else singles)


def _cut_body(reply: Reply) -> Reply:
    return _kept(reply, max(1, len(reply.body) // 2))


def _cut_after_task_id(reply: Reply) -> Reply:
    """Keep all up to the task id, in a stream its whole event; half of the body when there is no id."""
    found = _TASK_LINE.search(reply.body)
    if found is None:
        return _cut_body(reply)
    end = found.end()
    if _is_stream(reply):
        end = reply.body.find(b"\n\n", end) + 2
    return _kept(reply, end)


def _kept(reply: Reply, size: int) -> Reply:
    pieces = []
    for piece in reply.pieces:
        if size > 0:
            pieces.append(replace(piece, data=piece.data[:size]))
            size -= len(piece.data)
    return replace(reply, pieces=tuple(pieces), ending=Ending.CLOSE)


_CHANGES: Mapping[str, Callable[[Reply], Reply]] = {
    "no_done": _no_done,
    "ping": _between(b": PING\n\n"),
    "empty_choices": _between(b'data: {"object":"chat.completion.chunk","choices":[]}\n\n'),
    "cut_body": _cut_body,
    "cut_after_task_id": _cut_after_task_id,
    "split_utf8": _split,
    "drip": _drip,
    "close_after_headers": lambda reply: replace(reply, pieces=(), ending=Ending.CLOSE),
    "stall": lambda reply: replace(reply, pieces=(), ending=Ending.SILENCE),
    "close_before_headers": lambda reply: replace(reply, mute=True, pieces=(), ending=Ending.CLOSE),
    "reset_before_headers": lambda reply: replace(reply, mute=True, pieces=(), ending=Ending.RESET),
    "stall_before_headers": lambda reply: replace(reply, mute=True, pieces=(), ending=Ending.SILENCE),
    "refuse": lambda reply: replace(reply, mute=True, wait=0.0, pieces=(), ending=Ending.RESET),
}
