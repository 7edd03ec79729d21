"""`batchgen schema`: the JSON Schema of a manifest."""

from __future__ import annotations

import json

import click

from batchgen.manifest.schema import json_schema


@click.command("schema")
@click.option("--json", "as_json", is_flag=True, expose_value=False, help="What it prints in any case.")
def command() -> None:
    """Print the JSON Schema of a YAML manifest, for editors that check and complete while you type."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
