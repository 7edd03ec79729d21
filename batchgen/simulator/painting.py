"""The brush of the simulator: a landscape, references under a veil, and a panel with the prompt.

Imports Pillow at once, so only a drawing thread imports this. No randomness: everything follows from
the picture's own values.
"""

from __future__ import annotations

import colorsys
import io
from hashlib import blake2b
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from batchgen.simulator import lettering
from batchgen.simulator.picture import Picture
from batchgen.simulator.scenery import Scenery

_SMALL = 320
"""longer side of a kept reference, pixels"""

Color = tuple[int, int, int]


def paint(picture: Picture) -> bytes:
    """Draw and encode one picture."""
    scenery = Scenery(_dice(picture.roots or picture.prompt, picture.model, str(picture.position)))
    ground = _ground(picture, scenery)
    canvas = _with_shapes(ground, scenery, picture)
    if min(canvas.size) >= 100:
        _write(canvas, picture)
    return _encoded(canvas, picture)


def _dice(*words: str) -> Random:
    return Random(blake2b("\0".join(words).encode(), digest_size=8).digest())


def _color(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ground(picture: Picture, scenery: Scenery) -> Image.Image:
    """A sky; under an edit the reference, with the sky where the mask says."""
    size = picture.drawn_size
    if picture.transparent:
        return Image.new("RGBA", size, (0, 0, 0, 0))
    sky = scenery.sky(size)
    if not picture.reference:
        return sky.convert("RGBA")
    with Image.open(io.BytesIO(picture.reference)) as opened:
        reference = ImageOps.fit(opened.convert("RGB"), size)
    if picture.mask:
        with Image.open(io.BytesIO(picture.mask)) as opened:
            where = opened.convert("L").resize(size)
    else:
        where = Image.new("L", size, 70)
    return Image.composite(sky, reference, where).convert("RGBA")


def _with_shapes(ground: Image.Image, scenery: Scenery, picture: Picture) -> Image.Image:
    """A landscape before the sky; every edit of a line adds one ring of its own."""
    layer = Image.new("RGBA", ground.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    if not picture.reference:
        scenery.draw(pen, ground.size)
    if picture.reference or picture.roots not in ("", picture.prompt):
        for prompt in (*picture.edits, picture.prompt):
            _ring(pen, ground.size, _dice(prompt, str(picture.position)))
    return Image.alpha_composite(ground, layer.filter(ImageFilter.GaussianBlur(0.6)))


def _ring(pen: ImageDraw.ImageDraw, size: tuple[int, int], dice: Random) -> None:
    width, height = size
    reach = 0.16 * min(width, height)
    x, y = dice.uniform(0.2, 0.8) * width, dice.uniform(0.2, 0.5) * height
    color = _color(dice.random(), 0.75, 1.0)
    pen.ellipse(
        (x - reach, y - reach, x + reach, y + reach), outline=(*color, 255), width=max(2, int(reach / 5))
    )


def _write(canvas: Image.Image, picture: Picture) -> None:
    """The panel at the foot: the prompt in up to five lines, below it model, size and position."""
    width, height = canvas.size
    size = max(11, round(min(width, height * 1.2) / 21))
    small = max(9, round(size * 0.62))
    margin = max(4, round(size * 0.6))
    room = width - 4 * margin
    lines = lettering.wrap(picture.prompt, size, room, max(1, min(5, int(height * 0.5 / (size * 1.3)))))
    notes = lettering.wrap(_notes(picture), small, room, 2)
    tall = round(len(lines) * size * 1.3 + len(notes) * small * 1.4 + 1.7 * margin)
    top = height - margin - tall
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    pen.rounded_rectangle(
        (margin, top, width - margin, height - margin),
        radius=margin,
        # Under it may stand the panel of the picture that this one edits.
        fill=(12, 14, 24, 255 if picture.reference else 195),
    )
    y = top + 0.7 * margin
    for line in lines:
        lettering.draw_line(pen, (2 * margin, y + size), line, size, (255, 255, 255, 255))
        y += size * 1.3
    y += 0.2 * margin
    for line in notes:
        lettering.draw_line(pen, (2 * margin, y + small), line, small, (196, 204, 224, 255))
        y += small * 1.4
    canvas.alpha_composite(layer)


def _notes(picture: Picture) -> str:
    width, height = picture.size
    notes = ["simulated", picture.model, f"{width}x{height}"]
    if picture.total > 1:
        notes.append(f"{picture.position + 1} of {picture.total}")
    if picture.mask:
        notes.append("edited where masked")
    elif picture.reference or picture.roots not in ("", picture.prompt):
        notes.append("edited")
    return " · ".join(notes)


def _encoded(canvas: Image.Image, picture: Picture) -> bytes:
    out = io.BytesIO()
    quality = 88 if picture.quality is None else max(1, min(100, picture.quality))
    if picture.format == "png":
        flat = canvas if picture.transparent else canvas.convert("RGB")
        flat.save(out, "PNG", compress_level=3)
    elif picture.format == "webp":
        canvas.save(out, "WEBP", quality=quality, method=1)
    else:
        canvas.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def shrink(data: bytes, as_mask: bool) -> bytes:
    """A small copy of a reference, or of a mask's transparent part as white. ValueError: no image."""
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            copy = ImageOps.invert(opened.convert("RGBA").getchannel("A")) if as_mask else opened.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as problem:
        raise ValueError(f"no image: {problem}") from None
    copy.thumbnail((_SMALL, _SMALL))
    copy.save(out, "PNG" if as_mask else "JPEG")
    return out.getvalue()
