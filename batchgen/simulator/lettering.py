"""Put a prompt on a picture in any script: the built-in typeface first, then fonts that the system has.

A character that no font here can draw appears as its \\u escape, which is at least honest. Pillow is
imported by the caller's first use, never at start-up.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from PIL import ImageDraw, ImageFont

_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "simsun.ttc",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int, int]


@lru_cache(maxsize=64)
def _fonts(size: int) -> tuple[Font, ...]:
    found: list[Font] = [ImageFont.load_default(size)]
    for name in _SYSTEM_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=8192)
def _font_for(char: str) -> int | None:
    """Index of the first font with a glyph for this character: one that differs from its 'missing' box."""
    for index, font in enumerate(_fonts(24)):
        if char.isspace() or bytes(font.getmask(char)) != bytes(font.getmask("\U000fffff")):
            return index
    return None


def _drawable(text: str) -> str:
    """Text of which every character can be drawn: white space as blanks, missing characters escaped."""
    return "".join(
        char if _font_for(char) is not None else char.encode("unicode_escape").decode()
        for char in " ".join(text.split())
    )


def _runs(text: str, size: int) -> list[tuple[Font, str]]:
    fonts = _fonts(size)
    return [(fonts[index or 0], "".join(chars)) for index, chars in groupby(text, key=_font_for)]


def width(text: str, size: int) -> float:
    """Pixels that the text takes at this size."""
    return sum(font.getlength(run) for font, run in _runs(text, size))


def draw_line(
    canvas: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, color: Color
) -> None:
    """Draw one line; `at` is where its baseline begins."""
    x, y = at
    for font, run in _runs(text, size):
        if isinstance(font, ImageFont.FreeTypeFont):
            canvas.text((x, y), run, font=font, fill=color, anchor="ls")
        else:
            canvas.text((x, y - size), run, font=font, fill=color)
        x += font.getlength(run)


def wrap(text: str, size: int, room: float, most: int) -> list[str]:
    """Break into at most `most` lines that fit `room` pixels; what is left out becomes an ellipsis."""
    lines: list[str] = []
    line = ""
    for word in _words(_drawable(text)):
        if width(line + word.rstrip(), size) <= room:
            line += word
            continue
        if line:
            lines.append(line.rstrip())
            line = ""
        while width(word.rstrip(), size) > room and len(word) > 1:
            cut = max(1, int(len(word) * room / width(word, size)))
            lines.append(word[:cut])
            word = word[cut:]
        line = word
        if len(lines) > most:
            break
    lines.append(line.rstrip())
    lines = [line for line in lines if line]
    if len(lines) <= most:
        return lines
    last = lines[most - 1]
    while last and width(last + "…", size) > room:
        last = last[:-1]
    return [*lines[: most - 1], last + "…"]


def _words(text: str) -> list[str]:
    """Places where a line may break: after blanks, and between the characters of scripts without blanks."""
    words: list[str] = []
    for char in text:
        if words and not words[-1].endswith(" ") and char < "\u2e80" and words[-1][-1] < "\u2e80":
            words[-1] += char
        else:
            words.append(char)
    return words
