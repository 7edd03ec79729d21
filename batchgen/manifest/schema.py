"""What a manifest may hold, as pydantic models: the one place that knows its keys. Pure.

The kinds of value are in `fields`. `json_schema` is for editors.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from batchgen.manifest.fields import (
    Address,
    Count,
    Duration,
    Filled,
    Flag,
    Name,
    Number,
    Percent,
    Price,
    Ratio,
    Size,
    TaskAddress,
    Template,
    Texts,
    Variables,
)


class Section(BaseModel):
    """Base of every mapping in a manifest: an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class JobRow(Section):
    """One job as written, or the `defaults` of all. Only keys in `model_fields_set` were written."""

    id: Name = None
    prompt: Filled = None
    provider: Texts = ()
    model: Name = None
    ratio: Ratio = None
    size: Size = None
    quality: Filled = None
    output_format: Filled = None
    output_compression: Percent = None
    background: Filled = None
    n: Count = None
    references: Texts = ()
    mask: Filled = None
    after: Name = None
    meta: dict[str, JsonValue] | None = None
    params: dict[str, JsonValue] | None = None


class LimitsSection(Section):
    """`providers.NAME.limits`."""

    requests_per_minute: Number = None
    images_per_minute: Number = None
    concurrency: Count = None


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
    prices: dict[str, Price] | None = None
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


class Head(Section):
    """Everything of a manifest but its jobs, which are read one at a time."""

    name: Name = None
    provider: Texts = ()
    defaults: JobRow | None = None
    providers: dict[str, ProviderSection | None] = Field(default_factory=dict)
    settings: SettingsSection | None = None
    output: OutputSection | None = None
    columns: dict[str, Name] = Field(default_factory=dict)


class ManifestSchema(Head):
    """A whole YAML manifest; only drawn on for its JSON Schema."""

    jobs: list[JobRow] | str = Field(description="a list of jobs, or the path of a CSV, TSV or JSONL file")


JOB_KEYS = tuple(JobRow.model_fields)
HEAD_KEYS = (*Head.model_fields, "jobs", "matrix")
FREE_KEYS = frozenset({"meta", "params", "simulate"})
"""Keys whose values are the user's own mapping: read by the rules of JSON, not as text."""


def json_schema() -> dict[str, object]:
    """The JSON Schema of a YAML manifest, for editors."""
    schema = ManifestSchema.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "batchgen manifest"
    return schema
