"""`batchgen report`: one HTML page about a batch, in its workspace. Reads the ledger, sends nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import click

from batchgen.cli.pace import now_and_then
from batchgen.cli.workspaces import continued, existing_workspace, workspace_argument
from batchgen.export.choices import Condition, require_key
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter
from batchgen.providers.stored import load_profiles
from batchgen.report.gather import Facts
from batchgen.report.page import Subject, told
from batchgen.report.write import BESIDE, write_report
from batchgen.summary import Commands, counted


@click.command("report")
@workspace_argument
@click.option(
    "--group-by",
    default="",
    metavar="KEY,...",
    help="Group the pictures by model, provider, ratio, prompt, state, id or meta.NAME. With two keys and more the"
    " last one makes the columns of a grid and the one before it the rows.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only jobs like that; VALUE may be a pattern such as 'cat-*'. Given several times, all must hold.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(place: Path, folder: Path | None, group_by: str, where: tuple[str, ...], as_json: bool) -> None:
    """Write report.html into WORKSPACE: summary, charts, what is not done and why, every picture.

    The page needs no network. When its small pictures are too many for one file, they are in the folder report/
    beside it.
    """
    workspace = existing_workspace(place, folder)
    keys = [require_key(key.strip(), "--group-by") for key in group_by.split(",")] if group_by else []
    conditions = [Condition.parse(text) for text in where]
    subject = asyncio.run(_read(workspace, workspace.resolve().name, keys, conditions, where))
    written = write_report(workspace, subject, now_and_then(len(subject.facts.pictures), "pictures"))
    click.echo(f"{told(subject.facts)}, {written.bytes / 1e6:.1f} MB", err=True)
    if written.beside:
        click.echo(f"the small pictures are in {workspace / BESIDE}: send it along with the page", err=True)
    if written.lost:
        click.echo(f"{counted(written.lost, 'picture')} not on disk any more: batchgen verify {workspace}", err=True)
    answer = {"path": str(written.path), "bytes": written.bytes, "pictures": written.pictures, "lost": written.lost}
    click.echo(json.dumps({**answer, "beside": written.beside}) if as_json else str(written.path))


async def _read(
    workspace: Path, name: str, keys: list[str], conditions: list[Condition], where: tuple[str, ...]
) -> Subject:
    async with Reader.open(workspace) as reader:
        profiles = load_profiles(await reader.note("profiles"))
        askable = {one for one, profile in profiles.items() if profile.task_url}
        facts = Facts(keys, conditions, askable, time.time())
        async for record in reader.jobs(Filter()):
            facts.add(record)
        commands = Commands(str(workspace), await continued(reader, workspace))
        return Subject(name, facts, await reader.last_run(), commands, where)
