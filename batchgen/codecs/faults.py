"""From a status and an error body to a leaf of errors.py, for every gateway family we know.

By machine code first, then type, then known phrase, then status. Never raises, never keeps a key,
and never reads a verdict out of a quoted prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import batchgen.codecs.fault_words as known
from batchgen.codecs.echo import split_echo
from batchgen.codecs.inline import mended, without_base64
from batchgen.codecs.phrases import unquoted, wait_in
from batchgen.codecs.redact import redact
from batchgen.codecs.sse import loads
from batchgen.codecs.waits import request_id, reset_wait, told_wait
from batchgen.errors import (
    BadRequest,
    Interrupted,
    JobError,
    NoChannel,
    NoImage,
    QuotaSpent,
    RateLimited,
    Refused,
    Saturated,
    ServerError,
)
from batchgen.model import Json

LONGEST_MESSAGE = 500
_SEARCHED = 20_000

_REQUEST_SUFFIX = re.compile(
    r"[(（]\s{0,4}(?:request[ _-]?id|trace[ _-]?id)\s{0,4}[:：]?\s{0,4}([\w.:-]{4,120})\s{0,4}[)）]",
    re.IGNORECASE,
)
_REQUEST_WORD = re.compile(r"\b(req_[0-9a-zA-Z]{12,64})")
_PARAM_ID = re.compile(r"(?=[\w-]*\d)[\w-]{16,80}$")
_LITELLM_HEAD = re.compile(
    r"^(?:litellm\.)?\w{1,60}(?:Error|Exception|Timeout): "
    r"(?:(?:litellm\.)?\w{1,60}(?:Error|Exception)(?:: | - )){0,3}"
)
_LITELLM_TAIL = re.compile(r"(?:LiteLLM: model group|Received Model Group=|LiteLLM Retried).*$", re.DOTALL)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
_LIMIT = re.compile(r"\blimit:?\s{0,4}(\d[\d,]{0,14})", re.IGNORECASE)
_REQUESTED = re.compile(r"\brequested:?\s{0,4}(\d[\d,]{0,14})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Said:
    """An error object reduced to what decides: all words as text, `words` without what they quote."""

    code: str
    type: str
    param: str
    message: str
    words: str


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> JobError:
    """The leaf of a complete error reply. `headers` have lower-case names, `now` is epoch seconds."""
    text = body[:_SEARCHED].decode("utf-8", "replace").strip().lstrip("\ufeff")
    if text.startswith("data:"):
        text = text.removeprefix("data:").partition("\n")[0]
    readable, value = loads(text if len(body) <= _SEARCHED else body.decode("utf-8", "replace"))
    if readable and isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return classify_error(value, status, headers, now=now)
    if not text:
        return _build(known.of_status(status), f"HTTP {status} with an empty body", status, headers, now)
    if text.startswith("<"):
        title = _TITLE.search(text)
        message = " ".join(title.group(1).split()) if title else "a web page"
        return _build(known.of_status(status), f"HTTP {status}: {message}", status, headers, now)
    return classify_error(text, status, headers, now=now)


def classify_error(error: Json, status: int, headers: Mapping[str, str], *, now: float) -> JobError:
    """The leaf of an error value: an error object, a whole body that holds one, or a plain text.

    `status` is that of the reply; an error told inside a 200 may carry its own in `code`.
    """
    said = _said(error)
    told = _status(said, status)
    leaf = _leaf(said, told)
    if leaf is RateLimited:
        leaf = _never_fits(said.words) or leaf
    built = _build(leaf, said.message or f"HTTP {told}", told, headers, now, words=said.words)
    built.code = redact(said.code)[:100] or None
    if built.request_id is None:
        built.request_id = _told_id(error, said)
    return built


def _build(
    leaf: type[JobError], message: str, status: int, headers: Mapping[str, str], now: float, words: str = ""
) -> JobError:
    wait = told_wait(headers, now=now)
    if wait is None and words:
        wait = wait_in(words)
    if wait is None and leaf is RateLimited:
        wait = reset_wait(headers, now=now)
    return leaf(tidy(message), status=status, retry_after=wait, request_id=request_id(headers))


def tidy(message: str) -> str:
    """A provider's message fit for the ledger: no key, no request id, no base64, one line, 500 characters."""
    text = _LITELLM_TAIL.sub("", _LITELLM_HEAD.sub("", message[:_SEARCHED]))
    text = redact(without_base64(mended(_REQUEST_SUFFIX.sub("", text))))
    return " ".join(text.split())[:LONGEST_MESSAGE]


# --- what was said -----------------------------------------------------------------------------


def _said(error: Json, depth: int = 0) -> _Said:
    if isinstance(error, Mapping):
        inner = error.get("error")
        if depth < 3 and isinstance(inner, Mapping | list) and inner:
            return _said(inner, depth + 1)
        return _from_mapping(error)
    if isinstance(error, Sequence) and not isinstance(error, str):
        return _said(error[0], depth + 1) if error and depth < 3 else _Said("", "", "", "", "")
    text = "" if error is None else str(error)[:_SEARCHED]
    return _Said("", "", "", text, _words(text))


def _from_mapping(error: Mapping[str, Json]) -> _Said:
    message = next((text for name in _MESSAGES if (text := _text(error.get(name)))), "")
    texts = [message, _text(error.get("localized_message")), _text(error.get("failure_reason"))]
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping):
        # OpenRouter hides the upstream's own words here.
        texts.append(_text(metadata.get("raw")))
    if not message and not texts[1]:
        message = _text(error.get("code")) or _text(error.get("type")) or json.dumps(error, ensure_ascii=False)[:300]
    kind = _text(error.get("type")) or _text(error.get("status"))
    code, param = _text(error.get("code")), _text(error.get("param"))
    words = "\n".join(_words(text) for text in texts if text)
    return _Said(code.strip(), kind.strip().lower(), param.strip(), message, words)


_MESSAGES = ("message", "msg", "error", "detail", "error_message", "errorMessage", "error_msg", "Message")


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value[:_SEARCHED]
    if value is None or isinstance(value, bool) or value == 0:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return _text(value.get("message")) or json.dumps(value, ensure_ascii=False)[:_SEARCHED]
    return json.dumps(value, ensure_ascii=False)[:_SEARCHED]


def _words(text: str) -> str:
    """The part of a message that may decide: without an echo of the prompt and without quotes."""
    return unquoted(split_echo(text).rest or text)


def _told_id(error: Json, said: _Said) -> str | None:
    if found := _REQUEST_SUFFIX.search(said.message) or _REQUEST_WORD.search(said.message):
        return found.group(1)
    if isinstance(error, Mapping):
        for name in ("request_id", "requestId"):
            if isinstance(told := error.get(name), str) and told:
                return told[:200]
    # modelverse documents `error.param` as the request id.
    return said.param if _PARAM_ID.match(said.param) else None


# --- what it means -----------------------------------------------------------------------------


def _status(said: _Said, status: int) -> int:
    """The HTTP status; for an error inside a 200, the one that its `code` holds, if it does."""
    if status < 400 and said.code.isascii() and said.code.isdigit() and 400 <= int(said.code[:4]) < 600:
        return int(said.code[:4])
    return status


def _leaf(said: _Said, status: int) -> type[JobError]:
    if early := _phrase(known.BEFORE_CODES, said.words, status):
        return early
    code = said.code.lower()
    leaf = _special(code, said, status) or _of_code(code) or _of_code(said.type, strong=True)
    if leaf in (BadRequest, ServerError):
        sharper = _phrase(known.PHRASES, said.words, status)
        return sharper if sharper in known.SHARPER and sharper is not None else leaf
    return leaf or _phrase(known.PHRASES, said.words, status) or known.TYPES.get(said.type) or known.of_status(status)


def _of_code(code: str, strong: bool = False) -> type[JobError] | None:
    if strong and code in known.TYPES:
        return None
    if leaf := known.CODES.get(code):
        return leaf
    for prefix, leaf in known.CODE_PREFIXES:
        if code.startswith(prefix):
            return leaf
    return next((leaf for suffix, leaf in known.CODE_SUFFIXES if code.endswith(suffix)), None)


def _special(code: str, said: _Said, status: int) -> type[JobError] | None:
    """Codes whose meaning hangs on what stands beside them."""
    if code == "model_not_found" and status >= 500:
        # new-api 2026: a spelling error or a short outage, nobody can tell.
        return NoChannel
    if code == "channel:image_generation_failed":
        # Gemini: a safety word is final, anything else often passes with the same prompt.
        return Refused if re.search(r"SAFETY|PROHIBITED|blocked", said.words, re.IGNORECASE) else NoImage
    if code == "bad_response_status_code":
        real = re.search(r"\b([45]\d\d)\b", said.param) or re.search(r"status code:? ([45]\d\d)", said.words)
        return _of_upstream(int(real.group(1))) if real else ServerError
    return None


def _of_upstream(status: int) -> type[JobError]:
    """What an upstream's status means when the gateway relays it: its key and quota are not ours."""
    if status in (400, 413, 422):
        return BadRequest
    if status == 429:
        return Saturated
    return Interrupted if known.of_status(status) is Interrupted else ServerError


def _phrase(table: Sequence[known.Phrase], words: str, status: int) -> type[JobError] | None:
    for leaf, pattern, statuses in table:
        if (not statuses or status in statuses) and pattern.search(words):
            return leaf
    return None


def _never_fits(words: str) -> type[JobError] | None:
    """A rate limit that waiting can't mend: a limit of nothing, or a request larger than the limit."""
    limit, requested = _LIMIT.search(words), _REQUESTED.search(words)
    if limit is None:
        return None
    most = int(limit.group(1).replace(",", ""))
    if most == 0:
        return QuotaSpent
    return BadRequest if requested and int(requested.group(1).replace(",", "")) > most else None
