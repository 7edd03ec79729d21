"""A rehearsal from Python: no key, no packet beyond this machine, and the real workspace is not touched."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen.errors import UsageError

LINK = "https://pictures.example/lighthouse.png"
MANIFEST = f"""
provider: tu-zi
jobs:
  - {{id: streamed, prompt: a fox}}
  - {{id: in-a-form, prompt: the sea, provider: openai, references: ["{LINK}"]}}
  - {{id: in-a-chat, prompt: a cat, provider: apiyi, references: ["{LINK}"]}}
  - {{id: inline, prompt: a tram, provider: modelverse, n: 2}}
  - {{id: two, prompt: a kite, provider: apiqik}}
"""


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that somebody wants to look up; none is answered."""
    asked: list[str] = []
    ask = socket.getaddrinfo

    def noted(host: Any, *rest: Any, **more: Any) -> Any:  # Any: the standard library's own signature
        if host not in ("127.0.0.1", "localhost", None):
            asked.append(str(host))
            raise OSError("a rehearsal looks up nobody")
        return ask(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    return asked


async def test_every_kind_of_job_is_played_without_a_key_and_without_a_packet_to_the_world(
    tmp_path: Path, no_names: list[str]
) -> None:
    manifest = tmp_path / "night.yaml"
    manifest.write_text(MANIFEST)
    result = await batchgen.run(manifest, workspace=tmp_path / "out", rehearse=True)
    assert (result.exit_code, no_names) == (0, [])
    assert result.workspace == tmp_path / "out.rehearsal"
    assert not (tmp_path / "out").exists()
    images = {job.id: len(job.outputs) async for job in result}
    assert images == {"streamed": 1, "in-a-form": 1, "in-a-chat": 1, "inline": 2, "two": 2}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"night": "bad"}, "rehearse=True"), ({"night": "dark", "rehearse": True}, "ordinary or bad")],
)
async def test_a_night_goes_with_a_rehearsal_and_is_one_of_two(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await batchgen.run(tmp_path / "night.yaml", **options)
