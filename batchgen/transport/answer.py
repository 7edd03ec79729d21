"""The bytes of an answer in HTTP/1.1, read by llhttp, the parser of Node.js: head, body, end. Touches no network.

In Python alone, reading an answer is most of what a request costs. Whatever can be read is read, however odd: it was
paid for, and the connection is shared with nobody.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_BARREN: Final = 100 * 1024
"""Bytes without a whole head or any body, from which on it is no answer any more."""

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_LENGTH: Final = re.compile(rb"(?im)^(content-length[ \t]*:)[ \t]*(\d+)(?:[ \t]*,[ \t]*\2)*[ \t]*(\r?\n)")


class NoAnswer(Exception):
    """What came is not HTTP, or ended too early."""


class Answer:
    """The answers of one connection, one after the other; `begin` before each.

    `head` is True once `status` and `headers` are there, `pieces` holds what of the body nobody took yet, `whole`
    is True at the end, and `reusable` when the connection may then carry another one.
    """

    def __init__(self) -> None:
        self._parser = self._fresh()
        self.begin()

    def begin(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        self.head = self.whole = self.reusable = self._measured = False
        self._barren = 0
        self._read: list[bytes] = []
        self._refused = False

    def feed(self, data: bytes) -> None:
        """Read on. Raises `NoAnswer`; what comes behind a whole answer only spoils the connection."""
        waiting = len(self.pieces)
        if not self.head:
            self._read.append(data)
        try:
            if not self._refused:
                self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if self.whole:
                return
            if self.head or isinstance(error, HttpParserUpgrade):
                raise NoAnswer(type(error).__name__) from error
            self._refused = True
        if self._refused:
            self._again()
        if not self.whole and len(self.pieces) == waiting:
            self._barren += len(data)
            if self._barren > _BARREN:
                raise NoAnswer("no end of headers")

    def end(self) -> None:
        """The other side has closed: the end of an answer that did not say how long it is. Raises `NoAnswer`."""
        if not self.head or self._measured:
            raise NoAnswer("closed before the end")
        self.whole = True

    def _again(self) -> None:
        """Once the head is there that llhttp refuses: some say their length twice, which counts as once."""
        came = b"".join(self._read)
        if (end := _END_OF_HEAD.search(came)) is None:
            return
        head, rest = came[: end.end()], came[end.end() :]
        lengths = {found[2]: found for found in _LENGTH.finditer(head)}
        if len(lengths) != 1:
            raise NoAnswer("no head of HTTP")
        (one,) = lengths.values()
        self._refused = False
        self._parser = self._fresh()
        self.headers.clear()
        try:
            self._parser.feed_data(_LENGTH.sub(b"", head[: -len(end[0]) + 1]) + b"%b %b%b\r\n" % one.groups() + rest)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise NoAnswer(type(error).__name__) from error

    def _fresh(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_version=True,
            lenient_optional_lf_after_cr=True,
            lenient_optional_cr_before_lf=True,
            lenient_optional_crlf_after_chunk=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    def on_message_begin(self) -> None:
        """For llhttp: a status line follows. Raises `ValueError` for an answer that nobody asked for."""
        if self.whole:
            raise ValueError("a second answer")
        self.headers.clear()  # those of an announcement, status 1xx

    def on_header(self, name: bytes, value: bytes) -> None:
        """For llhttp: a header. Trailers are of no use."""
        if not self.head:
            self.headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """For llhttp: the head is there, or an announcement of it."""
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.head = True
            self._read.clear()
            names = {name.lower() for name, _ in self.headers}
            self._measured = not names.isdisjoint((b"content-length", b"transfer-encoding"))

    def on_body(self, data: bytes) -> None:
        """For llhttp: bytes of the body."""
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        """For llhttp: the answer is whole, or the announcement of it."""
        self.whole = self.head
        self.reusable = self.whole and self._parser.should_keep_alive()
