"""What a manifest may hold, as pydantic models: the one place that knows its keys. Pure.

The kinds of value are in `fields`. `json_schema` is for editors.
"""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from batchgen.manifest.fields import (
    NAME,
    Address,
    After,
    Count,
    Duration,
    Filled,
    Flag,
    Given,
    Images,
    Models,
    Name,
    Number,
    Percent,
    PriceOf,
    Ratio,
    Several,
    Size,
    TaskAddress,
    Template,
    Texts,
    Variables,
    wrong,
)
from batchgen.manifest.matrix import Axis, axes_of
from batchgen.manifest.reference import SECTIONS, SIMULATE
from batchgen.manifest.store import StoreAddress
from batchgen.manifest.words import shortened
from batchgen.model import Json
from batchgen.providers.builtin import BUILTIN


class Section(BaseModel):
    """Base of every mapping in a manifest: an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MatrixSection(BaseModel):
    """`matrix`: lists that multiply a job. A job key sets that key, any other name fills `{name}`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Several[Given]]

    zip: Flag = None
    prompt: Several[Filled] = ()
    provider: Several[Texts] = ()
    model: Several[Models] = ()
    ratio: Several[Ratio] = ()
    size: Several[Size] = ()
    quality: Several[Filled] = ()
    output_format: Several[Filled] = ()
    output_compression: Several[Percent] = ()
    background: Several[Filled] = ()
    n: Several[Images] = ()
    references: Several[Texts] = ()
    mask: Several[Filled] = ()
    after: Several[Name] = ()
    meta: Several[dict[str, JsonValue]] = ()
    params: Several[dict[str, JsonValue]] = ()

    _order: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _sound(cls, values: object, read: ModelWrapValidatorHandler[MatrixSection]) -> MatrixSection:
        section = read(values)
        # pydantic keeps the order of the extra keys only.
        section._order = tuple(values) if isinstance(values, dict) else ()
        for name in section.__pydantic_extra__:
            if name in ("id", "matrix"):
                raise wrong(f"can't hold '{name}': each job of a matrix has an id of its own, made from its values")
            if not NAME.fullmatch(name):
                raise wrong(f"name '{shortened(name)}' must be one word of letters, digits and _")
        lengths = {name: len(several) for name, several in section.lists().items()}
        if section.zip and len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise wrong(f"pairs (zip) lists of one length: {told}")
        for axis in section.axes():
            if (twice := axis.repeated()) is not None:
                raise wrong(f"has the value {shortened(twice)} of {' and '.join(axis.names)} twice")
        return section

    def lists(self) -> dict[str, tuple[Json, ...]]:
        """The lists as written, by name, in the order of the manifest."""
        return {name: getattr(self, name) for name in self._order if name != "zip"}

    def axes(self) -> tuple[Axis, ...]:
        """What the lists multiply a job by."""
        return axes_of(self.lists(), bool(self.zip))


class JobRow(Section):
    """One job, or the `defaults` of all."""

    # As written: what was not written is no key of `model_fields_set`.

    id: Name = None
    prompt: Filled = None
    provider: Texts = ()
    model: Models = None
    ratio: Ratio = None
    size: Size = None
    quality: Filled = None
    output_format: Filled = None
    output_compression: Percent = None
    background: Filled = None
    n: Images = None
    references: Texts = ()
    mask: Filled = None
    after: After = None
    meta: dict[str, JsonValue] | None = None
    params: dict[str, JsonValue] | None = None
    matrix: MatrixSection | None = None


class LimitsSection(Section):
    """`providers.NAME.limits`."""

    requests_per_minute: Number = None
    images_per_minute: Number = None
    concurrency: Count = None


class ReferencesSection(Section):
    """`providers.NAME.references`: larger ones are shrunk to this."""

    max_bytes: Count = None
    max_side: Count = None


class ProviderSection(Section):
    """`providers.NAME`: what differs from the built-in profile that it extends."""

    extends: Name = None
    base_url: Address = None
    api_key_env: Variables = None
    endpoint: Literal["chat", "images"] | None = None
    stream: Flag = None
    timeout: Duration = None
    link_ttl: Duration = None
    limits: LimitsSection | None = None
    references: ReferencesSection | None = None
    prices: dict[str, PriceOf] | None = None
    task_url: TaskAddress = None
    allow_private_downloads: Flag = None
    simulate: dict[str, JsonValue] | None = None


class SettingsSection(Section):
    """`settings` of the whole run."""

    max_attempts: Count = None
    on_unknown: Literal["hold", "resend"] | None = None
    max_cost: Number = None
    concurrency: Count = None
    patience: Duration = None
    task_patience: Duration = None
    max_image_bytes: Count = None


class OutputSection(Section):
    """`output`: file names and provenance."""

    path: Template = None
    embed: Flag = None
    sidecar: Flag = None
    near_duplicates: Flag = None
    store: StoreAddress = None


class Head(Section):
    """Everything of a manifest but its jobs, which are read one at a time."""

    name: Name = None
    provider: Texts = ()
    defaults: JobRow | None = None
    providers: dict[str, ProviderSection | None] = Field(default_factory=dict)
    settings: SettingsSection | None = None
    output: OutputSection | None = None
    columns: dict[str, Name] = Field(default_factory=dict)
    matrix: MatrixSection | None = None


class ManifestSchema(Head):
    """A whole YAML manifest; only drawn on for its JSON Schema."""

    jobs: list[JobRow] | str


JOB_KEYS = tuple(JobRow.model_fields)
MATRIX_KEYS = tuple(MatrixSection.model_fields)
HEAD_KEYS = (*Head.model_fields, "jobs")
FREE_KEYS = frozenset({"meta", "params", "simulate"})
"""Keys whose values are the user's own mapping: read by the rules of JSON, not as text."""


def json_schema() -> dict[str, JsonValue]:
    """The JSON Schema of a YAML manifest, for editors: every key with its meaning."""
    schema: dict[str, JsonValue] = ManifestSchema.model_json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)  # as JSON Schema has it
    provider = definitions["ProviderSection"]
    assert isinstance(provider, dict)
    # What the simulator reads itself; an editor may know it all the same.
    simulated: JsonValue = {"type": ["object", "null"], "properties": {key: {} for key in SIMULATE}}
    provider["properties"] = {**_properties(provider), "simulate": simulated}
    _describe(schema)
    for section in (schema, definitions["JobRow"]):
        named = _properties(section)["provider"]
        if isinstance(named, dict):
            named["examples"] = list(BUILTIN)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "batchgen manifest"
    return schema


def _properties(section: JsonValue) -> dict[str, JsonValue]:
    found = section.get("properties") if isinstance(section, dict) else None
    return found if isinstance(found, dict) else {}


def _describe(section: JsonValue) -> None:
    """Give each key its meaning, all the way down; a section is known by its keys."""
    if isinstance(section, list):
        for item in section:
            _describe(item)
    if not isinstance(section, dict):
        return
    properties = _properties(section)
    said = next((keys for keys in SECTIONS.values() if keys.keys() == properties.keys()), {})
    for name, value in properties.items():
        if isinstance(value, dict):
            # What pydantic adds by itself (`Near Duplicates`, null) is only in the way.
            for noise in ("title", "default"):
                value.pop(noise, None)
            if name in said:
                value["description"] = said[name].meaning
    for value in section.values():
        _describe(value)
