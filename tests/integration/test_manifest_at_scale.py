"""What is found out once for many rows, or not read again at all, changes nothing in what comes of them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest.load import open_manifest


def test_a_row_means_the_same_among_others_of_its_kind_as_alone(tmp_path: Path) -> None:
    columns = {"ratio": ["16:9", "1:1", ""], "model": ["gpt-image-1", "nano-banana", ""], "n": ["1", "4", ""]}
    rows = [dict(zip(columns, values, strict=True)) for values in product(*columns.values())] * 2
    many = tmp_path / "many.csv"
    lines = [
        f"id{number},a {number} cat {{name}},{row['ratio']},{row['model']},{row['n']},Kim"
        for number, row in enumerate(rows)
    ]
    header = "id,prompt,ratio,model,n,meta.name\n"
    many.write_text(header + "\n".join(lines))
    alone = tmp_path / "alone.csv"
    together = list(open_manifest(many, provider="tu-zi").entries())
    assert len(together) == len(rows)
    for line, entry in zip(lines, together, strict=True):
        alone.write_text(header + line)
        (single,) = open_manifest(alone, provider="tu-zi").entries()
        assert (single.job, single.fingerprint, single.warnings) == (entry.job, entry.fingerprint, entry.warnings)


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
