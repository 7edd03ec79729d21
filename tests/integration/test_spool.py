"""Inline images and references: base64 in, a whole file or a plain complaint out."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.codecs.lifted import Lifted
from batchgen.errors import BadImage, WorkspaceError
from batchgen.events import Generated, RemoteImage, Replied
from batchgen.images.spool import SLICE, AnswerLog, decoded, forget_answers, noted_answers, spool
from batchgen.storage.buffer import ROOM

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("size", [100, 3_000_001, ROOM - 1, ROOM, ROOM + 1, ROOM + 2, 9_000_000])
@pytest.mark.parametrize("left", [False, True], ids=["a text", "left in its body"])
def test_the_decoded_file_lies_in_the_incoming_folder_and_nothing_else_does(
    size: int, left: bool, tmp_path: Path
) -> None:
    data = os.urandom(size)
    text = encode(data).rstrip("=")  # of padding, its length would tell more
    path = spool(Lifted.of(memoryview(text.encode())) if left else text, tmp_path, "a1-0", 1 << 24)
    assert path == "images/.incoming/a1-0"
    assert (tmp_path / path).read_bytes() == data
    assert [entry.name for entry in (tmp_path / path).parent.iterdir()] == ["a1-0"]


@given(
    st.binary(min_size=1, max_size=100), st.sampled_from(["plain", "unpadded", "url-safe", "lines", "dos"])
)
def test_every_way_of_writing_base64_is_read(data: bytes, way: str) -> None:
    text = encode(data)
    match way:
        case "unpadded":
            text = text.rstrip("=")
        case "url-safe":
            text = base64.urlsafe_b64encode(data).decode()
        case "lines":
            text = base64.encodebytes(data).decode()
        case "dos":
            text = "\r\n".join(text) + "\r\n"
    assert b"".join(decoded(text, 1000)) == data
    lifted = Lifted.of(memoryview(text.encode()))
    assert b"".join(decoded(lifted, 1000)) == data
    assert b"".join(decoded(lifted, len(data))) == data
    with pytest.raises(BadImage, match="max_image_bytes"):
        list(decoded(lifted, len(data) - 1))


@pytest.mark.parametrize("more", ["=", "====", " ", "\r\n", "= ="])
@pytest.mark.parametrize("length", [40, SLICE, 2 * SLICE])
def test_what_says_nothing_behind_the_end_is_passed_over(length: int, more: str) -> None:
    text = "iVBO" * (length // 4)
    whole = base64.b64decode(text)
    assert b"".join(decoded(text + more, 1 << 24)) == whole
    assert b"".join(decoded(Lifted.of(memoryview((text + more).encode())), 1 << 24)) == whole


@pytest.mark.parametrize("place", [0, SLICE - 4, SLICE, 2 * SLICE + 4, 3 * SLICE - 4])
@pytest.mark.parametrize("way", ["url-safe", "unpadded", "lines", "garbage", "padded"])
def test_base64_left_in_its_body_is_read_like_any_other(way: str, place: int) -> None:
    text = encode(os.urandom(SLICE // 4 * 9 - 1))
    match way:
        case "url-safe":
            text = f"{text[:place]}-_-_{text[place + 4 :]}"
        case "unpadded":
            text = text.rstrip("=")
        case "lines":
            text = f"{text[:place]}\r\n{text[place:]}"
        case "garbage":
            text = f"{text[:place]}!!!!{text[place + 4 :]}"
        case "padded":
            text = f"{text[:place]}AAA={text[place + 4 :]}"
    lifted = Lifted.of(memoryview(text.encode()))
    if way == "garbage" or (way == "padded" and place + 4 < len(text)):
        for written in (text, lifted):
            with pytest.raises(BadImage):
                list(decoded(written, 1 << 24))
    else:
        assert b"".join(decoded(lifted, 1 << 24)) == b"".join(decoded(text, 1 << 24))


@pytest.mark.parametrize(
    "text", ["", "====", "A", "AAAA!", "AA=A", "QQ==QQ==", "猫猫猫猫", "<html>", "AAA\0", "AA AA A"]
)
def test_garbage_is_no_image_and_leaves_no_file(text: str, tmp_path: Path) -> None:
    for written in (text, Lifted.of(memoryview(text.encode()))):
        with pytest.raises(BadImage):
            spool(written, tmp_path, "a1-0", 1000)
    assert list((tmp_path / "images/.incoming").glob("*")) == []


def test_garbage_at_the_very_end_leaves_no_file_either(tmp_path: Path) -> None:
    with pytest.raises(BadImage):
        spool(encode(os.urandom(3_000_000)) + "!", tmp_path, "a1-0", 1 << 24)
    assert list((tmp_path / "images/.incoming").glob("*")) == []


def test_padding_before_the_end_is_garbage_also_where_a_slice_ends() -> None:
    with pytest.raises(BadImage):
        list(decoded("A" * (SLICE - 2) + "==" + "AAAA", 1 << 24))


def test_an_image_of_exactly_the_allowed_size_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    spool(encode(bytes(100)), tmp_path, "a", 100)
    with pytest.raises(BadImage, match="max_image_bytes, 100 bytes"):
        spool(encode(bytes(101)), tmp_path, "b", 100)


def test_spooling_again_replaces_the_file(tmp_path: Path) -> None:
    spool(encode(b"one"), tmp_path, "a", 100)
    path = spool(encode(b"two"), tmp_path, "a", 100)
    assert (tmp_path / path).read_bytes() == b"two"


def test_a_name_cannot_leave_the_incoming_folder(tmp_path: Path) -> None:
    path = spool(encode(b"x"), tmp_path, "../../evil", 100)
    assert ".." not in Path(path).parts
    assert [entry.name for entry in (tmp_path / "images/.incoming").iterdir()] == [Path(path).name]


def test_a_disk_that_refuses_is_the_workspaces_fault(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the folder should be")
    with pytest.raises(WorkspaceError):
        spool(encode(b"x"), tmp_path, "a", 100)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_the_workspaces_fault(tmp_path: Path) -> None:
    incoming = tmp_path / "images/.incoming"
    incoming.mkdir(parents=True)
    (incoming / "a.tmp").symlink_to("/dev/full")
    with pytest.raises(WorkspaceError, match="No space left"):
        spool(encode(os.urandom(100_000)), tmp_path, "a", 1 << 20)


def test_a_logged_answer_is_found_again_when_all_its_files_are_there(tmp_path: Path) -> None:
    first, second = (spool(encode(PNG), tmp_path, name, 1 << 20) for name in ("a1-0", "a1-1"))
    link = RemoteImage(url="https://x/1.png", alternatives=("https://y/1.png",))
    images = (*(RemoteImage(url=None, spool=path) for path in (first, second)), link)
    answer = Generated(images=images, gen_id="gen_1", usage="{}", reply=Replied(200, "req_1", "{}"))
    log = AnswerLog(tmp_path)
    log.add(1, answer)
    log.add(2, answer)
    # The line that a death or a full disk tore is no answer, and hides no other.
    with next((tmp_path / "images/.incoming").glob("*.answers")).open("ab") as file:
        file.write(b'{"attempt": 3, "ima')
    log.add(4, answer)
    assert noted_answers(tmp_path, {1, 3, 4}) == {1: answer, 4: answer}
    (tmp_path / second).unlink()
    assert noted_answers(tmp_path, {1, 3, 4}) == {}
    forget_answers(tmp_path)
    assert [path.name for path in (tmp_path / "images/.incoming").iterdir()] == ["a1-0"]
