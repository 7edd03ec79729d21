"""Reads an assistant's text: images, task id, progress, and why there is none.

Covers the markdown logs of task-log gateways, plain markdown, data URLs, bare links and refusals.
Pure and linear: a text may be megabytes long and hostile. Never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from batchgen.codecs.base import Fact, Found
from batchgen.codecs.echo import split_echo
from batchgen.codecs.inline import DATA_URL, ELIDED, mended, payload
from batchgen.codecs.links import (
    Form,
    Link,
    bare_links,
    file_name,
    is_image,
    is_other,
    is_video,
    written_links,
)
from batchgen.codecs.phrases import SEARCHED, Meaning, meaning, unquoted, wait_in
from batchgen.errors import JobError, NoImage
from batchgen.events import Progress, TaskSeen


class Verdict(Enum):
    """What a whole text amounts to."""

    OK = "ok"
    UNFINISHED = "unfinished"
    NO_IMAGE = "no_image"
    JOB_FATAL = "job_fatal"
    RETRY_LATER = "retry_later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What stands in one text. `leaf` is the error that fits when there is no image and words explain it.

    `running`: a log that neither ended nor failed. `said`: the words after the echo, at most 300 characters.
    """

    images: tuple[Found, ...] = ()
    verdict: Verdict
    task_id: str | None = None
    gen_id: str | None = None
    parent_gen_id: str | None = None
    progress: tuple[int, ...] = ()
    preview_urls: tuple[str, ...] = ()
    task_urls: tuple[str, ...] = ()
    failed: bool = False
    reason: str | None = None
    leaf: type[JobError] | None = None
    retry_after: float | None = None
    running: bool = False
    said: str = ""


# A data URL is replaced by one of these before anything else looks at the text.
_OPEN, _CLOSE = "\ue000", "\ue001"
_LIFTED = re.compile(f"{_OPEN}(\\d{{1,6}}){_CLOSE}")

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_KNOWN_ID = rf"(?:[\w.-]{{1,40}}:)?(?:task_[0-9A-Za-z]{{6,64}}|{_UUID})"
_LABEL = r"(?:^|>|\n|任务|[Tt]ask)[ \t*]{0,8}ID\**\s{0,4}[:：]\**\s{0,4}"
_ASYNCDATA = r"https?://(?:[\w-]{1,60}\.){0,4}asyncdata\.net/(?:web|source|api/share)/"
# Every id must be followed by something that can't belong to it: a piece of a stream may end inside one.
_IDS = (
    ("ID", re.compile(rf"{_LABEL}`([\w.:-]{{6,128}})`")),
    ("ID", re.compile(rf"{_LABEL}({_KNOWN_ID})(?=[^\w:-])")),
    ("asyncdata.net/", re.compile(rf"{_ASYNCDATA}([\w.:%-]{{6,160}})(?=[^\w.:%-])")),
    ('"task_id"', re.compile(r'"task_id"\s{0,8}:\s{0,8}"([\w.:-]{6,128})"')),
    ("task_", re.compile(r"(?:/|%2[Ff])(task_[0-9A-Za-z]{20,64})(?=[^0-9A-Za-z])")),
)
"""Where an id may stand, the surest place first, each with a word that is always there."""
_TASK_URL = re.compile(r"https?://(?:[\w-]{1,60}\.){0,4}asyncdata\.net/(?:web|source|api/share)/", re.IGNORECASE)
_GEN_LINE = re.compile(r"gen_id\**\s{0,4}[:：]\s{0,4}`?(gen_\w{4,80})")
_GEN_ALT = re.compile(r"gen_\w{4,80}$")
_PROGRESS = re.compile(
    r"(?:进度|[Pp]rogress)[ \t:：*]{0,8}((?:\[?\d{1,3}(?:\.\d{1,3}(?=%))?%?[ \t.…·*]{0,400}){1,200})"
)
_MOST_NUMBERS = 1000
_NUMBER = re.compile(r"(?<!\d)(\d{1,3})(?:\.\d{1,3}(?=%))?(?!\d)")
_DONE = re.compile(r"生成完成|生成成功|已生成|任务完成|generati(?:on|ng) complete", re.IGNORECASE)
_RUNNING = re.compile(r"排队中|生成中|等待处理|进度|(?:^|>|\n)[^\w\n]{0,6}(?:Queu|Generating|Progress\s*\d)")
_FAILED = re.compile(r"生成失败|任务失败|失败原因|generation failed", re.IGNORECASE)
_REASONS = (
    re.compile(r"(?:失败原因|[Ff]ailure reason)\s{0,4}[:：]\s{0,4}([^\n]{1,200})"),
    re.compile(r"(?:生成失败|任务失败|[Gg]eneration failed)[ \t❌]{0,4}[-—–:：][ \t]{0,4}([^\n]{1,200})"),
)
_DOWNLOAD_WORDS = re.compile(r"download|下载|image|图片|view|查看|原图|picture|photo|链接|here", re.IGNORECASE)


def read(text: str, *, whole: bool = True) -> Reading:
    """Read a text. `whole=False`: the stream broke off, so what touches the end of the text may be cut."""
    plain, lifted = _lift(mended(text), whole)
    echo = split_echo(plain)
    rest = "" if echo.open and not echo.rest.strip() else echo.rest
    links = written_links(rest)
    task_id = find_task_id(rest + "\n" if whole else rest)
    previews = [link.url for link in links if link.form is Form.LINK and link.label.isdecimal()]
    task_urls = [link.url for link in links if _TASK_URL.match(link.url)]
    numbers = tuple(progress_in(rest + "\n"))
    urls = _shown(rest, links, whole)
    explained = None if urls else _explain(rest)
    urls = urls or _bare(rest, links, whole, named=task_id is None and explained is None)
    if not urls and previews and task_id is None and not numbers:
        urls = [(url, ()) for url in dict.fromkeys(previews)]
    elif len(urls) == 1 and previews:
        urls = [(urls[0][0], (*urls[0][1], *dict.fromkeys(previews)))]
    images = tuple(image for url, others in urls if (image := _found(url, others, lifted)) is not None)
    if urls and not images:
        explained = _explain(rest)
    gen = _GEN_LINE.search(rest)
    alts = (link.label for link in links if link.form is Form.IMAGE and _GEN_ALT.match(link.label))
    verdict = _verdict(images, explained, task_id, rest)
    failed = not images and explained is not None
    return Reading(
        images=images,
        verdict=verdict,
        task_id=task_id,
        gen_id=gen.group(1) if gen else next(alts, None),
        parent_gen_id=echo.parent_gen_id,
        progress=numbers,
        preview_urls=tuple(dict.fromkeys(previews)),
        task_urls=tuple(dict.fromkeys(task_urls)),
        failed=failed,
        reason=explained.reason if failed and explained else None,
        leaf=explained.leaf if failed and explained else None,
        retry_after=wait_in(unquoted(rest)) if verdict is Verdict.RETRY_LATER else None,
        running=not images and not failed and bool(_RUNNING.search(rest)) and not _DONE.search(rest),
        said=_LIFTED.sub("…", rest).strip(" \n\r\t`")[:300],
    )


def find_task_id(text: str) -> str | None:
    """The provider's task id in a text without echo, once something stands behind it."""
    for word, pattern in _IDS:
        # A plain search for the word first: a stream asks this for every piece.
        if word in text and (found := pattern.search(text)):
            return unquote(found.group(1)).rstrip(".:")
    return None


def progress_in(text: str) -> list[int]:
    """The numbers of a progress log, 0 to 100; each must be followed by something that is no digit."""
    numbers: list[int] = []
    if "进度" not in text and "rogress" not in text:
        return numbers
    for run in _PROGRESS.finditer(text):
        if len(numbers) > _MOST_NUMBERS:
            break
        for found in _NUMBER.finditer(run.group(1)):
            at_end = run.start(1) + found.end() >= len(text)
            if not at_end and (number := int(found.group(1))) <= 100:
                numbers.append(number)
    return numbers


def _lift(text: str, whole: bool) -> tuple[str, list[str]]:
    """Put data URLs aside so that all further work is on a short text."""
    text = text.replace(_OPEN, "").replace(_CLOSE, "").replace("\\/", "/").replace("\\u0026", "&")
    lifted: list[str] = []

    def put(found: re.Match[str]) -> str:
        if not whole and found.end() == len(text):
            return ""
        lifted.append(found.group(1))
        return f"data:{_OPEN}{len(lifted) - 1}{_CLOSE}"

    def elided(found: re.Match[str]) -> str:
        # A kept reply, read again: here stood a picture, and a link beside it was not the result.
        lifted.append("")
        return f"data:{_OPEN}{len(lifted) - 1}{_CLOSE}"

    return ELIDED.sub(elided, DATA_URL.sub(put, text)), lifted


def _found(url: str, others: tuple[str, ...], lifted: list[str]) -> Found | None:
    if mark := _LIFTED.search(url):
        index = int(mark.group(1))
        inline = payload(lifted[index]) if index < len(lifted) else None
        return Found(None, inline=inline) if inline else None
    return Found(url, tuple(other for other in others if other != url))


_Group = tuple[str, tuple[str, ...]]


def _shown(text: str, links: list[Link], whole: bool) -> list[_Group]:
    """The pictures in their best forms: views with their downloads, else data URLs that stand alone."""
    groups = _written(links, len(text) if not whole else None)
    return groups or [(url, ()) for url in dict.fromkeys(f"data:{mark.group()}" for mark in _LIFTED.finditer(text))]


def _bare(text: str, links: list[Link], whole: bool, *, named: bool) -> list[_Group]:
    """Links that stand alone and lead to a picture, else (`named`) what is called one or is the only thing there."""
    aside = {link.url for link in links}
    bare = [link for link in bare_links(text) if link.url not in aside and not _TASK_URL.match(link.url)]
    if not whole:
        bare = [link for link in bare if link.end < len(text)]
    pictures = [link.url for link in bare if is_image(link.url)]
    if not pictures and named:
        called = [link for link in links if not link.label.isdecimal() and _DOWNLOAD_WORDS.search(link.label)]
        pictures = [link.url for link in (*called, *bare) if not is_other(link.url) and _has_path(link.url)]
    return [(url, ()) for url in dict.fromkeys(pictures)]


def _written(links: list[Link], cut: int | None) -> list[_Group]:
    """Views, each with the downloads of the same file name behind it, then downloads of their own."""
    groups: dict[str, list[str]] = {}
    downloads: list[str] = []
    for link in links:
        url = link.url
        if _TASK_URL.match(url) or is_video(url) or link.end == cut:
            continue
        if cut is not None and url.count("(") > url.count(")"):
            # The parenthesis that ended it belongs to the address, whose rest never came.
            continue
        if url.startswith("data:") and not _LIFTED.search(url):
            continue
        fetched = "/cdn/download/" in url
        if link.form is Form.IMAGE and not fetched:
            groups.setdefault(url, [])
        elif not (link.form is Form.LINK and link.label.isdecimal()) and (fetched or is_image(url)):
            downloads.append(url)
        elif _LIFTED.search(url):
            groups.setdefault(url, [])
    views: dict[str, list[str]] = {}
    for url in groups:
        views.setdefault(file_name(url), []).append(url)
    for url in dict.fromkeys(downloads):
        same = [view for view in views.get(file_name(url), ()) if view != url]
        if url in groups:
            continue
        if same:
            # Two views of one name: each gets its own download.
            groups[min(same, key=lambda view: len(groups[view]))].append(url)
        else:
            groups[url] = []
            views.setdefault(file_name(url), []).append(url)
    return [(url, tuple(others)) for url, others in groups.items()]


def _has_path(url: str) -> bool:
    """More than a host: a bare home page in a text is no picture."""
    return len(url.split("://", 1)[-1].partition("/")[2]) > 3


def _explain(text: str) -> Meaning | None:
    """Why there is no image, by the log's own reason first and by known words after that."""
    tail = text[-SEARCHED:]
    for pattern in _REASONS:
        if found := pattern.search(tail):
            reason = found.group(1).strip(" `*_。.")
            known = meaning(reason)
            return Meaning(reason, known.leaf if known else NoImage)
    known = meaning(text)
    if known is None and _FAILED.search(unquoted(text)):
        return Meaning("failed without a reason", NoImage)
    return known


def _verdict(images: tuple[Found, ...], why: Meaning | None, task_id: str | None, text: str) -> Verdict:
    if images:
        return Verdict.OK
    if why is not None and why.leaf is not NoImage:
        return Verdict.JOB_FATAL if why.leaf.refused else Verdict.RETRY_LATER
    if why is None and task_id is not None and not _DONE.search(text):
        return Verdict.UNFINISHED
    return Verdict.NO_IMAGE


class Watch:
    """Follows a text while it arrives and yields the task id and the progress as soon as they are whole."""

    _WINDOW = 1024
    _ECHO = 256 * 1024
    _STOPS = re.compile(r"[\s`)>|\"\].%*}]")
    _ECHO_STOPS = re.compile(r"[}`]|^[ \t]*\r?\n")

    def __init__(self) -> None:
        self._window = ""
        self._fresh: list[str] = []
        self._size = 0
        self._percent = -1
        self._in_echo = False
        self.task_id: str | None = None

    def feed(self, piece: str) -> list[Fact]:
        """Take the next piece; the work is bounded by the pieces' length, however many there are."""
        self._fresh.append(piece)
        self._size += len(piece)
        if not self._STOPS.search(piece):
            # Base64 goes by here: no id or number can end in it, so it is only shortened.
            if self._size > 2 * self._ECHO:
                self._fresh = ["".join(self._fresh)[-self._WINDOW :]]
                self._size = self._WINDOW
            return []
        if self._in_echo and self._size < self._WINDOW and not self._ECHO_STOPS.search(piece):
            return []
        self._window += "".join(self._fresh)
        self._fresh, self._size = [], 0
        echo = split_echo(self._window, more=True)
        self._in_echo = echo.open
        facts = self._scan(echo.rest)
        if not echo.open:
            self._window = echo.rest[-self._WINDOW :]
        elif len(self._window) > self._ECHO:
            self._window = ""
        return facts

    def _scan(self, text: str) -> list[Fact]:
        facts: list[Fact] = []
        if self.task_id is None and (seen := find_task_id(text)) is not None:
            self.task_id = seen
            facts.append(TaskSeen(seen))
        for number in progress_in(text):
            if number > self._percent:
                self._percent = number
                facts.append(Progress(number))
        return facts
