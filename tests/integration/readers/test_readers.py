"""Each dataset read by the library that its users have: as many rows, the right values, pictures that decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batchgen.cli import main
from batchgen.model import JobState
from tests.integration.finished import Made, finished

IDS = [f"job-{number:02}" for number in range(30)] + ["test", "val-1", "many", "many"]
SPLIT = ("--split", "train:0.8,test:0.2")


def reader(name: str) -> Any:  # Any: these libraries are not there when types are checked
    """The library, or a skipped test that says how to get it."""
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[readers]'", exc_type=ImportError)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in three formats, columns that begin with nulls, and ids that look like names of splits."""
    jobs = [
        Made(
            id=name,
            prompt=f"a 猫, called '{name}'\nin two lines",
            format=("png", "jpeg", "webp")[number % 3],
            meta={"style": "oil", "strength": number if number < 20 else number + 0.5} if number > 6 else {},
            params={"seed": number} if number > 8 else {},
            cost=0.25 if number > 10 else None,
        )
        for number, name in enumerate(IDS[:-2])
    ]
    jobs += [Made(id="many", colours=("red", "blue")), Made(id="open", state=JobState.PENDING)]
    return finished(tmp_path_factory.mktemp("readers") / "cats", *jobs)


def exported(workspace: Path, dest: Path, format: str, *words: str) -> Path:
    done = CliRunner().invoke(main, ["export", str(workspace), str(dest), "--format", format, *words])
    assert done.exit_code == 0, done.output
    return dest


def check_row(row: Any) -> None:
    """A row as its job was."""
    number = IDS.index(row["id"])
    if row["id"] == "many":
        assert row["position"] in (0, 1)
        return
    assert row["prompt"] == f"a 猫, called '{row['id']}'\nin two lines"
    assert row["seed"] == (number if number > 8 else None)
    assert row["cost"] == (0.25 if number > 10 else None)
    assert row["meta.style"] == ("oil" if number > 6 else None)
    assert row["meta.strength"] == (None if number <= 6 else number if number < 20 else number + 0.5)


@pytest.mark.parametrize("format", ["imagefolder", "parquet"])
@pytest.mark.parametrize("split", [(), SPLIT], ids=["whole", "split"])
def test_datasets_loads_rows_images_and_splits(
    workspace: Path, tmp_path: Path, format: str, split: tuple[str, ...]
) -> None:
    datasets = reader("datasets")
    loaded = datasets.load_dataset(str(exported(workspace, tmp_path / "ds", format, *split)))
    assert list(loaded) == (["train", "test"] if split else ["train"])
    rows = [row for part in loaded.values() for row in part]
    assert sorted(row["id"] for row in rows) == sorted(IDS)
    for row in rows:
        assert row["image"].size == (row["width"], row["height"]) == (8, 8)
        check_row(row)


@pytest.mark.parametrize("split", [(), SPLIT], ids=["whole", "split"])
def test_the_image_folder_builder_finds_every_image_though_jobs_are_called_like_splits(
    workspace: Path, tmp_path: Path, split: tuple[str, ...]
) -> None:
    datasets = reader("datasets")
    place = exported(workspace, tmp_path / "ds", "imagefolder", *split)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(place))
    assert sorted(row["id"] for part in loaded.values() for row in part) == sorted(IDS)
    assert set(loaded) == ({"train", "test"} if split else {"train"})


def test_datasets_reads_tar_shards_of_mixed_formats(workspace: Path, tmp_path: Path) -> None:
    datasets = reader("datasets")
    place = exported(workspace, tmp_path / "ds", "webdataset", "--shard-size", "10")
    rows = list(datasets.load_dataset(str(place))["train"])
    assert [row["json"]["id"] for row in rows] == IDS
    for row in rows:
        check_row(row["json"])
        (image,) = [row[name] for name in ("png", "jpg", "webp") if row[name] is not None]
        assert image.size == (8, 8)


def test_webdataset_reads_every_sample_in_order(workspace: Path, tmp_path: Path) -> None:
    wds = reader("webdataset")
    place = exported(workspace, tmp_path / "ds", "webdataset", "--shard-size", "10")
    shards = f"{place}/train-{{000000..000003}}.tar"
    samples = list(wds.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert [sample["json"]["id"] for sample in samples] == IDS
    assert [sample["__key__"] for sample in samples] == [f"{number:09d}" for number in range(len(IDS))]
    for sample in samples:
        (image,) = [sample[name] for name in ("png", "jpg", "webp") if name in sample]
        assert image.size == (8, 8)


def test_pyarrow_reads_the_types_that_the_manifest_had(workspace: Path, tmp_path: Path) -> None:
    parquet = reader("pyarrow.parquet")
    place = exported(workspace, tmp_path / "ds", "parquet", "--shard-size", "20")
    files = sorted((place / "data").iterdir())
    assert [path.name for path in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    rows = [row for path in files for row in parquet.read_table(path).to_pylist()]
    assert [row["id"] for row in rows] == IDS
    schema = parquet.read_schema(files[0])
    kinds = {name: str(schema.field(name).type) for name in ("seed", "cost", "meta.style", "meta.strength")}
    assert kinds == {"seed": "int64", "cost": "double", "meta.style": "string", "meta.strength": "double"}
    for row in rows:
        assert row["image"]["bytes"] == (workspace / row["image"]["path"]).read_bytes()
        check_row(row)


@pytest.mark.parametrize("format", ["imagefolder", "parquet", "webdataset", "csv", "jsonl"])
@pytest.mark.parametrize("split", [(), SPLIT], ids=["whole", "split"])
def test_mlcroissant_finds_no_mistake_and_reads_every_row(
    workspace: Path, tmp_path: Path, format: str, split: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlcroissant = reader("mlcroissant")
    # It unpacks a tar to a folder named by the tar's name alone, whatever dataset that belongs to.
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "unpacked"))
    place = exported(workspace, tmp_path / "ds", format, *split)
    dataset = mlcroissant.Dataset(jsonld=str(place / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    rows = list(dataset.records("rows"))
    assert len(rows) == len(IDS)
    if format != "webdataset":
        assert sorted(row["rows/id"].decode() for row in rows) == sorted(IDS)
    if format == "parquet":
        assert all(row["rows/image"].size == (8, 8) for row in rows)
    if format == "webdataset":
        pictures = [row for name in ("png", "jpeg", "webp") for row in dataset.records(f"{name}-pictures")]
        assert [row["content"].size for row in ({k.split("/")[1]: v for k, v in one.items()} for one in pictures)] == [
            (8, 8)
        ] * len(IDS)
