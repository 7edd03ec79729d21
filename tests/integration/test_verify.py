"""Verify, on a real folder: what is missing, changed, nobody's, or left over by a crash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchgen.ledger.kept import SavedFile
from batchgen.verify import Comparison, compare_files


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with two images."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(b"cat")
    (tmp_path / "images" / "dog.png").write_bytes(b"dog")
    return tmp_path


async def saved(*names: str) -> AsyncIterator[SavedFile]:
    """What the ledger says: each file holds its own name."""
    for name in names:
        data = name.encode()
        yield SavedFile(f"images/{name}.png", hashlib.sha256(data).hexdigest(), len(data), name)


async def verify(workspace: Path, *names: str) -> Comparison:
    return await compare_files(workspace, saved(*names))


async def test_files_that_are_as_the_ledger_says_are_clean(workspace: Path) -> None:
    comparison = await verify(workspace, "cat", "dog")
    assert comparison.clean
    assert comparison.checked == 2


async def test_a_file_that_is_gone_is_missing(workspace: Path) -> None:
    (workspace / "images" / "dog.png").unlink()
    comparison = await verify(workspace, "cat", "dog")
    assert (comparison.missing, comparison.clean) == (("images/dog.png",), False)


async def test_a_folder_in_the_place_of_a_file_is_missing(workspace: Path) -> None:
    (workspace / "images" / "dog.png").unlink()
    (workspace / "images" / "dog.png").mkdir()
    assert (await verify(workspace, "cat", "dog")).missing == ("images/dog.png",)


async def test_a_file_of_the_same_size_with_other_bytes_is_changed(workspace: Path) -> None:
    (workspace / "images" / "dog.png").write_bytes(b"god")
    comparison = await verify(workspace, "cat", "dog")
    assert (comparison.changed, comparison.clean) == (("images/dog.png",), False)


async def test_a_file_that_the_ledger_does_not_know_is_nobodys(workspace: Path) -> None:
    comparison = await verify(workspace, "cat")
    assert (comparison.unknown, comparison.clean) == (("images/dog.png",), False)


async def test_a_dead_link_is_nobodys_too(workspace: Path) -> None:
    (workspace / "images" / "link.png").symlink_to("nowhere")
    assert (await verify(workspace, "cat", "dog")).unknown == ("images/link.png",)


async def test_what_a_crash_leaves_is_told_apart_and_harmless(workspace: Path) -> None:
    (workspace / "images" / ".incoming").mkdir()
    (workspace / "images" / ".incoming" / "7.part").write_bytes(b"half")
    comparison = await verify(workspace, "cat", "dog")
    assert comparison.leftovers == ("images/.incoming/7.part",)
    assert comparison.clean


async def test_a_path_that_two_outputs_share_is_read_once(workspace: Path) -> None:
    assert (await verify(workspace, "cat", "dog", "cat")).checked == 2


async def test_a_workspace_without_images_is_clean(tmp_path: Path) -> None:
    comparison = await verify(tmp_path)
    assert comparison.clean
    assert comparison.checked == 0
