"""A look at a manifest's file as a whole: is it there, is it text, and what is its hash."""

from __future__ import annotations

import codecs
import hashlib
import stat
from pathlib import Path

from batchgen.manifest.problems import Fatal, Origin
from batchgen.manifest.words import nearest

_BLOCK = 1 << 20
_ENDINGS = frozenset({".yaml", ".yml", ".json", ".csv", ".tsv", ".tab", ".jsonl", ".ndjson"})


def survey(path: Path, origin: Origin) -> str:
    """Read the file once; its sha256 in hex.

    Raises Fatal when it is missing, a folder, empty, unreadable, or not UTF-8 text (with the line).
    """
    digest = hashlib.sha256()
    decode = codecs.getincrementaldecoder("utf-8")()
    line, size = 1, 0
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise Fatal(origin.at(), "is a device or a pipe: it is read more than once, so save it as a file")
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                if size == 0 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise Fatal(origin.at(1), "not UTF-8 text but UTF-16: save it as UTF-8")
                digest.update(block)
                _refuse_binary(block, decode, origin, line)
                line += block.count(b"\n")
                size += len(block)
        decode.decode(b"", final=True)
    except FileNotFoundError:
        raise Fatal(origin.at(), f"no such file{_neighbour(path)}") from None
    except IsADirectoryError:
        raise Fatal(origin.at(), "is a folder: give the YAML, CSV, TSV or JSONL file in it") from None
    except UnicodeDecodeError:
        raise Fatal(origin.at(line), "not UTF-8 text: it ends in the middle of a character") from None
    except OSError as error:
        raise Fatal(origin.at(), f"can't be read ({error.strerror})") from None
    if size == 0:
        raise Fatal(origin.at(), "empty")
    return digest.hexdigest()


def _neighbour(path: Path) -> str:
    """The file of the same folder that was most likely meant."""
    try:
        names = [one.name for one in path.parent.iterdir() if one.suffix.lower() in _ENDINGS]
    except OSError:
        return ""
    close = nearest(path.name, names)
    return f", did you mean '{path.parent / close}'?" if close else ""


def digest_now(path: Path) -> str | None:
    """The file's sha256 in hex as it is now; None when it can't be read any more."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _refuse_binary(block: bytes, decode: codecs.IncrementalDecoder, origin: Origin, line: int) -> None:
    zero = block.find(b"\x00")
    if zero >= 0:
        place = origin.at(line + block.count(b"\n", 0, zero))
        raise Fatal(place, "not a text file, as it has NUL bytes: save it as UTF-8 text")
    pending = len(decode.getstate()[0])
    try:
        decode.decode(block)
    except UnicodeDecodeError as error:
        bad = max(error.start - pending, 0)
        raise Fatal(origin.at(line + block.count(b"\n", 0, bad)), "not UTF-8 text: save it as UTF-8") from None
