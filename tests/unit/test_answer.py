"""What an answer of HTTP/1.1 says, however it is cut on its way: held against h11, which reads it in Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, repeat

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.transport.answer import Answer, NoAnswer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: t\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nhello"
ANSWERS = {
    "with a length": PLAIN,
    "in chunks, with a trailer": CHUNKED,
    "that ends with its connection": ENDLESS,
    "of an older version": PLAIN.replace(b"1.1", b"1.0"),
    "that announces its end": PLAIN.replace(b"X-A: 1", b"Connection: close"),
    "after two announcements": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "that was not changed": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "of no bytes": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "without words": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "with words of other alphabets": "HTTP/1.1 404 没有\r\nContent-Length: 0\r\nX: é猫\r\n\r\n".encode(),
    "with bare line feeds": PLAIN.replace(b"\r\n", b"\n"),
    "with the same length twice": PLAIN.replace(b"X-A: 1", b"Content-Length: 5"),
    "with a list of the same length": PLAIN.replace(b": 5", b": 5, 5"),
    "with a length in spaces": PLAIN.replace(b": 5", b":   5  "),
    "with a length and chunks": CHUNKED.replace(b"\r\n\r\n2;", b"\r\nContent-Length: 5\r\n\r\n2;"),
    "with spaces behind the size of a chunk": CHUNKED.replace(b"2;x=y", b"2 "),
    "with a folded header": PLAIN.replace(b": 2", b": 2\r\n 3"),
    "with a control character": PLAIN.replace(b": 2", b": \x01"),
    "with bytes of no alphabet": PLAIN.replace(b": 2", b": \xff"),
    "of a version that never was": PLAIN.replace(b"1.1", b"1.2"),
    "with a status of nobody": PLAIN.replace(b"200", b"299"),
    "with words that end": PLAIN.replace(b"X-A: 1", b"Connection: x, close"),
    "cut in its head": PLAIN[:30],
    "cut in its body": PLAIN[:-2],
    "cut in a chunk": CHUNKED[: CHUNKED.index(b"llo")],
    "cut before its last chunk": CHUNKED[: CHUNKED.index(b"0\r\nX")],
    "that is none": b"<html>no</html>\r\n\r\n",
    "of another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "of nothing": b"",
    "with a length that is no number": PLAIN.replace(b": 5", b": five"),
    "with two lengths": PLAIN.replace(b"X-A: 1", b"Content-Length: 6"),
    "with a chunk that has no size": CHUNKED.replace(b"2;x=y", b"zz"),
}


def read(pieces: Sequence[bytes]) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None:
    """Status, headers, body and whether the connection is good for another; None for what is no whole answer."""
    answer = Answer()
    try:
        for piece in pieces:
            if not answer.whole:
                answer.feed(piece)
        if not answer.whole:
            answer.end()
    except NoAnswer:
        return None
    headers = sorted((name.lower(), value) for name, value in answer.headers)
    return answer.status, headers, b"".join(answer.pieces), answer.reusable


def fed(answer: Answer, pieces: Iterable[bytes]) -> None:
    """Let it have them all."""
    for piece in pieces:
        answer.feed(piece)


def oracle(data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None:
    """The same, by h11."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    body, head, ended = b"", None, False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(b"")  # the other side closes
                ended = True
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
    assert head is not None
    reusable = not ended and connection.their_state is h11.DONE
    return head.status_code, sorted((bytes(name), bytes(value)) for name, value in head.headers), body, reusable


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_means_what_it_means_to_h11(name: str) -> None:
    assert read([ANSWERS[name]]) == oracle(ANSWERS[name])


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_means_the_same_wherever_it_is_cut(name: str, cuts: list[int]) -> None:
    data = ANSWERS[name]
    places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places) if start < end]
    assert read(pieces) == read([data])


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_comes_byte_by_byte_means_the_same(name: str) -> None:
    data = ANSWERS[name]
    assert read([bytes([byte]) for byte in data]) == read([data])


def test_damage_in_a_body_is_told_at_once() -> None:
    answer = Answer()
    with pytest.raises(NoAnswer):
        answer.feed(CHUNKED.replace(b"3\r\nllo", b"zz\r\nllo"))


@given(st.sampled_from([PLAIN, CHUNKED, ENDLESS]), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_damage_is_found_or_does_no_harm(data: bytes, place: int, other: bytes) -> None:
    place = min(place, len(data) - 1)
    damaged = data[:place] + other + data[place + len(other) :]
    found = read([damaged])
    assert found is None or found[0] >= 200


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED.replace(b"\r\n", b"\n"),
        CHUNKED.replace(b": chunked", b": gzip, chunked"),
        b"\r\n" + PLAIN,
    ],
)
def test_what_is_too_odd_for_h11_is_read_all_the_same(data: bytes) -> None:
    assert oracle(data) is None
    assert (read([data]) or ())[2:] == (b"hello", True)


def test_bytes_behind_an_answer_leave_it_whole_and_spoil_the_connection() -> None:
    for more in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0garbage"):
        found = read([PLAIN + more])
        assert found is not None
        assert (found[0], found[2:]) == (200, (b"hello", False))


def test_headers_without_end_are_no_answer() -> None:
    for flood in (b"X: y\r\n" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"x" * 4096):
        answer = Answer()
        answer.feed(b"HTTP/1.1 100 Continue\r\n" + (b"\r\n" if flood[0] == 72 else b""))
        with pytest.raises(NoAnswer):
            fed(answer, repeat(flood, 1000))


def test_trailers_without_end_are_no_answer() -> None:
    answer = Answer()
    answer.feed(CHUNKED[: CHUNKED.index(b"X-Trailer")])
    with pytest.raises(NoAnswer):
        fed(answer, repeat(b"X: y\r\n" * 1000, 1000))
    assert answer.headers == [(b"Transfer-Encoding", b"chunked")]


def test_one_parser_reads_one_answer_after_the_other() -> None:
    answer = Answer()
    for data in (PLAIN, CHUNKED, PLAIN):
        answer.begin()
        answer.feed(data)
        assert (b"".join(answer.pieces), answer.reusable) == (b"hello", True)


def test_an_older_version_may_keep_its_connection() -> None:
    kept = PLAIN.replace(b"1.1", b"1.0").replace(b"X-A: 1", b"Connection: keep-alive")
    assert (read([kept]) or ())[2:] == (b"hello", True)


def test_a_change_of_protocol_is_no_answer() -> None:
    assert read([b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n"]) is None
