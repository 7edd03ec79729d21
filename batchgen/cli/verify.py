"""`batchgen verify`: whether everything the ledger calls saved is on disk, whole, and alone there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from batchgen.answers import verify_answer
from batchgen.cli.workspaces import existing_workspace, workspace_argument
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
    comparison = asyncio.run(_compare(existing_workspace(place, folder)))
    if as_json:
        click.echo(json.dumps(verify_answer(comparison), ensure_ascii=False))
    else:
        click.echo(_text(comparison))
    ctx.exit(0 if comparison.clean else UNCLEAN)


async def _compare(workspace: Path) -> Comparison:
    async with Reader.open(workspace) as reader:
        return await compare_files(workspace, reader.files())


def _text(comparison: Comparison) -> str:
    lines = [f"missing   {path}" for path in comparison.missing]
    lines += [f"changed   {path}" for path in comparison.changed]
    lines += [f"unknown   {path}" for path in comparison.unknown]
    lines += [f"leftover  {path} (of an unfinished download; harmless)" for path in comparison.leftovers]
    lines.append(
        f"{comparison.checked} files checked: {len(comparison.missing)} missing, "
        f"{len(comparison.changed)} changed, {len(comparison.unknown)} not in the ledger"
    )
    if comparison.missing or comparison.changed:
        lines.append("next: move what is changed away; batchgen run fetches again, for free, what links still bring")
    if comparison.unknown:
        lines.append("next: what is not in the ledger is nobody's; keep it elsewhere, or delete it")
    return "\n".join(lines)
