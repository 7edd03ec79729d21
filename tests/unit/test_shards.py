"""The division of a batch: every job is in one shard, for ever the same, and the parts make the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import ManifestError, UsageError
from batchgen.manifest.load import open_manifest
from batchgen.model import Settings
from batchgen.providers.profile import Limits
from batchgen.shards.division import Indivisible, Shard, Shards, folder_name

divisions = st.integers(1, 40)
ids = st.text(max_size=30)


def of(total: int) -> list[Shard]:
    return [Shard(number, total) for number in range(1, total + 1)]


@given(ids, divisions)
def test_every_id_is_in_exactly_one_shard(root: str, total: int) -> None:
    assert sum(shard.has(root) for shard in of(total)) == 1


@given(st.integers(0, 10**12), divisions)
def test_the_parts_of_an_amount_make_the_whole_and_differ_by_one_at_most(whole: int, total: int) -> None:
    parts = [shard.part(whole) for shard in of(total)]
    assert sum(parts) == whole
    assert max(parts) - min(parts) <= 1


def test_which_shard_an_id_is_in_never_changes() -> None:
    # By `printf "shard cat" | sha256sum`: another answer tomorrow would send what another shard has done.
    known = {"cat": (1, 5), "boat": (1, 7), "job-000": (1, 7), "": (2, 2), "猫": (2, 8), "\udcff": (1, 1)}
    assert {name: tuple(_number(name, total) for total in (2, 8)) for name in known} == known


def _number(name: str, total: int) -> int:
    (number,) = [shard.number for shard in of(total) if shard.has(name)]
    return number


def test_another_process_with_another_hash_seed_divides_alike() -> None:
    code = (
        "from batchgen.shards.division import Shard\n"
        "print([n for n in range(500) if Shard(3, 7).has(f'job-{n}')])"
    )
    here = [n for n in range(500) if Shard(3, 7).has(f"job-{n}")]
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(here)


def test_shards_are_of_nearly_the_same_size() -> None:
    counts = [sum(shard.has(f"job-{n}") for n in range(8000)) for shard in of(8)]
    assert all(abs(count - 1000) < 150 for count in counts), counts


@pytest.mark.parametrize("text", ["2", "0/8", "9/8", "2/0", "-1/8", "a/b", "1/2/3", "²/8", "", "1.5/8"])
def test_what_is_no_shard_is_told_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as told:
        Shard.parse(text)
    assert "\n" not in str(told.value)
    assert text in str(told.value)


def test_a_shard_and_what_a_workspace_holds_read_as_they_are_written() -> None:
    assert Shard.parse(" 2/8 ") == Shard(2, 8)
    assert str(Shard(2, 8)) == "2/8"
    assert Shards.noted("2/8") == Shards((2,), 8)
    assert Shards.noted("") is Shards.noted(None) is None
    held = Shards((1,), 4).with_others([Shards((4, 2), 4)])
    assert (str(held), held.missing, held.words()) == ("1,2,4/4", (3,), "shards 1, 2 and 4 of 4")
    assert Shards.noted(str(held)) == held
    assert folder_name("demo", Shard(2, 8)) == "demo.shard-2-of-8"


@given(st.integers(1, 10_000), st.integers(1, 10_000), divisions)
def test_all_shards_together_keep_every_limit(minute: int, at_once: int, total: int) -> None:
    limits = Limits(requests_per_minute=minute, concurrency=at_once)
    if min(minute, at_once) < total:
        with pytest.raises(Indivisible, match="can't be divided among"):
            Shard(1, total).limits(limits)
        return
    parts = [shard.limits(limits) for shard in of(total)]
    assert sum(part.requests_per_minute or 0 for part in parts) == minute
    assert sum(part.concurrency or 0 for part in parts) == at_once
    assert all(part.images_per_minute is None for part in parts)


@given(st.integers(0, 10**9), divisions)
def test_all_shards_together_never_spend_more_than_the_budget(millionths: int, total: int) -> None:
    whole = millionths / 1_000_000
    parts = [shard.settings(Settings(max_cost=whole)).max_cost for shard in of(total)]
    assert round(sum(part or 0.0 for part in parts), 6) == whole


MANIFEST = """
provider: simulator
defaults: {model: gpt-image-1}
jobs:
  - {id: late, prompt: c, after: middle}
  - {id: middle, prompt: b, after: early}
  - {id: early, prompt: a}
  - {id: "Alone", prompt: d}
  - {id: "alone", prompt: d}
  - {prompt: no name}
  - {prompt: no name}
"""


def test_the_shards_of_a_manifest_bring_each_job_once_at_its_place_and_chains_in_one(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(MANIFEST)
    whole = {entry.job.id: entry for entry in open_manifest(path).entries()}
    order = list(whole)
    places: dict[str, int] = {}
    for shard in of(5):
        entries = list(open_manifest(path, shard=shard).entries())
        for entry in entries:
            assert entry.job.id not in places
            assert entry.position is not None
            places[entry.job.id] = entry.position
            assert (entry.fingerprint, entry.apart) == (whole[entry.job.id].fingerprint, whole[entry.job.id].apart)
        chained = {entry.job.id for entry in entries} & {"early", "middle", "late"}
        assert len(chained) in (0, 3)
    assert places == {name: place for place, name in enumerate(order)}


def test_a_mistake_anywhere_in_the_manifest_is_told_by_every_shard(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(MANIFEST + "  - {promt: oops}\n")
    for shard in of(3):
        with pytest.raises(ManifestError, match="promt"):
            open_manifest(path, shard=shard).check()


def test_a_limit_too_small_to_be_divided_is_a_mistake_of_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("providers: {simulator: {limits: {concurrency: 4}}}" + MANIFEST)
    open_manifest(path, shard=Shard(1, 4)).check()
    with pytest.raises(ManifestError, match=r"4 requests at once can't be divided among 5 shards, at most 4"):
        open_manifest(path, shard=Shard(1, 5)).check()
