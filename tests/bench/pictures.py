"""Valid PNGs of noise, each with bytes of its own, made without Pillow and at the price of one checksum.

Small dimensions with incompressible pixels: 180x180 is 97 KB, and decoding it costs the product under a
millisecond. That cost is inside the product's figures, and not in those of a floor that only copies.
"""

from __future__ import annotations

import os
import struct
import zlib
from base64 import b64encode


class Picture:
    """One RGB picture of `side` x `side`; the text chunk behind the pixels makes each number another file."""

    def __init__(self, side: int) -> None:
        rows = b"".join(b"\0" + os.urandom(side * 3) for _ in range(side))
        size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        pixels = chunk(b"IDAT", zlib.compress(rows, 1))
        front = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + pixels
        # Base64 can be put together from parts only at multiples of three bytes.
        padding = chunk(b"tEXt", b"Comment\0" + b" " * (3 + -(len(front) + 20 + 3) % 3))
        self.front = front + padding
        assert len(self.front) % 3 == 0
        self.front64 = b64encode(self.front)

    def parts(self, number: int) -> tuple[bytes, bytes]:
        """The file, in two pieces."""
        return self.front, chunk(b"tEXt", b"Number\0%d" % number) + chunk(b"IEND", b"")

    def base64(self, number: int) -> bytes:
        """The file as base64."""
        return self.front64 + b64encode(self.parts(number)[1])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
