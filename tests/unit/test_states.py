"""The table of job states: what leads where, and what outputs make of a job."""

from __future__ import annotations

from itertools import product

import pytest

from batchgen.ledger.states import IllegalStep, Tallied, require_step, state_by_outputs
from batchgen.model import END_STATES, STEPS, JobState


@pytest.mark.parametrize(("old", "new"), list(product(JobState, JobState)))
def test_a_step_raises_exactly_when_the_table_has_it_not(old: JobState, new: JobState) -> None:
    if new in STEPS[old]:
        require_step("cat", old, new)
        assert old is not new
    else:
        with pytest.raises(IllegalStep, match=f"job 'cat' can't go from {old} to {new}"):
            require_step("cat", old, new)


def test_every_state_is_in_the_table_and_can_be_reached_from_pending() -> None:
    reached, frontier = {JobState.PENDING}, {JobState.PENDING}
    while frontier:
        frontier = {new for old in frontier for new in STEPS[old]} - reached
        reached |= frontier
    assert reached == set(STEPS) == set(JobState)


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_every_end_can_be_undone_by_the_user(state: JobState) -> None:
    assert JobState.PENDING in STEPS[state]


@pytest.mark.parametrize(
    ("outputs", "wanted", "state"),
    [
        (Tallied(), 1, JobState.PENDING),
        (Tallied(saved=1), 2, JobState.PENDING),
        (Tallied(remote=1, saved=1), 2, JobState.GENERATED),
        (Tallied(remote=1, expired=1), 2, JobState.GENERATED),
        (Tallied(saved=2), 2, JobState.DONE),
        (Tallied(saved=3), 2, JobState.DONE),
        (Tallied(saved=1, expired=1), 2, JobState.EXPIRED),
        (Tallied(expired=1, bad=1), 2, JobState.EXPIRED),
        (Tallied(saved=1, bad=1), 2, JobState.FAILED),
    ],
)
def test_outputs_decide_where_a_job_stands(outputs: Tallied, wanted: int, state: JobState) -> None:
    assert state_by_outputs(outputs, wanted) is state
