"""`batchgen reparse`: reads saved replies again with today's parser. Sends nothing, so it costs nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Unpack

import click

from batchgen.cli.filters import FilterOptions, filter_options, make_filter
from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.reparse import reparse


@click.command("reparse")
@workspace_argument
@filter_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(place: Path, folder: Path | None, as_json: bool, **options: Unpack[FilterOptions]) -> None:
    """Read the saved replies of WORKSPACE again, for jobs that were held or failed without an image.

    A job whose image a newer parser finds becomes `generated`; `fetch` or the next `run` downloads
    it. Inline (base64) images can't be had this way: their bytes are not kept.
    """
    workspace = existing_workspace(place, folder)
    found = asyncio.run(reparse(workspace, make_filter(**options), now=time.time))
    if as_json:
        click.echo(json.dumps({"read": found.read, "recovered": found.recovered}))
        return
    replies = "1 reply" if found.read == 1 else f"{found.read} replies"
    jobs = "1 job has" if found.recovered == 1 else f"{found.recovered} jobs have"
    then = f"; get them: batchgen fetch {workspace}" if found.recovered else ""
    click.echo(f"{replies} read again, {jobs} an image by that{then}")
