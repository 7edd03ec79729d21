"""What the sections of a manifest take, and the schema that editors get."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from batchgen.manifest.schema import JOB_KEYS, JobRow, ProviderSection, SettingsSection, json_schema
from batchgen.manifest.wording import job_problem


def _told(**values: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        JobRow.model_validate(values)
    return [job_problem(error, "job 'cat'") for error in caught.value.errors(include_url=False)]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("promt", "x", "unknown key 'promt' in job 'cat', did you mean 'prompt'?"),
        ("zzz", "x", "unknown key 'zzz' in job 'cat'; a provider's own goes under 'params', yours under 'meta'"),
        ("ratio", "16x9", "ratio '16x9' is not W:H"),
        ("size", "huge", "size 'huge' is not WxH, 1K, 2K, 4K or auto"),
        (
            "prompt",
            ["a"],
            "prompt must be one text, not a list: put text that begins with '[' in quotes; "
            "several values of a job go under matrix",
        ),
        ("id", {"a": 1}, "id must be text, not a mapping: put text that holds ': ' or begins with '{' in quotes"),
        (
            "after",
            ["a", "b"],
            "after names one job, not a list, for a job edits the image of one: write the id of one of them",
        ),
        ("prompt", "a\ud800", "prompt holds a character that is no text (NUL or half a surrogate pair)"),
        ("n", "0", "n '0' must be 1 or more"),
        ("n", "two", "n 'two' is not a whole number"),
        ("n", True, "n 'True' is not a whole number"),
        ("output_compression", "101", "output_compression '101' is not from 0 to 100"),
        ("meta", "x", "meta must be a mapping"),
        ("params", ["x"], "params must be a mapping"),
        ("references", ["a", ""], "references has an empty entry"),
        ("id", "a\nb", "id 'a b' must be one line of at most 200 characters"),
        ("id", "x{y}\x01", "id 'x{y}\x01' must be one line of at most 200 characters"),
    ],
)
def test_a_wrong_value_is_told_in_the_contracts_words(key: str, value: object, told: str) -> None:
    assert _told(**{key: value}) == [told]


def test_all_mistakes_of_a_job_are_told_at_once() -> None:
    assert len(_told(promt="x", ratio="wide", n="-1", size="?")) == 4


def test_text_and_typed_values_are_read_alike() -> None:
    text = JobRow.model_validate({"id": "12", "n": "2", "output_compression": "80", "references": "a.png"})
    typed = JobRow.model_validate({"id": 12, "n": 2.0, "output_compression": 80, "references": ["a.png"]})
    assert text == typed


def test_a_key_that_was_pasted_for_its_variables_name_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        ProviderSection.model_validate({"api_key_env": "sk-secret-123"})
    assert "sk-secret-123" not in caught.value.errors(include_url=False)[0]["msg"]


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host",
        "host/v1",
        "https://",
        "https://user:pass@host/v1",
        "https://host/v1?key=1",
        "https://ho st",
    ],
)
def test_a_base_url_is_a_plain_http_address(address: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        ProviderSection.model_validate({"base_url": address})


def test_a_base_url_loses_its_last_slash_and_may_be_the_simulator() -> None:
    assert ProviderSection(base_url="https://host/v1/").base_url == "https://host/v1"
    assert ProviderSection(base_url="simulator").base_url == "simulator"


def test_a_task_url_needs_its_place_for_the_id() -> None:
    with pytest.raises(ValidationError, match="task_id"):
        ProviderSection.model_validate({"task_url": "https://host/source/"})


def test_settings_take_durations_as_people_write_them() -> None:
    section = SettingsSection.model_validate({"patience": "1h30m", "task_patience": 90, "max_cost": "2.5"})
    assert (section.patience, section.task_patience, section.max_cost) == (5400.0, 90.0, 2.5)


def test_the_schema_for_editors_is_json_and_knows_every_key() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["$defs"]["JobRow"]["properties"]) == set(JOB_KEYS)
    assert schema["required"] == ["jobs"]
    assert schema["additionalProperties"] is False
