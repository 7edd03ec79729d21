"""Words written into a whole image file, its pixels untouched: PNG text, a JPEG's Exif and XMP, a WebP's XMP.

Chunks are put in between those that are there; nothing is decoded or encoded anew. The same words and
bytes give the same file always. A content credential (C2PA) in the file no longer fits it afterwards.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape

_PNG_HEAD: Final = 8
_XMP_MARK: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF_MARK: Final = b"Exif\0\0"
_IMAGE_DESCRIPTION: Final = 0x010E
_JPEG_SEGMENT: Final = 65_533
_WEBP_XMP: Final = 0x04
_WEBP_ALPHA: Final = 0x10
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
# No address of ours stands behind it: a namespace needs only to be unlike all others.
_NAMESPACE: Final = "urn:batchgen:1.0"
_XML: Final = {code: " " for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: " ", 0xFFFF: " "}


class NotEmbedded(Exception):
    """Nothing can be written into this file; says why."""


def embedded(data: bytes, format: str, words: Mapping[str, str]) -> bytes:
    """The file with `words` in it: `prompt` as its description, all of them by name. Raises `NotEmbedded`."""
    writer = {"png": _png, "jpeg": _jpeg, "webp": _webp}.get(format)
    if writer is None:
        raise NotEmbedded(f"nothing can be written into {format.upper()} files")
    try:
        return writer(data, words)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise NotEmbedded(f"its {format.upper()} parts are not in order") from error


def _xmp(words: Mapping[str, str]) -> bytes:
    named = "".join(f"<batchgen:{name}>{_xml(text)}</batchgen:{name}>" for name, text in words.items())
    described = _xml(words.get("prompt", ""))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:batchgen="{_NAMESPACE}">'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{described}</rdf:li></rdf:Alt></dc:description>'
        f"{named}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    ).encode()


def _xml(text: str) -> str:
    return escape(text.translate(_XML))


def _png(data: bytes, words: Mapping[str, str]) -> bytes:
    """International text chunks before the first image data: `Description`, and each word by its name."""
    at = _PNG_HEAD
    while (kind := data[at + 4 : at + 8]) != b"IDAT":
        if kind in (b"", b"IEND"):
            raise NotEmbedded("its PNG parts are not in order")
        at += 12 + struct.unpack_from(">I", data, at)[0]
    texts = {"Description": words["prompt"], **words} if "prompt" in words else words
    chunks = (_png_chunk(b"iTXt", f"{name}\0\0\0\0\0".encode() + text.encode()) for name, text in texts.items())
    return b"".join((data[:at], *chunks, data[at:]))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _jpeg(data: bytes, words: Mapping[str, str]) -> bytes:
    """XMP in an APP1 segment behind JFIF's and Exif's own, which readers want first; Exif where there is none."""
    contents = [_EXIF_MARK + _exif(words["prompt"])] if "prompt" in words else []
    contents.append(_XMP_MARK + _xmp(words))
    if max(map(len, contents)) > _JPEG_SEGMENT:
        raise NotEmbedded("the prompt is longer than a JPEG can hold")
    at = end = 2
    while data[at] == 0xFF and data[at + 1] in range(0xE0, 0xF0):
        marker, size = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if data[at + 4 :].startswith(_XMP_MARK):
            raise NotEmbedded("it has an XMP packet of its own")
        if data[at + 4 :].startswith(_EXIF_MARK):
            # Its own stays as it is: the words are in the XMP packet all the same.
            contents = contents[-1:]
        at += 2 + size
        if marker in (0xE0, 0xE1):
            end = at
    segments = (b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content for content in contents)
    return b"".join((data[:end], *segments, data[end:]))


def _exif(description: str) -> bytes:
    """A TIFF directory of one entry, the description in UTF-8, which most readers expect in that text field."""
    text = description.replace("\0", " ").encode() + b"\0"
    # Behind the header of 8 bytes stand the count, the entry and the offset of a next directory: none. Up to four
    # bytes of text stand in the entry itself.
    value = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", 26)
    entry = struct.pack("<HHI", _IMAGE_DESCRIPTION, 2, len(text)) + value
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + (text if len(text) > 4 else b"")


def _webp(data: bytes, words: Mapping[str, str]) -> bytes:
    """An XMP chunk at the end, and the extended header that announces it."""
    chunks = list(_webp_chunks(data))
    kinds = [kind for kind, _ in chunks]
    if b"XMP " in kinds:
        raise NotEmbedded("it has an XMP packet of its own")
    if kinds[0] == b"VP8X":
        header = chunks.pop(0)[1]
        header = bytes([header[0] | _WEBP_XMP]) + header[1:]
    else:
        header = _webp_header(*chunks[0])
    body = b"".join(_webp_chunk(*chunk) for chunk in ((b"VP8X", header), *chunks, (b"XMP ", _xmp(words))))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, end = 12, 8 + struct.unpack_from("<I", data, 4)[0]
    while at < end:
        size = struct.unpack_from("<I", data, at + 4)[0]
        if at + 8 + size > len(data):
            raise NotEmbedded("its WEBP parts are not in order")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _webp_header(kind: bytes, content: bytes) -> bytes:
    """The extended header of a plain file: flags, and the canvas less one (RFC 9649, section 2.7)."""
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", content, 1)[0]
        wide, high, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    elif kind == b"VP8 ":
        wide, high = ((edge & 0x3FFF) - 1 for edge in struct.unpack_from("<HH", content, 6))
        alpha = 0
    else:
        raise NotEmbedded("its WEBP parts are not in order")
    flags = _WEBP_XMP | (_WEBP_ALPHA if alpha else 0)
    return b"".join((struct.pack("<I", flags), struct.pack("<I", wide)[:3], struct.pack("<I", high)[:3]))
