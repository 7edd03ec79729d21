"""Links in an assistant's text: markdown, image tags, bare addresses, in the order they appear.

Linear on any input: every scan is bounded and goes only forward. A link's query is handed on
untouched, since a signed one dies of the smallest change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

_LABEL = 2000
_MOST = 1000
_START = re.compile(r"\s{0,8}<?((?:https?://|data:)[^\s<>\"]{1,16384})", re.IGNORECASE)
_TAG = re.compile(r"<img\b[^<>]{0,2000}?\bsrc\s{0,4}=\s{0,4}[\"']?((?:https?://|data:)[^\s\"'<>]{1,16384})", re.I)
_BARE = re.compile(r"https?://[^\s\"'<>()\[\]{}|\\^`*（）【】「」『』《》，。；：、！？“”‘’]{1,16384}", re.IGNORECASE)
_TITLED = re.compile(r">?\s{0,8}(?:[\"'][^\"'\n]{0,500}[\"']\s{0,8})?\)")
_BRACKET = re.compile(r"[()]")
_IMAGE_PATH = re.compile(r"\.(?:png|jpe?g|jfif|webp|gif|bmp|avif|tiff?|heic|svg)$", re.IGNORECASE)
_OTHER_PATH = re.compile(
    r"\.(?:mp4|webm|mov|m4v|mkv|avi|m3u8|mp3|wav|html?|php|pdf|json|txt|md|zip|csv|xml|js|css)$",
    re.IGNORECASE,
)
_VIDEO_PATH = re.compile(r"\.(?:mp4|webm|mov|m4v|mkv|avi|m3u8)$", re.IGNORECASE)


class Form(Enum):
    """How a link was written."""

    IMAGE = "![label](url) or <img>"
    LINK = "[label](url)"
    BARE = "url"


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its form, its label (alt text), its URL as written, and where in the text it ends."""

    form: Form
    label: str
    url: str
    end: int


def written_links(text: str) -> list[Link]:
    """Markdown links with balanced parentheses, and image tags, in the order of the text."""
    found: list[tuple[int, Link]] = []
    position = last = 0
    while len(found) < _MOST and (middle := text.find("](", position)) >= 0:
        position = middle + 2
        start = _START.match(text, position)
        if start is None:
            continue
        # Also past a token that is no link: what was scanned once is not scanned again.
        position = start.end(1)
        end = _closing(text, start.start(1), start.end(1))
        if end is None:
            continue
        opening = text.rfind("[", max(last, middle - _LABEL), middle)
        label = text[opening + 1 : middle] if opening >= 0 else ""
        form = Form.IMAGE if opening > 0 and text[opening - 1] == "!" else Form.LINK
        found.append((middle, Link(form, label.strip(), _plain(text[start.start(1) : end]), end)))
        position = last = end
    for tag in _TAG.finditer(text):
        if len(found) >= 2 * _MOST:
            break
        found.append((tag.start(), Link(Form.IMAGE, "", _plain(tag.group(1)), tag.end())))
    return [link for _, link in sorted(found, key=lambda pair: pair[0])]


def bare_links(text: str) -> list[Link]:
    """Addresses as they stand, up to white space, quotes, brackets or full-width punctuation."""
    links: list[Link] = []
    for found in _BARE.finditer(text):
        if len(links) >= _MOST:
            break
        links.append(Link(Form.BARE, "", _plain(found.group().rstrip(".,;:!?_~")), found.end()))
    return links


def _closing(text: str, start: int, end: int) -> int | None:
    """Where a link's URL ends: before the parenthesis that closes it, or, unbalanced, before the first one."""
    depth = 0
    first: int | None = None
    for bracket in _BRACKET.finditer(text, start, end):
        if bracket.group() == "(":
            depth += 1
            continue
        first = bracket.start() if first is None else first
        if depth == 0:
            return bracket.start()
        depth -= 1
    if first is None and _TITLED.match(text, end):
        # `](url "title")` and `](<url>)`: the URL is the whole token.
        return end
    return first


def _plain(url: str) -> str:
    return url.replace("&amp;", "&")


def path_of(url: str) -> str:
    """The path of a URL, undone of its escapes, without query and fragment."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0])


def file_name(url: str) -> str:
    """The last step of the path: by it a view and a download of the same picture are told to be one."""
    return path_of(url).rstrip("/").rpartition("/")[2]


def is_image(url: str) -> bool:
    """Its path ends like a picture's."""
    return bool(_IMAGE_PATH.search(path_of(url)))


def is_video(url: str) -> bool:
    """Its path ends like a film's."""
    return bool(_VIDEO_PATH.search(path_of(url)))


def is_other(url: str) -> bool:
    """Its path ends like something that is certainly no picture."""
    return bool(_OTHER_PATH.search(path_of(url)))
