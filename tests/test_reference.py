"""`jobs/README.md`, the manifest reference, says what the schema says: every key, no other, and the true defaults."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchgen.manifest.fields import MOST_IMAGES
from batchgen.manifest.problems import Origin, Problems
from batchgen.manifest.reference import JOB, OUTPUT, PROVIDER, SECTIONS, SETTINGS, SIMULATE, Key
from batchgen.manifest.schema import JobRow, MatrixSection, json_schema
from batchgen.manifest.words import parse_duration
from batchgen.manifest.yaml_nodes import read_parts, value_of
from batchgen.model import OutputRules, Settings
from batchgen.providers.profile import Profile
from batchgen.simulator.settings import SimulatorSettings

JOBS = Path(__file__).parent.parent / "jobs"
TEXT = (JOBS / "README.md").read_text(encoding="utf-8")
TABLES = {
    "The manifest": "ManifestSchema",
    "A job": "JobRow",
    "`after`": "Parent",
    "`matrix`": "MatrixSection",
    "`providers.NAME`": "ProviderSection",
    "`providers.NAME.limits`": "LimitsSection",
    "`providers.NAME.references`": "ReferencesSection",
    "`providers.NAME.prices.MODEL`": "Price",
    "`providers.NAME.simulate`": "SimulatorSettings",
    "`settings`": "SettingsSection",
    "`output`": "OutputSection",
}
SCHEMA: dict[str, Any] = json.loads(json.dumps(json_schema()))


def table(keys: Mapping[str, Key]) -> str:
    """A section as it stands in the reference."""
    rows = [("key", "takes", "default", "meaning"), ("---",) * 4]
    rows += [(f"`{name}`", key.kind, key.default, key.meaning) for name, key in keys.items()]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in row) + "|\n" for row in cells)


def _property_maps(schema: Any) -> Iterator[dict[str, Any]]:
    """Every `properties` of a JSON Schema, all the way down."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema["properties"]
        for value in schema.values():
            yield from _property_maps(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _property_maps(value)


def test_every_section_of_the_schema_has_its_reference_and_no_other_is_described() -> None:
    in_schema = {frozenset(properties) for properties in _property_maps(SCHEMA)}
    assert in_schema == {frozenset(keys) for keys in SECTIONS.values()}


def test_every_key_tells_editors_what_it_means() -> None:
    for properties in _property_maps(SCHEMA):
        for name, value in properties.items():
            assert value.get("description"), name


@pytest.mark.parametrize("title", TABLES)
def test_the_reference_says_of_each_key_what_editors_say(title: str) -> None:
    assert set(TABLES.values()) == set(SECTIONS)
    expected = table(SECTIONS[TABLES[title]])
    found = TEXT.split(f"\n### {title}\n", 1)[1].split("\n#", 1)[0]
    assert expected in found, f"the table below '{title}' should read:\n{expected}"


def test_a_matrix_takes_every_key_of_a_job_but_its_id() -> None:
    assert set(MatrixSection.model_fields) - {"zip"} == set(JobRow.model_fields) - {"id", "matrix"}


def _told(default: str) -> object:
    if re.fullmatch(r"\d+[smhd]", default):
        return parse_duration(default)
    return {"true": True, "false": False, "": None}.get(default, default)


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        (SETTINGS, Settings()),
        (OUTPUT, OutputRules()),
        (SIMULATE, SimulatorSettings()),
        ({"timeout": PROVIDER["timeout"]}, Profile(name="x", base_url="http://x")),
    ],
    ids=["settings", "output", "simulate", "timeout"],
)
def test_the_defaults_are_those_of_the_code(keys: Mapping[str, Key], values: Any) -> None:
    own = {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
    assert set(keys) <= set(own)
    for name, key in keys.items():
        told = _told(key.default)
        if own[name] not in (None, {}):
            assert str(told) == str(own[name]) or told == own[name], name
    assert JOB["n"].kind == f"1 to {MOST_IMAGES:,}"


def test_every_example_is_listed_and_is_there() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXT.split("\n## ", 2)[1], flags=re.M)
    listed = {name for cell in rows for name in re.findall(r"`([\w.-]+)`", cell)}
    assert listed == {path.name for path in JOBS.iterdir() if path.suffix in (".yaml", ".jsonl", ".csv")}


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_an_editor_finds_nothing_wrong_with_an_example(path: Path) -> None:
    parts = list(read_parts(path, Origin(path.name), "jobs", Problems()))
    keys = {part.key.text for part in parts}
    # As YAML 1.2 has it, which is what editors read: numbers and truths are no text.
    read: dict[str, Any] = {part.key.text: value_of(part.value, frozenset(), True) for part in parts if not part.item}
    if any(part.item for part in parts):
        read["jobs"] = [value_of(part.value, frozenset(), True) for part in parts if part.item]
    assert keys == set(read)
    jsonschema.validate(read, SCHEMA)


@pytest.mark.parametrize(
    "manifest",
    [
        {"jobs": [{"promt": "x"}]},
        {"jobs": [{"prompt": "x", "matrix": {"ratio": "1:1"}}]},
        {"jobs": [{"prompt": "x"}], "settings": {"on_unknown": "perhaps"}},
        {"provider": "x"},
    ],
)
def test_an_editor_finds_a_mistake(manifest: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMA)


def test_every_key_stands_in_some_example() -> None:
    files = (path for path in JOBS.iterdir() if path.suffix in (".yaml", ".jsonl"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    absent = {name for keys in SECTIONS.values() for name in keys if not re.search(rf'\b{name}"?: ?', text)}
    assert absent == set()
