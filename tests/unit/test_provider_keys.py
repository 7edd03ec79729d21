"""Which keys a provider's requests share, and what is said of those that are missing. No text ever holds a key."""

from __future__ import annotations

import pytest

from batchgen.model import Job
from batchgen.providers.keys import keys_of, partly_set, without_key
from batchgen.providers.profile import SIMULATED, Profile

THREE = Profile(name="p", base_url="https://p.example/v1", api_key_env=("A", "B", "C"))
SIM = Profile(name="s", base_url=SIMULATED, api_key_env=("A", "B"))


@pytest.mark.parametrize(
    ("variables", "shared"),
    [
        ({"A": "one", "B": "two", "C": "three", "D": "other"}, {"A": "one", "B": "two", "C": "three"}),
        ({"B": " two\n", "C": "  "}, {"B": "two"}),
        ({"A": "one", "B": "one", "C": "two"}, {"A": "one", "C": "two"}),
        ({}, {}),
    ],
    ids=["all", "pasted with a line end, and empty", "the same key twice", "none"],
)
def test_the_keys_that_are_set_share_the_load_each_once(
    variables: dict[str, str], shared: dict[str, str]
) -> None:
    assert keys_of(THREE, variables) == shared


def test_the_embedded_simulator_takes_a_word_of_ours_whatever_is_set() -> None:
    assert keys_of(SIM, {"A": "one"}) == {SIMULATED: SIMULATED}
    assert partly_set(SIM, {"A"}) is None


def test_variables_that_are_not_set_are_named_while_others_do_the_work() -> None:
    assert partly_set(THREE, {"B"}) == "A, C of provider 'p' are not set: all goes with B"
    assert partly_set(THREE, {"A", "B", "C"}) is None
    # None at all is more than a warning.
    assert partly_set(THREE, ()) is None
    assert list(without_key([THREE, SIM], ())) == [THREE]
    assert list(without_key([THREE, SIM], {"C"})) == []


def test_a_job_is_asked_for_with_the_model_of_each_provider() -> None:
    job = Job(id="x", prompt="p", provider=("a", "b", "c"), model="one", models={"b": "two"})
    assert [job.at(name).model for name in job.provider] == ["one", "two", "one"]
    assert [job.at("b").at(name).model for name in job.provider] == ["one", "two", "one"]
