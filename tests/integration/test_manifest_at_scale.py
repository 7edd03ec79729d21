"""What is found out once for many rows, or not read again at all, changes nothing in what comes of them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest.load import open_manifest
from batchgen.model import Entry, Json


@pytest.mark.parametrize("prompt", ["a {} cat", "a {} cat {{name}}", "{{ {}", "a {}\u2028cat"])
@pytest.mark.parametrize("meta", [True, False], ids=["meta", "no meta"])
@pytest.mark.parametrize("named", [True, False], ids=["ids", "no ids"])
def test_a_row_means_the_same_among_others_of_its_kind_as_alone(
    tmp_path: Path, prompt: str, meta: bool, named: bool
) -> None:
    choices = {"ratio": ["16:9", "1:1", ""], "model": ["gpt-image-1", "nano-banana", ""], "n": ["1", "4", ""]}
    rows = [",".join(values) for values in product(*choices.values())] * 2
    lines = [
        (f"id{number}" if named else "") + f",{prompt.format(number)},{row}" + (",Kim" if meta else "")
        for number, row in enumerate(rows)
    ]
    header = f"id,prompt,{','.join(choices)}{',meta.name' if meta else ''}\n"
    many, alone = tmp_path / "many.csv", tmp_path / "alone.csv"
    many.write_text(header + "\n".join(lines))
    together = list(open_manifest(many, provider="tu-zi").entries())
    assert len(together) == len(rows)
    for line, entry in zip(lines, together, strict=True):
        alone.write_text(header + line)
        (single,) = open_manifest(alone, provider="tu-zi").entries()
        assert (single.job, single.fingerprint, single.warnings) == (entry.job, entry.fingerprint, entry.warnings)


def test_a_row_with_cells_missing_at_its_end_means_what_it_means_with_empty_ones(tmp_path: Path) -> None:
    short, full = tmp_path / "short.csv", tmp_path / "full.csv"
    short.write_text("id,prompt,ratio,meta.k\na,x,1:1,m\nb,y\nc,z,1:1\n,v\nd,w,1:1,m\n")
    full.write_text("id,prompt,ratio,meta.k\na,x,1:1,m\nb,y,,\nc,z,1:1,\n,v,,\nd,w,1:1,m\n")
    found = [[one.job for one in open_manifest(path, provider="tu-zi").entries()] for path in (short, full)]
    assert found[0] == found[1]
    assert [(job.id, job.ratio, dict(job.meta)) for job in found[0] if job.prompt in "wxy"] == [
        ("a", "1:1", {"k": "m"}),
        ("b", None, {}),
        ("d", "1:1", {"k": "m"}),
    ]


def test_an_id_that_comes_twice_is_found_among_rows_of_one_pattern(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt\n" + "".join(f"{name},x\n" for name in ("a", "b", "c", "b", "a")))
    with pytest.raises(ManifestError) as caught:
        open_manifest(path, provider="tu-zi", model="m").check()
    assert [problem.split(":")[1] for problem in caught.value.problems] == ["5", "6"]


ALIKE: list[dict[str, Json]] = [
    {"quality": True},
    {"quality": "True"},
    {"quality": "true"},
    {"quality": 1},
    {"quality": "1"},
    {"quality": None},
    {"n": 1},
    {"n": "1"},
    {"meta": {"k": 1}},
    {"meta": {"k": True}},
    {"meta": {"k": "1"}},
    {"meta": {"k": 1.0, "l": [None, {"m": 1}]}},
    {"params": {"k": 1}},
    {"params": {"k": "1"}},
    {"id": "named"},
    {"model": "other", "meta": {"k": 1}},
    {"references": ["https://example.com/a.png"], "meta": {"k": 1}},
]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_rows_that_only_look_alike_mean_the_same_together_as_alone(tmp_path: Path, suffix: str) -> None:
    def found(*rows: dict[str, Json]) -> list[Entry]:
        path = tmp_path / f"a.{suffix}"
        path.write_text("\n".join(map(json.dumps, rows)) if suffix == "jsonl" else json.dumps({"jobs": rows}))
        return list(open_manifest(path, provider="tu-zi", model="m").entries())

    rows: list[dict[str, Json]] = [{"prompt": "x", **more} for more in ALIKE]
    again: list[dict[str, Json]] = [{**row, "prompt": "y", **({"id": "other"} if "id" in row else {})} for row in rows]
    for row, entry in zip([*rows, *again], found(*rows, *again), strict=True):
        (alone,) = found(row)
        # Requests that come to the same have ids that are told apart by their count; True == 1.
        assert repr(alone.job.named("", "")) == repr(entry.job.named("", ""))
        assert (alone.fingerprint, alone.warnings) == (entry.fingerprint, entry.warnings)


def test_values_that_python_takes_for_equal_are_kinds_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"prompt": "x", "n": 1}, {"prompt": "y", "n": True}, {"prompt": "z", "n": 1.0}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ManifestError) as caught:
        open_manifest(path, provider="tu-zi").check()
    assert [problem.partition(":")[2][:2] for problem in caught.value.problems] == ["2:"]


def test_a_mistake_that_many_rows_share_is_told_for_each_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt,references\n" + "".join(f"j{number},x,gone.png\n" for number in range(5)))
    with pytest.raises(ManifestError) as caught:
        open_manifest(path, provider="tu-zi").check()
    assert [int(problem.split(":")[1]) for problem in caught.value.problems] == [2, 3, 4, 5, 6]
