"""Ids and fingerprints over jobs that nobody would think of; apart from the unit tests for its time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.expand import asked, sent
from batchgen.model import Job

_values = st.none() | st.text(max_size=8)
jobs = st.builds(
    Job,
    id=st.text(max_size=5),
    prompt=st.text(max_size=60),
    provider=st.tuples(st.text(max_size=5)),
    model=st.text(max_size=5),
    ratio=_values,
    size=_values,
    quality=_values,
    background=_values,
    output_compression=st.none() | st.integers(0, 100),
    n=st.integers(1, 9),
    references=st.lists(st.text(max_size=6), max_size=3).map(tuple),
    params=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3),
)


@given(jobs, jobs)
def test_two_jobs_share_a_fingerprint_only_when_the_same_is_sent(one: Job, two: Job) -> None:
    same = replace(one, id="", provider=(), meta={}) == replace(two, id="", provider=(), meta={})
    prints = [sent(job, False, {}).fingerprint(job.prompt) for job in (one, two)]
    assert (prints[0] == prints[1]) == same


@given(jobs)
def test_a_derived_id_is_short_ascii_and_a_fit_name(job: Job) -> None:
    name = asked(job, {}).derived_id(job.prompt)
    assert name.isascii()
    assert len(name) <= 45
    assert all(letter.isalnum() or letter == "-" for letter in name)
    assert name == asked(replace(job, id="other", meta={"x": 1}), {}).derived_id(job.prompt)
