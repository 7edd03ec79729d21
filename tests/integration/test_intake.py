"""A manifest that is still the same is not read again; whatever may change its jobs is seen."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from batchgen.batch import RunOptions, run_batch
from batchgen.images.stored import REFERENCES
from batchgen.intake import take_in
from batchgen.ledger.records import Difference, Filter
from batchgen.ledger.store import Ledger
from batchgen.manifest.load import Manifest, open_manifest
from batchgen.manifest.references import look_at, still
from batchgen.stop import INTERRUPTED, StopSignal

HEAD = "providers: {p: {base_url: simulator, endpoint: images}}\nprovider: p\ndefaults: {model: m}\njobs: jobs.csv\n"
LONG_AGO = 1_700_000_000
TWO = Difference(unchanged=2)


def clock() -> float:
    return 1_800_000_000.0


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "w", now=clock) as ledger:
        yield ledger


def write(folder: Path, rows: str = "prompt\ncat\ndog\n", head: str = HEAD) -> Path:
    (folder / "jobs.csv").write_text(rows)
    (folder / "m.yaml").write_text(head)
    return folder / "m.yaml"


def picture(path: Path, colour: str, at: int = LONG_AGO) -> None:
    Image.new("RGB", (8, 8), colour).save(path, compress_level=0)
    os.utime(path, (at, at))


async def read(ledger: Ledger, path: Path, model: str | None = None) -> Difference:
    return await take_in(ledger, open_manifest(path, model=model), path.parent / "w")


async def is_read(ledger: Ledger, manifest: Manifest) -> bool:
    """Whether the jobs are read again: their file is gone, so that it would show."""
    file = manifest.path.parent / "jobs.csv"
    text = file.read_text()
    file.unlink()
    try:
        await take_in(ledger, manifest, manifest.path.parent / "w")
    except FileNotFoundError:
        return True
    finally:
        file.write_text(text)
    return False


async def test_an_unchanged_manifest_is_not_read_again(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    assert await is_read(ledger, open_manifest(path))
    assert await read(ledger, path) == Difference(new=2)
    os.utime(tmp_path / "jobs.csv", (LONG_AGO, LONG_AGO))
    again = open_manifest(path)
    assert not await is_read(ledger, again)
    assert list(again.profiles) == ["p"]
    assert await read(ledger, path) == TWO


async def test_another_text_of_the_same_size_and_time_is_seen(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    os.utime(tmp_path / "jobs.csv", (LONG_AGO, LONG_AGO))
    await read(ledger, path)
    write(tmp_path, "prompt\ncat\ncow\n")
    os.utime(tmp_path / "jobs.csv", (LONG_AGO, LONG_AGO))
    assert await read(ledger, path) == Difference(new=1, unchanged=1, removed=1)


async def test_another_model_option_is_seen_and_its_end_too(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    await read(ledger, path)
    assert await read(ledger, path, model="other") == Difference(changed=2)
    assert await read(ledger, path, model="other") == TWO
    assert await read(ledger, path) == Difference(changed=2)


@pytest.mark.parametrize(
    "head",
    [HEAD.replace("images", "chat"), HEAD.replace("m}", "n}"), HEAD + "settings: {max_attempts: 2}\n"],
    ids=["a profile", "a default", "a setting"],
)
async def test_another_head_is_read_again(ledger: Ledger, tmp_path: Path, head: str) -> None:
    await read(ledger, write(tmp_path))
    assert await is_read(ledger, open_manifest(write(tmp_path, head=head)))


async def test_a_moved_manifest_is_read_again(ledger: Ledger, tmp_path: Path) -> None:
    await read(ledger, write(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    assert await is_read(ledger, open_manifest(write(tmp_path / "elsewhere")))


async def test_a_ledger_that_took_in_another_manifest_reads_the_first_again(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    await read(ledger, path)
    write(tmp_path, "prompt\ncow\n")
    assert await read(ledger, path) == Difference(new=1, removed=2)
    write(tmp_path)
    assert await read(ledger, path) == Difference(unchanged=2, removed=1)


async def test_a_built_in_provider_that_only_a_row_names_is_found_without_reading(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = write(tmp_path, "prompt,provider\ncat,simulator\n")
    await read(ledger, path)
    again = open_manifest(path)
    assert not await is_read(ledger, again)
    assert set(again.profiles) == {"p", "simulator"}


async def test_a_picture_with_other_content_is_seen_whatever_its_size_and_time(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = write(tmp_path, "id,prompt,references\na,cat,a.png\nb,dog,\n")
    picture(tmp_path / "a.png", "red")
    await read(ledger, path)
    size = (tmp_path / "a.png").stat().st_size
    assert await read(ledger, path) == TWO
    picture(tmp_path / "a.png", "blue")
    assert (tmp_path / "a.png").stat().st_size == size
    assert await read(ledger, path) == Difference(changed=1, unchanged=1)


async def test_a_picture_that_was_only_touched_is_no_change(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, "id,prompt,references\na,cat,a.png\nb,dog,\n")
    picture(tmp_path / "a.png", "red")
    await read(ledger, path)
    os.utime(tmp_path / "a.png", (LONG_AGO + 5, LONG_AGO + 5))
    assert not await is_read(ledger, open_manifest(path))


async def test_a_picture_that_is_gone_is_the_users_mistake(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, "id,prompt,references\na,cat,a.png\n")
    picture(tmp_path / "a.png", "red")
    await read(ledger, path)
    (tmp_path / "a.png").unlink()
    assert await is_read(ledger, open_manifest(path))


async def test_the_kept_picture_of_a_data_url_is_made_anew_when_it_is_gone(ledger: Ledger, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    path = write(tmp_path, f'id,prompt,references\na,cat,"data:image/png;base64,{data}"\nb,dog,\n')
    await read(ledger, path)
    assert await read(ledger, path) == TWO
    (kept,) = (tmp_path / "w" / REFERENCES).iterdir()
    kept.unlink()
    assert await read(ledger, path) == TWO
    assert kept.exists()


async def test_a_manifest_that_changes_while_it_is_read_is_read_again(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    opened = open_manifest(path)
    write(tmp_path, "prompt\ncat\ndog\ncow\n")
    assert await take_in(ledger, opened, tmp_path / "w") == Difference(new=3)
    assert await is_read(ledger, open_manifest(path))


async def test_an_unchanged_manifest_keeps_its_jobs_as_they_are(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path)
    await read(ledger, path)
    before = [record async for record in ledger.reader.jobs(Filter())]
    await read(ledger, path)
    assert [record async for record in ledger.reader.jobs(Filter())] == before


def test_what_the_file_system_says_is_believed_of_a_picture_that_was_left_alone_for_a_while(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    look = look_at(str(tmp_path / "a.png"))
    fresh = replace(look, digest="sha256:other")
    assert still(fresh) is None
    settled = replace(fresh, looked_at=look.looked_at + 60)
    assert still(settled) is settled
    assert still(replace(settled, size=1)) is None


async def test_a_stop_while_the_manifest_is_read_changes_nothing(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.drain()
    report = await run_batch(open_manifest(write(tmp_path)), RunOptions(workspace=tmp_path / "w", stop=stop))
    assert (report.exit_code, report.requests, sum(report.status.jobs.values())) == (INTERRUPTED, 0, 0)
    assert report.reason == "the manifest was still being read, nothing was sent"
