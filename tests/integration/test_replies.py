"""What the ledger is told of a reply while it still arrives."""

from __future__ import annotations

import json

from batchgen.events import Replied
from batchgen.providers.builtin import BUILTIN
from batchgen.replies import Reply
from batchgen.transport import Head

LINK = "https://cdn.example.com/a.png"


def _chunk(text: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n".encode()


def _fed(*pieces: bytes, kind: str = "text/event-stream") -> list[Replied | None]:
    reply = Reply(BUILTIN["tu-zi"], lambda: 0.0)
    items: list[Head | bytes] = [Head(200, {"content-type": kind}), *pieces]
    told: list[Replied | None] = []
    for item in items:
        reply.take(item)
        told.append(reply.early(item))
    return told[1:]


def test_a_link_in_a_stream_is_told_as_soon_as_it_is_whole_and_only_once() -> None:
    told = _fed(_chunk("![a](https://cdn.exa"), _chunk("mple.com/a.png)"), _chunk("\nthat was it (really)"))
    assert told[0] is None
    assert told[1] is not None
    assert "cdn.exa" in told[1].text
    assert told[2] is None


def test_each_further_link_is_told_too() -> None:
    told = _fed(_chunk(f"![a]({LINK})"), _chunk(f"![b]({LINK}?2)"))
    assert [reply is not None for reply in told] == [True, True]


def test_progress_without_a_link_is_not_told() -> None:
    assert _fed(_chunk("> 进度 14%. (queue)"), b": PING\n\n") == [None, None]


def test_one_body_that_is_no_stream_is_told_at_its_end_only() -> None:
    body = json.dumps({"choices": [{"message": {"content": f"![a]({LINK})"}}]}).encode()
    assert _fed(body, kind="application/json") == [None]
