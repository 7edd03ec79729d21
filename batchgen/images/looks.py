"""The difference hash of a picture: 64 bits that stay nearly the same when it is scaled or compressed.

Each bit says whether a pixel of the picture, shrunk to 9x8 grey ones, is darker than its right neighbour.
Blocks: call it in a thread, behind `decoders()`.
"""

from __future__ import annotations

from pathlib import Path

from batchgen.images.inspect import decoding


def difference_hash(path: Path) -> str:
    """16 hex digits for an image that was found whole before."""
    from PIL import Image  # late: it costs 50 ms that `status` must not pay

    with Image.open(path) as image, decoding(image.width * image.height):
        grey = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    pixels = grey.tobytes()
    bits = (pixels[row * 9 + column] < pixels[row * 9 + column + 1] for row in range(8) for column in range(8))
    return f"{sum(1 << place for place, darker in enumerate(bits) if darker):016x}"
