"""Ids and fingerprints: what they depend on and what they don't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from batchgen.manifest.expand import asked, join_job, numbered, sent
from batchgen.manifest.schema import JobRow
from batchgen.model import Job

JOB = Job(id="a", prompt="A cat", provider=("tu-zi",), model="m", references=("/x/a.png",), meta={"k": 1})
DIGESTS = {"/x/a.png": "sha256:1"}


def fingerprint(job: Job, simulated: bool, digests: Mapping[str, str]) -> str:
    return sent(job, simulated, digests).fingerprint(job.prompt, job.after)


def derived_id(job: Job, digests: Mapping[str, str]) -> str:
    return asked(job, digests).derived_id(job.prompt, job.after)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "A dog"},
        {"model": "n"},
        {"ratio": "1:1"},
        {"size": "1K"},
        {"quality": "high"},
        {"output_format": "png"},
        {"output_compression": 0},
        {"background": "opaque"},
        {"n": 2},
        {"references": ()},
        {"mask": "/x/a.png"},
        {"after": "b"},
        {"params": {"seed": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_fingerprint_changes_with_everything_that_is_sent(change: dict[str, Any]) -> None:
    assert fingerprint(replace(JOB, **change), False, DIGESTS) != fingerprint(JOB, False, DIGESTS)


@pytest.mark.parametrize("change", [{"id": "b"}, {"meta": {}}, {"provider": ("apiyi", "tu-zi")}])
def test_a_fingerprint_stands_when_nothing_that_is_sent_changes(change: dict[str, Any]) -> None:
    assert fingerprint(replace(JOB, **change), False, DIGESTS) == fingerprint(JOB, False, DIGESTS)


def test_a_simulated_result_never_stands_for_a_real_one() -> None:
    assert fingerprint(JOB, True, DIGESTS) != fingerprint(JOB, False, DIGESTS)


def test_a_picture_counts_by_its_content_and_not_by_its_path() -> None:
    moved = replace(JOB, references=("/y/b.png",))
    assert fingerprint(moved, False, {"/y/b.png": "sha256:1"}) == fingerprint(JOB, False, DIGESTS)
    assert fingerprint(JOB, False, {"/x/a.png": "sha256:2"}) != fingerprint(JOB, False, DIGESTS)


def test_a_derived_id_begins_with_the_words_of_the_prompt() -> None:
    assert derived_id(replace(JOB, prompt="Café, au  lait!"), {}).startswith("cafe-au-lait-")
    assert derived_id(replace(JOB, prompt="一只猫"), {}).startswith("job-")


def test_identical_rows_are_told_apart_by_their_count() -> None:
    assert [numbered("x", count) for count in (1, 2, 3)] == ["x", "x-2", "x-3"]


def _row(**values: Any) -> JobRow:
    return JobRow.model_validate(values)


def test_the_nearer_value_wins_and_mappings_are_joined() -> None:
    defaults = _row(model="m", ratio="1:1", provider="b", meta={"a": 1, "b": 1}, params={"p": 1})
    job = join_job(_row(prompt="x", ratio="16:9", meta={"b": 2}), defaults, ("top",))
    assert (job.model, job.ratio, job.provider) == ("m", "16:9", ("b",))
    assert job.meta == {"a": 1, "b": 2}
    assert job.params == {"p": 1}


def test_a_null_takes_back_a_default() -> None:
    job = join_job(_row(prompt="x", ratio=None, references=None), _row(ratio="1:1", references=["a"]), ())
    assert job.ratio is None
    assert job.references == ()


def test_the_manifests_own_provider_is_the_last_resort() -> None:
    assert join_job(_row(prompt="x"), _row(), ("top",)).provider == ("top",)
    assert join_job(_row(prompt="x", provider=["p", "q"]), _row(), ("top",)).provider == ("p", "q")
