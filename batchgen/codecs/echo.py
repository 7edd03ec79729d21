"""The prompt that a gateway repeats at the top of its log, found and taken out.

Task-log gateways start an answer with a JSON echo of the request. Its words are the user's, so no
verdict, link or id may be read from it; only its `gen_id`, the *parent* picture, is of use.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_LEADING = re.compile(r"\s*(?:(```)[\w-]{0,20}\s*)?(?=\{)")
_BARE = re.compile(r'\{\s*"prompt"\s*:')
_PROMPT_KEY = re.compile(r'"prompt"\s*:')
_PARENT = re.compile(r'"gen_id"\s*:\s*"(gen_\w{1,100})"')
_LINE_END = re.compile(r"\}[ \t]*\r?\n")
_LAST_LINE_END = re.compile(r"\}[ \t]*$")
_MOST = 8
_JSON = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Split:
    """A text without its echo. `open`: the echo has begun and not ended, so the rest is not known yet."""

    rest: str
    parent_gen_id: str | None = None
    open: bool = False


def split_echo(text: str, *, more: bool = False) -> Split:
    """Take out the leading fenced object and every object that begins with `"prompt"`, at most eight.

    `more`: the text goes on, so that where it ends now is no end of a line.
    """
    kept: list[str] = []
    parent: str | None = None
    position = 0
    for _ in range(_MOST):
        begin = _begin(text, position)
        if begin is None:
            break
        start, fenced = begin
        end = _end(text, start, fenced, more)
        kept.append(text[position:start])
        if parent is None and (found := _PARENT.search(text, start, len(text) if end is None else end)):
            parent = found.group(1)
        if end is None:
            return Split("".join(kept), parent, open=True)
        position = end
    return Split("".join([*kept, text[position:]]), parent)


def _begin(text: str, position: int) -> tuple[int, bool] | None:
    if position == 0 and (leading := _LEADING.match(text)):
        start = leading.end()
        value = _object(text, start)
        known = isinstance(value, tuple) and "prompt" in value[0]
        # Not readable (yet): an echo when its prompt is near the top, or when it may still come.
        if known or (value is None and (_PROMPT_KEY.search(text, start, start + 400) or len(text) < start + 40)):
            return start, leading.group(1) is not None
    found = _BARE.search(text, position)
    return (found.start(), False) if found else None


def _object(text: str, start: int) -> tuple[dict[str, object], int] | None:
    try:
        value, end = _JSON.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return (value, end) if isinstance(value, dict) else None


def _end(text: str, start: int, fenced: bool, more: bool) -> int | None:
    try:
        return _JSON.raw_decode(text, start)[1]
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()):
            return None
    except (ValueError, RecursionError):
        pass
    # The gateway's JSON is broken, an unescaped quote for one: the fence or the line tells the end.
    if fenced:
        fence = text.find("```", start)
        return fence if fence >= 0 else None
    found = _LINE_END.search(text, start) or (None if more else _LAST_LINE_END.search(text, start))
    return found.end() if found else None
