"""Files that are written and read past the system's cache: every size, whatever the file system can do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchgen.storage.buffer import ROOM, buffer

BLOCK = 4096
LARGE = 1 << 18
DIRECT = getattr(os, "O_DIRECT", 0)
SIZES = [0, 1, BLOCK, LARGE - 1, LARGE, LARGE + 1, LARGE + BLOCK - 1, LARGE + BLOCK, 1_234_567, ROOM - 1, ROOM]


def pieces(data: bytes) -> list[bytes]:
    return [data[start : start + 98_304] for start in range(0, len(data), 98_304)]


def there_and_back(data: bytes, folder: Path) -> list[bytes]:
    """The same bytes as a buffer holds them, as they are on the disk then, and as a buffer reads them."""
    path = folder / "new/folder/a.part"
    with buffer() as memory:
        memory.fill(pieces(data))
        held = bytes(memory.data)
        memory.write(path)
    with buffer() as memory:
        assert memory.read(path)
        return [held, path.read_bytes(), bytes(memory.data)]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read_again(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    assert there_and_back(data, tmp_path) == [data] * 3


@pytest.mark.parametrize("size", SIZES)
def test_a_file_system_that_can_not_do_without_its_cache_uses_it(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, opens = [], os.open

    def strict(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & DIRECT:
            refused.append(path)
            raise OSError(errno.EINVAL, "no O_DIRECT here")
        return opens(path, flags, mode)

    monkeypatch.setattr(os, "open", strict)
    data = os.urandom(size)
    assert there_and_back(data, tmp_path) == [data] * 3
    assert len(refused) == (2 if DIRECT and size >= LARGE else 0)


def test_a_large_file_goes_past_the_cache_but_for_the_rest_of_its_last_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not DIRECT:
        pytest.skip("a system that can't")
    ways, opens = [], os.open

    def watched(path: str, flags: int, mode: int = 0o777) -> int:
        ways.append("direct" if flags & DIRECT else "anew" if flags & os.O_TRUNC else "cache")
        return opens(path, flags, mode)

    try:
        os.close(opens(tmp_path / "probe", os.O_WRONLY | os.O_CREAT | DIRECT))
    except OSError:
        pytest.skip("a file system that can't")
    monkeypatch.setattr(os, "open", watched)
    (tmp_path / "new/folder").mkdir(parents=True)
    data = os.urandom(LARGE + 1)
    assert there_and_back(data, tmp_path) == [data] * 3
    assert ways == ["direct", "direct"]


def test_an_older_longer_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for size in (ROOM, LARGE + 5, 7):
        data = os.urandom(size)
        with buffer() as memory:
            memory.fill([data])
            memory.write(path)
        assert path.read_bytes() == data


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(ROOM + 1))
    with buffer() as memory:
        assert not memory.read(path)
        with pytest.raises(ValueError, match="memoryview"):
            memory.fill([bytes(ROOM), b"x"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_taken_for_a_file_system_that_can_not(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/dev/full")
    with buffer() as memory:
        memory.fill([bytes(LARGE)])
        with pytest.raises(OSError, match="No space left"):
            memory.write(tmp_path / "a")


def test_two_at_a_time_have_memory_of_their_own_which_is_used_again(tmp_path: Path) -> None:
    def filled(data: bytes, then: Callable[[], object] = lambda: None) -> bytes:
        with buffer() as memory:
            memory.fill([data])
            then()
            return bytes(memory.data)

    other: list[bytes] = []
    assert filled(b"a" * 100, lambda: other.append(filled(b"b" * 200))) == b"a" * 100
    assert other == [b"b" * 200]
    assert filled(b"") == b""


FORKS = """
import os
from batchgen.storage.buffer import buffer

with buffer() as memory:
    memory.fill([b"parent"])
mine, yours = os.pipe(), os.pipe()
child = os.fork() == 0
told, telling = (mine[0], yours[1]) if child else (yours[0], mine[1])
if child:
    os.read(told, 1)
with buffer() as memory:
    memory.fill([b"c" * 9 if child else b"p" * 9])
    os.write(telling, b".")
    if not child:
        os.read(told, 1)
    assert bytes(memory.data) == (b"c" * 9 if child else b"p" * 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_was_forked_off_has_buffers_of_its_own() -> None:
    assert subprocess.run([sys.executable, "-c", FORKS], timeout=30).returncode == 0


def test_threads_that_want_one_at_the_same_moment_do_not_share_it() -> None:
    def use(number: int) -> bool:
        mine = bytes([number]) * 64
        for _ in range(3000):
            with buffer() as memory:
                memory.fill([mine])
                if bytes(memory.data) != mine:
                    return False
        return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(use, range(16)))
    finally:
        sys.setswitchinterval(interval)
