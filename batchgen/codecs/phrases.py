"""The words by which providers explain themselves, in both languages, and how long they ask to wait.

Everything here looks at text that somebody else wrote: quoted parts are taken out first, because a
message may quote the prompt, and only a bounded part is searched. Origins: protocol notes on
task-log gateways (one-api, new-api, shell-api) and chat replies with status 200.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchgen.errors import JobError, Refused, Saturated, ServerError, UpstreamLimit

SEARCHED = 6000
"""How many characters of a text are searched for words; the end of a log is where its verdict is."""

_QUOTED = re.compile(
    r"\"[^\"\n]{1,4000}\"|“[^“”\n]{1,4000}”|「[^「」\n]{1,4000}」|『[^『』\n]{1,4000}』|(?<![\w’'])'[^'\n]{1,4000}'(?!\w)"
)
_PROMPT_LINE = re.compile(r"(?im)^[>\s*-]{0,8}(?:提示词|prompt)\**\s*[:：].*$")
_DOTS = re.compile(r"[.…]{3,}")

POLICY = re.compile(
    r"违反.{0,60}?(?:政策|防护限制|规定|准则|条款|规范)|内容政策|安全审核|审核(?:未通过|不通过|失败)|未通过.{0,12}审核"
    r"|敏感(?:词|内容|信息)|涉嫌违规|内容违规|违规内容|没有按照预期生成图片|沒有按照預期生成圖片"
    r"|violat.{0,90}?(?:polic|guardrail|guideline|terms|standard)|content[_ ]polic|guardrails? around"
    r"|safety (?:system|polic|guideline|filter)|safety_violations"
    r"|against (?:our|the) (?:content |usage )?(?:polic|guideline)"
    r"|(?:input|output|content)[_ ]moderation|moderation[_ ]blocked|sensitive[_ ]words|prohibited[_ ]content"
    r"|image_safety|responsible ?ai ?polic|flagged (?:as|by|for)|content[_ ]filter",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"hit the .{0,60}?limit|plan limit for image|limit resets in"
    r"|达到.{0,12}?(?:图片|图像)?(?:创建|生成)(?:的)?上限|图片创建上限",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[- ]limit|too many requests|请求过于频繁", re.IGNORECASE)
BUSY = re.compile(
    r"很多人在创建图片|图片准备好后|lots of people are creating images|负载已饱和|(?:系统|服务器?)(?:当前)?繁忙"
    r"|请?稍后(?:再试|重试)|no available image quota|try again (?:later|shortly|in a (?:few|moment|while|minute|bit))"
    r"|overloaded|at capacity",
    re.IGNORECASE,
)
_TOOL = re.compile(
    r"tool encountered an error|encountered an error.{0,40}?try again|生成(?:工具)?(?:出错|遇到错误)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:I|we)(?:[’']?m| am|[’']?re| are)? ?(?:sorry,? but I )?"
    r"(?:can[’']?t|can ?not|won[’']?t|will not|unable to|not able to) (?:to )?"
    r"(?:help|assist|create|generate|produce|fulfil|comply|edit|provide|make|draw|depict|do that|continue|process)"
    r"|(?:我|我们)(?:不能|无法|没法|不可以|不便)|(?:抱歉|对不起).{0,30}?(?:不能|无法)",
    re.IGNORECASE,
)

_MEANINGS: tuple[tuple[re.Pattern[str], str, type[JobError]], ...] = (
    (_LIMIT, "upstream_account_limit", UpstreamLimit),
    (POLICY, "content_policy", Refused),
    (_RATE, "rate limit in the assistant text", UpstreamLimit),
    (BUSY, "upstream_busy", Saturated),
    (_TOOL, "tool_error", ServerError),
    (_REFUSAL, "refusal", Refused),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """Why a text came in place of an image: a short word and the leaf that says what may be done."""

    reason: str
    leaf: type[JobError]


def unquoted(text: str) -> str:
    """The text without what it quotes (perhaps the prompt); all of it when nothing else is left."""
    text = _DOTS.sub("..", text)[-SEARCHED:]
    rest = _QUOTED.sub(" ", _PROMPT_LINE.sub(" ", text))
    return rest if rest.strip() else text


def meaning(text: str) -> Meaning | None:
    """What an assistant's text without an image means, or None when no known word is in it."""
    words = unquoted(text)
    for pattern, reason, leaf in _MEANINGS:
        if pattern.search(words):
            return Meaning(reason, leaf)
    return None


# --- how long to wait --------------------------------------------------------------------------

_UNITS = {
    "ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "毫秒": 0.001,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "秒": 1.0, "秒钟": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "分": 60.0, "分钟": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0, "小时": 3600.0, "个小时": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "天": 86400.0,
}  # fmt: skip
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_STEP = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_STEP_TEXT = rf"\d{{1,9}}(?:\.\d{{1,9}})?\s*(?:{_UNIT})(?=[^a-z]|\d|$)(?:\s*(?:and|,|零)?\s*)"
_SPAN = rf"((?:{_STEP_TEXT}){{1,5}})"
_GLUED = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)\s*({_UNIT})", re.IGNORECASE)
_WAITS = (
    re.compile(rf"(?:again|retry|retrying|resets?|wait|available)\b[^\d\n]{{0,30}}?{_SPAN}", re.IGNORECASE),
    re.compile(rf"{_SPAN}(?:之?后|内最多)", re.IGNORECASE),
    re.compile(rf"(?:等待|重置)[^\d\n]{{0,10}}{_SPAN}", re.IGNORECASE),
)
LONGEST_WAIT = 31 * 86400.0


def duration(text: str) -> float | None:
    """Seconds in `467ms`, `1m30s`, `6m0s`, `23 hours and 28 minutes`, `5分钟`; None when it is none of these."""
    steps = _GLUED.findall(text.strip()[:80])
    if not steps:
        return None
    return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in steps))


def wait_in(text: str) -> float | None:
    """The seconds that a message asks to wait, in either language, or None."""
    for pattern in _WAITS:
        found = pattern.search(text[:SEARCHED])
        if found and (seconds := duration(found.group(1))) is not None and seconds <= LONGEST_WAIT:
            return seconds
    return None
