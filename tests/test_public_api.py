"""The promise of the package's face: every public name exists, is documented, and importing it is cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import batchgen


@pytest.mark.parametrize("name", batchgen.__all__)
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(batchgen, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        batchgen.nothing_like_it  # noqa: B018 - the access itself is the test


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import sys, batchgen; print(sorted({'httpx2', 'pydantic', 'PIL', 'aiosqlite'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
