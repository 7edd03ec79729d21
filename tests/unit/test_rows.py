"""A job out of its row: what rows have in common is read once, and nobody is handed another one's mappings."""

from __future__ import annotations

import json
from typing import cast

import pytest

from batchgen.ledger.rows import job_of
from batchgen.model import Job

SHORT = {"meta": {"tags": ["a"]}, "params": {"seed": 1}}
LONG = {"references": ["data:image/png;base64," + "A" * 10_000], **SHORT}


def job(request: object, *, own: bool = False) -> Job:
    row = {"id": "a", "prompt": "x", "providers": '["p"]', "model": "m", "ratio": None, "wanted": 1, "parent": None}
    return job_of({**row, "request": json.dumps(request)}, own=own)


def test_what_many_jobs_share_is_kept_once_and_a_picture_is_not_kept() -> None:
    assert job(SHORT).meta is job(SHORT).meta
    assert job(LONG).meta is not job(LONG).meta


@pytest.mark.parametrize("request_", [SHORT, LONG], ids=["short", "long"])
def test_a_job_of_ones_own_may_be_changed(request_: object) -> None:
    mine = job(request_, own=True)
    cast("dict[str, object]", mine.meta)["score"] = 1  # as a program that uses the library may
    cast("list[str]", mine.meta["tags"]).append("mine")
    assert job(request_) == job(request_, own=True) != mine
