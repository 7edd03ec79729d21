"""A row times its matrices and alternatives: which jobs, under which ids, and how many."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from batchgen.manifest.matrix import Axis, word
from batchgen.manifest.schema import JobRow, MatrixSection
from batchgen.manifest.variants import Variants
from batchgen.manifest.wording import job_problem
from batchgen.model import Job, Json


def _job(**values: Any) -> Job:
    return Job(**{"id": "", "prompt": "x", "provider": ("p",), "model": "m", **values})


def _axes(**lists: Any) -> tuple[Axis, ...]:
    return MatrixSection.model_validate(lists).axes()


def _jobs(job: Job, top: Sequence[Axis] = (), own: Sequence[Axis] = ()) -> list[Job]:
    variants = Variants(job, top, own)
    jobs = [variant.job for variant in variants]
    assert len(jobs) == variants.count
    return jobs


def test_a_job_without_any_of_it_is_itself() -> None:
    job = _job(id="a", prompt="plain } |")
    assert _jobs(job) == [job]


def test_every_value_meets_every_other_and_fills_its_name() -> None:
    jobs = _jobs(_job(prompt="a {size_} {animal}"), _axes(size_=["big", "small"], animal=["cat", "dog"]))
    assert [job.prompt for job in jobs] == ["a big cat", "a big dog", "a small cat", "a small dog"]
    assert jobs[1].meta == {"size_": "big", "animal": "dog"}


def test_a_name_that_is_a_job_key_sets_that_key() -> None:
    axes = _axes(ratio=["1:1", None], n=["2"], references=["a.png", ["a.png", "b.png"]], params=[{"seed": 1}])
    jobs = _jobs(_job(ratio="3:2", params={"k": 2}), axes)
    assert [(job.ratio, job.references) for job in jobs] == [
        ("1:1", ("a.png",)),
        ("1:1", ("a.png", "b.png")),
        (None, ("a.png",)),
        (None, ("a.png", "b.png")),
    ]
    assert {job.n for job in jobs} == {2}
    assert jobs[0].params == {"k": 2, "seed": 1}
    assert jobs[0].meta == {}


def test_a_model_of_a_matrix_takes_the_place_of_the_models_by_provider() -> None:
    jobs = _jobs(_job(models={"p": "own"}), _axes(model=["a", {"p": "b", "q": "c"}, None]))
    assert [(job.model, dict(job.models)) for job in jobs] == [("a", {}), ("", {"p": "b", "q": "c"}), ("", {})]


def test_zip_goes_through_its_lists_together() -> None:
    axes = _axes(zip=True, animal=["cat", "dog"], sound=["meow", "woof"])
    jobs = _jobs(_job(prompt="{animal} {sound} {x|y}"), axes)
    assert [job.prompt for job in jobs] == ["cat meow x", "cat meow y", "dog woof x", "dog woof y"]


def test_the_jobs_own_matrix_multiplies_the_manifests_and_wins_where_both_have_a_name() -> None:
    top = _axes(animal=["cat", "dog"], ratio=["1:1", "3:2"])
    jobs = _jobs(_job(prompt="{animal} {mood}"), top, _axes(animal=["fox"], mood=["calm", "wild"]))
    assert [(job.prompt, job.ratio) for job in jobs] == [
        ("fox calm", "1:1"),
        ("fox wild", "1:1"),
        ("fox calm", "3:2"),
        ("fox wild", "3:2"),
    ]


def test_a_list_whose_partner_was_replaced_does_not_repeat_itself() -> None:
    top = _axes(zip=True, animal=["cat", "cat", "dog"], sound=["meow", "purr", "woof"])
    jobs = _jobs(_job(prompt="{animal} {sound}"), top, _axes(sound=["-"]))
    assert [job.prompt for job in jobs] == ["cat -", "dog -"]


def test_prompts_from_a_matrix_have_alternatives_of_their_own() -> None:
    jobs = _jobs(_job(prompt=""), (), _axes(prompt=["a {b|c}", "d"], ratio=["1:1", "3:2"]))
    assert [job.prompt for job in jobs] == ["a b", "a c", "a b", "a c", "d", "d"]


def test_an_id_gets_its_values_behind_it_in_an_order_that_no_list_decides() -> None:
    one = _jobs(_job(id="cat", prompt="{b}{a}"), _axes(b=["x"], a=["1", "16:9"]))
    two = _jobs(_job(id="cat", prompt="{b}{a}"), _axes(a=["16:9", "1"], b=["x"]))
    assert {job.id for job in one} == {"cat+1+x", "cat+16x9+x"} == {job.id for job in two}


@settings(max_examples=20)
@given(st.permutations(["a", "b", "c"]), st.permutations(["1", "2", "x y"]))
def test_neither_the_order_of_lists_nor_that_of_values_decides_an_id(names: list[str], values: list[str]) -> None:
    job = _job(id="{c}", prompt="{a} {m|n}")
    lists = dict.fromkeys(names, values)
    first = {name: ["1", "2", "x y"] for name in "abc"}
    assert {(one.id, one.prompt) for one in _jobs(job, _axes(**lists))} == {
        (one.id, one.prompt) for one in _jobs(job, _axes(**first))
    }


def test_an_id_that_names_a_value_does_not_get_it_again() -> None:
    jobs = _jobs(_job(id="{animal}-night", prompt="{animal}"), _axes(animal=["cat", "red\nfox"], ratio=["1:1"]))
    assert [job.id for job in jobs] == ["cat-night+1x1", "red fox-night+1x1"]


def test_alternatives_are_told_apart_in_an_id_by_what_was_chosen() -> None:
    assert [job.id for job in _jobs(_job(id="a", prompt="{red|very red} {x|y}"))] == [
        "a+red+x",
        "a+red+y",
        "a+very_red+x",
        "a+very_red+y",
    ]


def test_a_job_without_an_id_leaves_it_to_its_content() -> None:
    assert {job.id for job in _jobs(_job(prompt="{a|b}"), _axes(ratio=["1:1", "3:2"]))} == {""}


def test_adding_a_value_changes_no_id_of_the_others() -> None:
    few = _jobs(_job(id="j", prompt="{a} {x|y}"), _axes(a=["1", "2"], b=["3"]))
    more = _jobs(_job(id="j", prompt="{a} {z|y|x}"), _axes(b=["0", "3"], a=["5", "2", "1"]))
    assert {job.id for job in few} < {job.id for job in more}


def test_an_id_stays_short_enough_for_a_line_and_different() -> None:
    lists = {f"n{number}": [f"value-{number}", f"other-{number}"] for number in range(12)}
    jobs = _jobs(_job(id="i" * 150), (), _axes(**{**lists, "n0": ["x", "y"]}))
    ids = {job.id for job in jobs}
    assert len(ids) == 2**12
    assert max(map(len, ids)) <= 200


def test_a_parent_is_the_one_with_the_same_values_of_the_manifests_matrix() -> None:
    top, own = _axes(animal=["cat", "dog"]), _axes(hat=["red"])
    jobs = _jobs(_job(id="hat", prompt="a {hat} hat", after="base"), top, own)
    assert [job.after for job in jobs] == ["base+cat", "base+dog"]
    named = _jobs(_job(id="hat", after="base-{animal}"), top, own)
    assert [job.after for job in named] == ["base-cat", "base-dog"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("cat", "cat"),
        ("16:9", "16x9"),
        ("old oak", "old_oak"),
        ("红", "红"),
        ("gpt-image-1.5", "gpt-image-1.5"),
        (None, "null"),
        ("", "e3b0c442"),
        ("a+b", "a-b.300273da"),
        ("x" * 40, "xxxxxxxxxxxxxxxx.bd913ff6"),
    ],
)
def test_a_value_stands_in_an_id_as_a_word(value: Json, told: str) -> None:
    assert word(value) == told


def test_blanks_are_filled_in_references_mask_and_by_keys_of_the_job() -> None:
    job = _job(prompt="{ratio} {k}", references=("{k}.png", "{y}.png"), mask="{k}-m.png", ratio="3:2", meta={"k": 1})
    (variant,) = Variants(job)
    assert variant.job.prompt == "3:2 1"
    assert variant.job.references == ("1.png", "{y}.png")
    assert variant.job.mask == "1-m.png"
    assert variant.warnings == ("{y} in a reference stays as it is: no meta key or matrix value of that name",)


def _said(job: Job, axes: Sequence[Axis] = ()) -> tuple[str, ...]:
    return next(iter(Variants(job, axes))).warnings


def test_a_matrix_that_changes_nothing_is_remarked() -> None:
    assert _said(_job(), _axes(ratoi=["1:1", "3:2"])) == (
        "matrix name 'ratoi' stands in no prompt or reference: its 2 values make equal requests, did you mean 'ratio'?",
    )
    assert _said(_job(after="parent"), _axes(a=["1", "2"])) == ()
    assert _said(_job(prompt="{a}"), _axes(zip=True, a=["1", "2"], b=["1", "2"])) == ()


def test_a_brace_that_is_never_closed_is_remarked() -> None:
    assert _said(_job(prompt="a {red|blue cat")) == (
        "'{red|blue cat' in the prompt is sent as it is: its brace is never closed",
    )


def test_a_million_jobs_are_counted_and_made_in_no_memory() -> None:
    axes = _axes(**{name: [str(number) for number in range(100)] for name in ("a", "b", "c")})
    variants = Variants(_job(id="j", prompt="{a} {b} {c}"), axes)
    assert variants.count == 1_000_000
    passing, kept = _peak(lambda: deque(islice(variants, 3000), maxlen=0)), _peak(lambda: list(islice(variants, 3000)))
    assert passing < kept / 5


def _peak(work: Callable[[], object]) -> int:
    """Bytes at the highest, of this thread and whatever else the process does meanwhile."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


MISTAKES: Mapping[str, tuple[object, str]] = {
    "no list": ({"a": "x"}, "matrix.a must be a list of values"),
    "a misspelt key": ({"zipp": True}, "matrix.zipp must be a list of values, did you mean 'zip'?"),
    "nothing in it": ({"a": []}, "matrix.a has no values"),
    "a wrong value": ({"ratio": ["1:1", "16x9"]}, "matrix.ratio.1 '16x9' is not W:H"),
    "no text": (
        {"a": [["b"]]},
        "matrix.a.0 must be one text, not a list: "
        "put text that begins with '[' in quotes; several values of a job go under matrix",
    ),
    "twice": ({"a": ["x", "y", "x"]}, 'matrix has the value "x" of a twice'),
    "a pair twice": (
        {"zip": "yes", "a": ["1", "1"], "b": ["2", "2"]},
        'matrix has the value "1", "2" of a and b twice',
    ),
    "zip of two lengths": (
        {"zip": True, "a": ["1"], "b": ["1", "2"]},
        "matrix pairs (zip) lists of one length: a has 1, b has 2",
    ),
    "a name that fits no brace": ({"a b": ["1"]}, "matrix name 'a b' must be one word of letters, digits and _"),
    "ids": (
        {"id": ["1"]},
        "matrix can't hold 'id': each job of a matrix has an id of its own, made from its values",
    ),
    "no mapping": (["a"], "matrix must be a mapping"),
}


@pytest.mark.parametrize(("matrix", "told"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_in_a_matrix_is_told(matrix: object, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobRow.model_validate({"matrix": matrix})
    assert [job_problem(error, "job 1") for error in caught.value.errors(include_url=False)] == [told]
