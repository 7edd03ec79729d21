"""The command that makes the README's pictures still makes pictures like those that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.browser import pictures
from tests.acceptance.conftest import ROOT, command_line


def test_the_pictures_of_the_readme_can_be_made_anew(tmp_path: Path) -> None:
    with command_line(tmp_path / "live") as live, command_line(tmp_path / "ended") as ended:
        try:
            pictures.make(tmp_path / "made", live, ended, enough=6)
        except LookupError as missing:
            pytest.skip(str(missing))
    for kept in (pictures.DASHBOARD, pictures.REPORT):
        with Image.open(kept) as old, Image.open(tmp_path / "made" / kept.name) as new:
            assert old.size == new.size
    assert f"python -m {pictures.__name__}" in (ROOT / "README.md").read_text(encoding="utf-8")
