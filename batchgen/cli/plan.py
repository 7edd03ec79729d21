"""`batchgen plan`: what `run` would do. Sends nothing and writes nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TypedDict, Unpack

import click

from batchgen.answers import plan_answer
from batchgen.cli.colours import say
from batchgen.cli.completing import models, providers
from batchgen.cli.planning import Limits, make_plan, max_cost_option, plan_text
from batchgen.cli.workspaces import shard_option, workspace_of, workspace_option
from batchgen.manifest.load import open_manifest
from batchgen.shards.division import Shard


class _Options(TypedDict):
    """The options as click hands them over; None: not given."""

    provider: str | None
    model: str | None
    concurrency: int | None
    max_cost: float | None
    shard: Shard | None


@click.command("plan")
@click.argument("manifest", type=click.Path(path_type=Path))
@workspace_option
@click.option("--provider", metavar="NAME", shell_complete=providers, help="Send every job to this provider.")
@click.option("--model", metavar="NAME", shell_complete=models, help="Use this model for every job.")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Requests at once.")
@max_cost_option
@shard_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(manifest: Path, folder: Path | None, as_json: bool, **options: Unpack[_Options]) -> None:
    """Say what `run` would do with MANIFEST: new, changed, unchanged and removed jobs, cost and time.

    Every mistake in the manifest is named, one a line (exit code 2). Nothing is sent.
    """
    shard = options["shard"]
    opened = open_manifest(manifest, provider=options["provider"], model=options["model"], shard=shard)
    limits = Limits(options["concurrency"], options["max_cost"])
    plan = asyncio.run(make_plan(opened, workspace_of(manifest, folder, shard), limits))
    say(json.dumps(plan_answer(plan), ensure_ascii=False) if as_json else plan_text(plan, table=True))
