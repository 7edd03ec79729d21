"""Export, on real workspaces: what is written, what is left out and said, and that a place is never half made.

That the readers of each format can read it is tested in `readers/`.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from batchgen.cli import main
from batchgen.errors import BadRequest
from batchgen.export.choices import ShardSize
from batchgen.export.place import building
from batchgen.model import JobState
from tests.integration.finished import Made, finished


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    """Five jobs, four of them done, with six pictures of two formats."""
    return finished(
        tmp_path / "cats",
        Made(id="grey", prompt="a grey\n\"cat\"", meta={"style": "oil", "n": 1}, cost=0.5, params={"seed": 7}),
        Made(id="many", colours=("red", "green", "blue"), cost=0.3, meta={"style": "ink", "n": 2.5}),
        Made(id="bad", error=BadRequest("no such size"), state=JobState.FAILED),
        Made(id="again", prompt="画个牛马", meta={"tags": ["a", "b"]}, ratio="16:9"),
        Made(id="wide", format="jpeg", size=(40, 10), provider="apiyi", model="x-1"),
    )


def export(workspace: Path, dest: Path, format: str, *words: str, code: int = 0) -> Result:
    """Run the command in this process."""
    done = CliRunner().invoke(main, ["export", str(workspace), str(dest), "--format", format, *words])
    assert done.exit_code == code, done.output
    return done


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_image_folder_has_a_line_and_a_whole_picture_for_each_saved_image_in_manifest_order(
    cats: Path, tmp_path: Path
) -> None:
    export(cats, tmp_path / "ds", "imagefolder")
    found = rows(tmp_path / "ds/metadata.jsonl")
    assert [(row["id"], row["position"]) for row in found] == [
        ("grey", 0),
        ("many", 0),
        ("many", 1),
        ("many", 2),
        ("again", 0),
        ("wide", 0),
    ]
    for row in found:
        data = (tmp_path / "ds" / row["file_name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert len(data) == row["bytes"]


def test_a_row_tells_all_that_the_ledger_knows(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "ds", "imagefolder")
    row = rows(tmp_path / "ds/metadata.jsonl")[0]
    sha256, size = row.pop("sha256"), row.pop("bytes")
    assert (len(sha256), size > 0) == (64, True)
    assert row == {
        "file_name": "images/grey.png",
        "id": "grey",
        "position": 0,
        "prompt": 'a grey\n"cat"',
        "model": "m",
        "provider": "tu-zi",
        "ratio": "1:1",
        "size": None,
        "quality": None,
        "seed": 7,
        "parent": None,
        "task_id": "task_grey",
        "gen_id": None,
        "request_id": None,
        "width": 8,
        "height": 8,
        "format": "png",
        "cost": 0.5,
        "created_at": "2025-11-13T02:13:50Z",
        "meta.n": 1.0,
        "meta.style": "oil",
        "meta.tags": None,
    }


def test_images_of_one_request_share_its_cost_and_a_meta_list_is_told_as_json(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "table.jsonl", "jsonl")
    found = rows(tmp_path / "table.jsonl")
    assert [row["cost"] for row in found] == [0.5, 0.1, 0.1, 0.1, None, None]
    assert found[4]["meta.tags"] == '["a", "b"]'


@pytest.mark.parametrize("format", ["imagefolder", "parquet", "webdataset", "csv", "jsonl"])
def test_the_same_ledger_gives_the_same_bytes(cats: Path, tmp_path: Path, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install '.[export]'")
    for name in ("one", "two"):
        export(cats, tmp_path / name, format, "--split", "train:0.5,test:0.5")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_table_is_a_file_where_dest_ends_like_one_and_a_described_folder_otherwise(
    cats: Path, tmp_path: Path
) -> None:
    export(cats, tmp_path / "table.csv", "csv")
    export(cats, tmp_path / "folder", "csv")
    assert (tmp_path / "table.csv").read_bytes() == (tmp_path / "folder/images.csv").read_bytes()
    assert set(tree(tmp_path / "folder")) == {"images.csv", "croissant.json"}
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found[0]["prompt"] == 'a grey\n"cat"'
    assert found[4]["prompt"] == "画个牛马"
    assert (cats / found[0]["file_name"]).is_file()


def test_a_webdataset_is_cut_into_dense_shards_of_whole_samples(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "ds", "webdataset", "--shard-size", "4")
    members = {}
    for path in sorted((tmp_path / "ds").glob("*.tar")):
        with tarfile.open(path) as tar:
            members[path.name] = tar.getmembers()
    assert list(members) == ["train-000000.tar", "train-000001.tar"]
    names = [member.name for shard in members.values() for member in shard]
    assert names == [
        f"{number:09d}.{ending}" for number in range(6) for ending in ("jpg" if number == 5 else "png", "json")
    ]
    assert {(member.mtime, member.uid, member.mode) for shard in members.values() for member in shard} == {
        (0, 0, 0o644)
    }


def test_where_takes_patterns_and_all_must_hold(cats: Path, tmp_path: Path) -> None:
    for words, ids in (
        (["state=done", "model=x-*"], ["wide"]),
        (["meta.style=o*"], ["grey"]),
        (["meta.n=2.5"], ["many"] * 3),
        (["ratio=16:9"], ["again"]),
        (["provider=apiyi", "meta.style=*"], []),
    ):
        options = [word for value in words for word in ("--where", value)]
        export(cats, tmp_path / "table.jsonl", "jsonl", "--overwrite", *options)
        assert [row["id"] for row in rows(tmp_path / "table.jsonl")] == ids


def test_dedupe_keeps_the_first_of_equal_bytes_and_says_how_many_it_left_out(cats: Path, tmp_path: Path) -> None:
    done = export(cats, tmp_path / "table.jsonl", "jsonl", "--dedupe")
    assert [row["id"] for row in rows(tmp_path / "table.jsonl")] == ["grey", "many", "many", "wide"]
    assert "2 images left out, of the same bytes as an earlier one" in done.stderr


def test_a_split_keeps_the_images_of_a_job_together_and_moves_nothing_when_the_batch_grows(tmp_path: Path) -> None:
    jobs = [Made(id=f"job-{n}", colours=("red", "blue")) for n in range(40)]
    parts = []
    for name, some in (("small", jobs[:20]), ("large", jobs)):
        dest = tmp_path / f"ds-{name}"
        export(finished(tmp_path / name, *some), dest, "imagefolder", "--split", "train:0.7,test:0.3")
        found = {split: rows(dest / split / "metadata.jsonl") for split in ("train", "test")}
        assert all((dest / split / row["file_name"]).is_file() for split in found for row in found[split])
        parts.append({split: {row["id"] for row in found[split]} for split in found})
    small, large = parts
    assert not large["train"] & large["test"]
    assert small["train"] < large["train"]
    assert small["test"] < large["test"]
    assert 5 <= len(large["test"]) <= 19


def test_resize_shrinks_what_is_larger_and_leaves_the_rest_as_it_is(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "ds", "imagefolder", "--resize", "20")
    found = rows(tmp_path / "ds/metadata.jsonl")
    assert (found[0]["width"], found[5]["width"], found[5]["height"]) == (8, 20, 5)
    for row in (found[0], found[5]):
        data = (tmp_path / "ds" / row["file_name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
    assert (tmp_path / "ds/images/grey.png").read_bytes() == (cats / "images/grey.png").read_bytes()


@pytest.mark.parametrize(("format", "ending"), [("webp", "webp"), ("jpeg", "jpg"), ("png", "png")])
def test_image_format_encodes_every_picture_anew(cats: Path, tmp_path: Path, format: str, ending: str) -> None:
    export(cats, tmp_path / "ds", "imagefolder", "--image-format", format)
    for row in rows(tmp_path / "ds/metadata.jsonl"):
        assert (row["format"], row["file_name"].rpartition(".")[2]) == (format, ending)
        with Image.open(tmp_path / "ds" / row["file_name"]) as image:
            assert image.format == format.upper()


def test_pictures_that_would_get_one_name_keep_apart(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", Made(id="a", path="cat"), Made(id="b", path="cat", format="jpeg"))
    export(workspace, tmp_path / "ds", "imagefolder", "--image-format", "webp")
    names = [row["file_name"] for row in rows(tmp_path / "ds/metadata.jsonl")]
    assert names == ["images/cat.webp", "images/cat~2.webp"]


def test_a_lost_or_changed_picture_is_left_out_counted_named_and_an_exit_code(cats: Path, tmp_path: Path) -> None:
    (cats / "images/grey.png").unlink()
    data = bytearray((cats / "images/many.png").read_bytes())
    data[-1] ^= 1
    (cats / "images/many.png").write_bytes(data)
    done = export(cats, tmp_path / "ds", "imagefolder", code=1)
    assert len(rows(tmp_path / "ds/metadata.jsonl")) == 4
    assert "1 image left out, not on disk" in done.stderr
    assert "missing  images/grey.png" in done.stderr
    assert "changed  images/many.png" in done.stderr
    assert "1 image left out, not on disk" in export(cats, tmp_path / "t.csv", "csv", code=1).stderr


def test_a_path_that_leads_out_of_the_workspace_is_not_followed(cats: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    (cats / "images/grey.png").rename(secret)
    (cats / "images/grey.png").symlink_to(secret)
    done = export(cats, tmp_path / "ds", "imagefolder", code=1)
    assert "missing  images/grey.png" in done.stderr


def test_a_place_that_is_taken_is_left_alone(cats: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert "is there already" in export(cats, tmp_path / "mine", "imagefolder", code=2).stderr
    assert "is not an export" in export(cats, tmp_path / "mine", "imagefolder", "--overwrite", code=2).stderr
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_an_earlier_export_is_replaced_only_with_overwrite_and_then_whole(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "ds", "imagefolder")
    before = tree(tmp_path / "ds")
    export(cats, tmp_path / "ds", "imagefolder", code=2)
    assert tree(tmp_path / "ds") == before
    export(cats, tmp_path / "ds", "imagefolder", "--overwrite", "--where", "id=wide")
    assert set(tree(tmp_path / "ds")) == {"metadata.jsonl", "images/wide.jpg", "README.md", "croissant.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"cats", "ds"}


def test_what_a_killed_export_left_is_cleared_away_and_one_that_goes_on_is_not_disturbed(
    cats: Path, tmp_path: Path
) -> None:
    aside = tmp_path / ".ds.part"
    (aside / "whole").mkdir(parents=True)
    (aside / "whole/half.png").write_bytes(b"half")
    handle = os.open(aside, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert "is being made by another process" in export(cats, tmp_path / "ds", "imagefolder", code=2).stderr
    assert (aside / "whole/half.png").exists()
    os.close(handle)
    export(cats, tmp_path / "ds", "imagefolder")
    assert not aside.exists()


def test_an_interrupted_export_leaves_nothing_and_the_earlier_one_as_it_was(cats: Path, tmp_path: Path) -> None:
    export(cats, tmp_path / "ds", "imagefolder")
    before = tree(tmp_path / "ds")

    def interrupted() -> None:
        with building(tmp_path / "ds", cats, overwrite=True) as aside:
            (aside / "whole").mkdir()
            (aside / "whole/half.png").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tree(tmp_path / "ds") == before
    assert {path.name for path in tmp_path.iterdir()} == {"cats", "ds"}


def test_without_pyarrow_parquet_says_what_to_install(
    cats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    said = export(cats, tmp_path / "ds", "parquet", code=2).stderr
    assert said.strip() == "--format parquet needs the extra 'export': pip install 'batchgen[export]'"


def test_an_empty_folder_is_a_place_also_when_it_is_the_current_one(
    cats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(cats, Path("."), "imagefolder")
    assert len(rows(tmp_path / "here/metadata.jsonl")) == 6


def test_the_workspace_and_its_images_are_no_place_for_an_export(cats: Path, tmp_path: Path) -> None:
    for place in (cats, tmp_path, cats / "images/ds", cats / "ledger.db"):
        export(cats, place, "imagefolder", "--overwrite", code=2)
    assert (cats / "ledger.db").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "modle=x"], "did you mean 'model'?"),
        (["--where", "done"], "expected KEY=VALUE"),
        (["--where", "state=finished"], "no such state"),
        (["--split", "train"], "expected NAME:SHARE"),
        (["--split", "train:0.5,test:0.2"], "add up to 0.7, not to 1"),
        (["--split", "a:0.5,a:0.5"], "twice"),
        (["--shard-size", "1GB"], "has no shards"),
        (["--resize", "0"], "--resize"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_was_expected(
    cats: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    assert said in export(cats, tmp_path / "ds", "imagefolder", *words, code=2).stderr
    assert not (tmp_path / "ds").exists()


def test_a_table_refuses_options_for_pictures(cats: Path, tmp_path: Path) -> None:
    done = export(cats, tmp_path / "t.csv", "csv", "--resize", "10", code=2)
    assert done.stderr.strip() == "--resize is for pictures, and --format csv is a table without any"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", ShardSize(bytes=10**9)),
        ("1.5 MiB", ShardSize(bytes=3 * 2**19)),
        ("500b", ShardSize(bytes=500)),
        ("1000", ShardSize(samples=1000)),
    ],
)
def test_a_shard_size_is_bytes_with_a_unit_and_samples_without(text: str, size: ShardSize) -> None:
    assert ShardSize.parse(text) == size


def test_a_batch_without_images_makes_an_empty_table_and_says_so(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", Made(id="a", state=JobState.PENDING))
    done = export(workspace, tmp_path / "t.csv", "csv")
    assert "nothing of this batch is on disk yet" in done.stderr
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1


def test_json_tells_what_was_written(cats: Path, tmp_path: Path) -> None:
    done = export(cats, tmp_path / "ds", "imagefolder", "--json")
    told = json.loads(done.stdout)
    assert told["images"] == 6
    assert told["splits"] == {"train": 6}
    assert (told["missing"], told["changed"], told["duplicates"]) == (0, 0, 0)


def test_names_that_a_loader_would_take_for_a_part_of_the_dataset_are_changed(tmp_path: Path) -> None:
    jobs = [Made(id=name) for name in ("test", "my-train_2", "contest", "__init", "dev.1")]
    export(finished(tmp_path / "w", *jobs), tmp_path / "ds", "imagefolder")
    names = [row["file_name"] for row in rows(tmp_path / "ds/metadata.jsonl")]
    assert names == [
        "images/test~.png",
        "images/my-train~_2.png",
        "images/contest.png",
        "images/~__init.png",
        "images/dev~.1.png",
    ]


def test_more_meta_names_than_columns_become_one_column_of_json(tmp_path: Path) -> None:
    jobs = [Made(id=f"job-{n}", meta={f"key-{n}": n}) for n in range(210)]
    export(finished(tmp_path / "w", *jobs), tmp_path / "t.jsonl", "jsonl")
    found = rows(tmp_path / "t.jsonl")
    assert json.loads(found[7]["meta"]) == {"key-7": 7}
    assert not [name for name in found[7] if name.startswith("meta.")]
