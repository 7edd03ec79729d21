"""The library: results of a run, jobs as they end, and loops that are left early without harm."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen import JobState

HEAD = "base_url: simulator, simulate: {image_side: 16, latency: "


def manifest(folder: Path, jobs: int = 3, latency: float = 0, extra: str = "") -> Path:
    """A manifest of so many jobs for the embedded simulator."""
    path = folder / "m.yaml"
    lines = [
        "provider: sim",
        f"providers: {{sim: {{extends: openai-chat, {HEAD}{latency}}}{extra}}}}}",
        "defaults: {model: gpt-4o-image}",
        "jobs:",
        *(f"  - {{id: j{number}, prompt: picture {number}}}" for number in range(jobs)),
    ]
    path.write_text("\n".join(lines))
    return path


async def test_a_result_goes_through_every_job_in_the_manifests_order(tmp_path: Path) -> None:
    result = await batchgen.run(manifest(tmp_path), workspace=tmp_path / "w")
    records = [record async for record in result]
    assert [record.id for record in records] == ["j0", "j1", "j2"]
    assert {record.state for record in records} == {JobState.DONE}
    assert all((tmp_path / "w" / str(record.outputs[0].path)).is_file() for record in records)
    assert result.exit_code == 0


async def test_a_result_longer_than_a_page_is_gone_through_once(tmp_path: Path) -> None:
    result = await batchgen.run(manifest(tmp_path, jobs=501), workspace=tmp_path / "w", limit=1)
    ids = [record.id async for record in result]
    assert ids == [f"j{number}" for number in range(501)]
    assert result.exit_code == 3


def test_a_program_on_uvloop_gets_every_picture(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="needs uvloop, which Windows has not")
    result = uvloop.run(batchgen.run(manifest(tmp_path), workspace=tmp_path / "w"))
    assert (result.exit_code, result.report.requests) == (0, 3)


async def test_a_shard_is_run_in_a_folder_of_its_own_and_brings_its_jobs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[str] = []
    for shard in ("1/2", "2/2"):
        result = await batchgen.run(manifest(tmp_path, jobs=6), shard=shard)
        assert result.workspace == Path(f"out/m.shard-{shard[0]}-of-2")
        found += [record.id async for record in result]
    assert sorted(found) == [f"j{number}" for number in range(6)]


async def test_running_again_sends_nothing(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    first = await batchgen.run(path, workspace=tmp_path / "w")
    again = await batchgen.run(path, workspace=tmp_path / "w")
    assert (first.report.requests, again.report.requests, again.exit_code) == (3, 0, 0)
    assert [record async for record in batchgen.iterate(path, workspace=tmp_path / "w")] == []


async def test_jobs_are_yielded_as_they_end(tmp_path: Path) -> None:
    seen = [record async for record in batchgen.iterate(manifest(tmp_path), workspace=tmp_path / "w")]
    assert sorted(record.id for record in seen) == ["j0", "j1", "j2"]
    assert {record.state for record in seen} == {JobState.DONE}


async def test_leaving_the_loop_inside_aclosing_stops_the_run_and_frees_the_workspace(tmp_path: Path) -> None:
    path = manifest(tmp_path, jobs=20, latency=0.1)
    async with aclosing(batchgen.iterate(path, workspace=tmp_path / "w", concurrency=1)) as jobs:
        async for _ in jobs:
            break
    rest = await batchgen.run(path, workspace=tmp_path / "w", on_unknown=batchgen.OnUnknown.RESEND)
    assert rest.exit_code == 0
    assert 0 < rest.report.requests < 20


LEAVING = {
    "a result, by break": ("result", "break"),
    "a result, by an error": ("result", "raise"),
    "a run, by break": ("iterate", "break"),
    "a run, by an error": ("iterate", "raise"),
    "a run that is kept, by break": ("kept", "break"),
    "a run that is kept, by an error": ("kept", "raise"),
}

PROGRAM = """
import asyncio, sys, batchgen
manifest, workspace, what, how = sys.argv[1:]

async def main():
    if what == "result":
        jobs = await batchgen.run(manifest, workspace=workspace)
    else:
        jobs = batchgen.iterate(manifest, workspace=workspace, concurrency=2)
    loop = jobs.__aiter__()
    if what != "kept":
        del jobs
    async for job in loop:
        if what != "kept":
            del loop
        if how == "raise":
            raise RuntimeError("my own")
        break
    print("left at", job.id)

asyncio.run(main())
"""


@pytest.mark.parametrize(("what", "how"), LEAVING.values(), ids=list(LEAVING))
def test_a_program_that_leaves_the_loop_early_ends_with_the_workspace_free(
    tmp_path: Path, what: str, how: str
) -> None:
    path, workspace = manifest(tmp_path, jobs=20, latency=0.1), tmp_path / "w"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(workspace), what, how],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    if how == "raise":
        assert done.stderr.rstrip().endswith("RuntimeError: my own")
        assert done.stderr.count("Traceback") == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("left at j")
    folder = os.open(workspace, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)


async def test_an_unknown_option_is_named_with_the_nearest_right_one(tmp_path: Path) -> None:
    options: Any = {"concurency": 4}  # Any: what no type checker lets through
    with pytest.raises(TypeError, match="'concurency', did you mean 'concurrency'"):
        await batchgen.run(manifest(tmp_path), **options)
    with pytest.raises(TypeError, match="concurency"):
        await anext(batchgen.iterate(manifest(tmp_path), **options))


@pytest.mark.parametrize("name", ["concurrency", "limit"])
async def test_a_number_below_one_is_a_usage_error_before_anything_is_made(tmp_path: Path, name: str) -> None:
    options: Any = {name: 0}  # Any: the name is a parameter
    with pytest.raises(batchgen.UsageError, match=f"{name} must be at least 1, not 0"):
        await batchgen.run(manifest(tmp_path), workspace=tmp_path / "w", **options)
    assert not (tmp_path / "w").exists()


async def test_keys_come_from_the_mapping_and_never_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "real.yaml"
    path.write_text(
        "provider: mine\n"
        "providers: {mine: {extends: openai-chat, base_url: 'http://127.0.0.1:9/v1', api_key_env: MY_KEY}}\n"
        "jobs: [{prompt: a cat, model: gpt-4o-image}]\n"
    )
    monkeypatch.setenv("MY_KEY", "sk-environment")
    with pytest.raises(batchgen.UsageError, match="MY_KEY"):
        await batchgen.run(path, workspace=tmp_path / "w")
