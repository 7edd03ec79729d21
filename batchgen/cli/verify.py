"""`batchgen verify`: whether everything the ledger calls saved is on disk, whole, and alone there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import click

from batchgen.answers import verify_answer
from batchgen.cli.workspaces import continued, existing_workspace, workspace_argument
from batchgen.ledger.reader import Reader
from batchgen.verify import Comparison, compare_files

UNCLEAN = 1


@click.command("verify")
@workspace_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(ctx: click.Context, place: Path, folder: Path | None, as_json: bool) -> None:
    """Compare the ledger of WORKSPACE with the files: size and SHA-256 of each.

    Exit code 1 when a file is missing, changed, or in images/ without being in the ledger.
    """
    workspace = existing_workspace(place, folder)
    comparison, run = asyncio.run(_compare(workspace))
    if as_json:
        click.echo(json.dumps(verify_answer(comparison), ensure_ascii=False))
    else:
        click.echo("\n".join((*_text(comparison), *_next(comparison, workspace, run))))
    ctx.exit(0 if comparison.clean else UNCLEAN)


async def _compare(workspace: Path) -> tuple[Comparison, str]:
    """What was found, and the command line that goes on with the batch."""
    async with Reader.open(workspace) as reader:
        return await compare_files(workspace, reader.files()), await continued(reader, workspace, free=True)


def _text(comparison: Comparison) -> Iterator[str]:
    yield from (f"missing   {path}" for path in comparison.missing)
    yield from (f"changed   {path}" for path in comparison.changed)
    yield from (f"unknown   {path}" for path in comparison.unknown)
    yield from (f"leftover  {path} (not finished, or no image; harmless)" for path in comparison.leftovers)
    yield (
        f"{comparison.checked} files checked: {len(comparison.missing)} missing, "
        f"{len(comparison.changed)} changed, {len(comparison.unknown)} not in the ledger"
    )


def _next(comparison: Comparison, workspace: Path, run: str) -> Iterator[str]:
    if comparison.changed:
        yield "next: move what is changed away; it is missing then"
    if comparison.missing or comparison.changed:
        yield f"next: what is missing comes again, for free, where its link still lives: {run}"
        retry = f"batchgen retry {workspace} --state done --id JOB"
        yield f"next: what does not come by that is made anew, and paid: {retry}"
    if comparison.unknown:
        yield "next: what is not in the ledger is nobody's; keep it elsewhere, or delete it"
