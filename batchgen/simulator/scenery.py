"""The landscapes behind a simulated picture: a sky, a sun or moon, and ranges that fade with distance.

No randomness: everything follows from the dice that the caller throws. Imports Pillow at once, so only a drawing
thread imports this.
"""

from __future__ import annotations

from math import sin, tau
from random import Random

from PIL import Image, ImageDraw, ImageOps

Color = tuple[int, int, int]
Point = tuple[float, float]

# Sky above, sky at the horizon, sun, the farthest range, the nearest.
_PALETTES = (
    ("#31416f", "#f3a683", "#ffe1ac", "#b7677a", "#2b2140"),
    ("#86bfe6", "#fdeccb", "#fffaf0", "#9dbda6", "#2c5047"),
    ("#0e1a3c", "#4a6797", "#f6f2df", "#3c5784", "#0b1328"),
    ("#f2b9a4", "#fdeed3", "#fffaf0", "#d79a80", "#6d4146"),
    ("#57a9ad", "#eaf3d8", "#ffffff", "#7db3a3", "#1b464d"),
    ("#c3d0dd", "#f6f5f1", "#ffffff", "#aebcc9", "#475a6c"),
    ("#d9644f", "#fbd49b", "#fff3c9", "#b64d60", "#3f1f3c"),
    ("#4f7fb8", "#d7ecf5", "#ffffff", "#84a9c9", "#233d63"),
    ("#8d7bb8", "#f9d9d6", "#fff4ec", "#a98bb6", "#3a2a57"),
    ("#e9b85c", "#fdf0cf", "#fffdf3", "#c9a062", "#5b4425"),
    ("#14323a", "#7fb39b", "#f2f4d8", "#4a8377", "#0b2126"),
    ("#f49ca8", "#fde4d3", "#fff6ea", "#d17f98", "#512a4c"),
)
_KINDS = ("hills", "hills", "peaks", "dunes", "pines", "city", "sea")
_RANGES = 4


class Scenery:
    """One landscape; `dice` decide its palette and shapes."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        top, horizon, sun, far, near = (_color(word) for word in dice.choice(_PALETTES))
        self._top, self._horizon, self._sun, self._far, self._near = top, horizon, sun, far, near
        self._kind = dice.choice(_KINDS)
        self._level = dice.uniform(0.44, 0.56)

    def sky(self, size: tuple[int, int]) -> Image.Image:
        """From above to the horizon and a little below it."""
        slope = Image.linear_gradient("L")
        deep = _mix(self._horizon, self._far, 0.5)
        where = round(255 * self._level)
        return ImageOps.colorize(slope, self._top, deep, self._horizon, midpoint=where).resize(
            size, Image.Resampling.BICUBIC
        )

    def draw(self, pen: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
        """Everything below and in front of the sky."""
        width, height = size
        dice, small = self._dice, min(size)
        if sum(self._top) < 200:
            for _ in range(70):
                x, y = dice.uniform(0, width), dice.uniform(0, height * self._level)
                reach = dice.uniform(0.0008, 0.003) * small
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*self._sun, dice.randint(90, 220)))
        x, y = dice.uniform(0.18, 0.82) * width, dice.uniform(0.14, 0.36) * height
        reach = dice.uniform(0.06, 0.11) * small
        for ring, alpha in ((3.2, 20), (2.2, 40), (1.5, 72)):
            glow = reach * ring
            pen.ellipse((x - glow, y - glow, x + glow, y + glow), fill=(*self._sun, alpha))
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*self._sun, 255))
        for depth in range(_RANGES):
            near = depth / (_RANGES - 1)
            color = _mix(self._far, self._near, near**0.9)
            level = height * (self._level + 0.11 * depth)
            pen.polygon([(0, height), *self._ridge(size, level, near), (width, height)], fill=(*color, 255))
        if self._kind == "sea":
            self._glitter(pen, size, x)

    def _ridge(self, size: tuple[int, int], level: float, near: float) -> list[Point]:
        """The upper edge of a range at `level`; `near` goes from 0, the farthest, to 1."""
        width, height = size
        dice = self._dice
        swing = height * (0.03 + 0.02 * near)
        first, second, long = dice.uniform(0, tau), dice.uniform(0, tau), dice.uniform(5.0, 8.0)

        def at(part: float) -> float:
            return level + swing * (sin(first + part * long) + 0.5 * sin(second + part * long * 2.6))

        steps = range(101)
        if self._kind == "peaks":
            spots = sorted({0.0, 1.0, *(dice.random() for _ in range(11))})
            rises = [swing * dice.uniform(0, 3.2) * (number % 2) for number in range(len(spots))]
            return [(width * part, at(part) - rise) for part, rise in zip(spots, rises, strict=True)]
        if self._kind == "dunes":
            crests = [sin(first + step / 100 * long * 0.55) ** 3 for step in steps]
            return [(width * step / 100, level + swing * 1.6 * crest) for step, crest in enumerate(crests)]
        if self._kind == "sea" and near > 0:
            return [(0.0, level), (float(width), level)]
        if self._kind == "city" and near > 0:
            return self._roofs(width, level, swing)
        if self._kind == "pines" and near > 0:
            tall = height * (0.03 + 0.05 * near)
            count = round(46 - 26 * near)
            feet = [(width * tree / count, at(tree / count)) for tree in range(count + 1)]
            tops = [(x + width * 0.5 / count, y - tall * dice.uniform(0.6, 1.2)) for x, y in feet]
            return [point for tree in zip(feet, tops, strict=True) for point in tree][:-1]
        return [(width * step / 100, at(step / 100)) for step in steps]

    def _roofs(self, width: int, level: float, swing: float) -> list[Point]:
        points: list[Point] = []
        x = 0.0
        while x < width:
            end = min(float(width), x + width * self._dice.uniform(0.025, 0.075))
            roof = level - swing * self._dice.uniform(-0.8, 2.6)
            points += [(x, roof), (end, roof)]
            x = end
        return points

    def _glitter(self, pen: ImageDraw.ImageDraw, size: tuple[int, int], x: float) -> None:
        """The light's way across the water."""
        width, height = size
        top = height * (self._level + 0.11)
        for line in range(26):
            y = top + (height - top) * (line / 26) ** 1.3
            half = width * (0.015 + 0.05 * line / 26) * self._dice.uniform(0.35, 1.0)
            middle = x + width * 0.02 * self._dice.uniform(-1, 1)
            pen.line((middle - half, y, middle + half, y), fill=(*self._sun, 120), width=max(1, round(height / 260)))


def _color(word: str) -> Color:
    return int(word[1:3], 16), int(word[3:5], 16), int(word[5:7], 16)


def _mix(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
