"""The bytes of an answer in HTTP/1.1, read by llhttp, the parser of Node.js: head, body, end. Touches no network.

In Python alone, reading an answer is most of what a request costs.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

_BARREN: Final = 100 * 1024
"""Bytes without a whole head or any body, from which on it is no answer any more."""


class NoAnswer(Exception):
    """What came is not HTTP, or ended too early."""


class Answer:
    """The answers of one connection, one after the other; `begin` before each.

    `head` is True once `status` and `headers` are there, `pieces` holds what of the body nobody took yet, `whole`
    is True at the end, and `reusable` when the connection may then carry another one.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        self.head = self.whole = self.reusable = self._measured = False
        self._barren = 0

    def feed(self, data: bytes) -> None:
        """Read on. Raises `NoAnswer`; what comes behind a whole answer only spoils the connection."""
        waiting = len(self.pieces)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if not self.whole:
                raise NoAnswer(type(error).__name__) from error
        if not self.whole and len(self.pieces) == waiting:
            self._barren += len(data)
            if self._barren > _BARREN:
                raise NoAnswer("no end of headers")

    def end(self) -> None:
        """The other side has closed: the end of an answer that did not say how long it is. Raises `NoAnswer`."""
        if not self.head or self._measured:
            raise NoAnswer("closed before the end")
        self.whole = True

    def on_message_begin(self) -> None:
        """For llhttp: a status line follows. Raises `ValueError` for an answer that nobody asked for."""
        if self.whole:
            raise ValueError("a second answer")
        self.headers.clear()  # those of an announcement, status 1xx

    def on_header(self, name: bytes, value: bytes) -> None:
        """For llhttp: a header. Trailers are of no use."""
        if not self.head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """For llhttp: the head is there, or an announcement of it."""
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.head = True
            names = {name.lower() for name, _ in self.headers}
            self._measured = not names.isdisjoint((b"content-length", b"transfer-encoding"))

    def on_body(self, data: bytes) -> None:
        """For llhttp: bytes of the body."""
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        """For llhttp: the answer is whole, or the announcement of it."""
        self.whole = self.head
        self.reusable = self.whole and self._parser.should_keep_alive()
