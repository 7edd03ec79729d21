"""`batchgen jobs`: one line a job, as a table for people or as JSON lines for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Unpack

import click

from batchgen.answers import job_answer
from batchgen.cli.colours import state
from batchgen.cli.filters import FilterOptions, filter_options, make_filter
from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter, JobRecord
from batchgen.storage.stores import source_of
from batchgen.summary import reason

_HEAD = ("id", "state", "model", "provider", "ratio", "attempts", "error or path")
_SAMPLE = 500
"""So many rows decide how wide the columns are; a later row may stick out."""


@click.command("jobs")
@workspace_argument
@filter_options
@click.option("--warnings", "warned", is_flag=True, help="Only jobs with warnings.")
@click.option("--all", "everything", is_flag=True, help="Also removed jobs, and earlier images.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    place: Path,
    folder: Path | None,
    warned: bool,
    everything: bool,
    as_json: bool,
    **options: Unpack[FilterOptions],
) -> None:
    """List the jobs of WORKSPACE in the order of the manifest."""
    workspace = existing_workspace(place, folder)
    which = replace(make_filter(**options), warned=warned)
    asyncio.run(_list(workspace, which, everything, as_json))


async def _list(workspace: Path, which: Filter, everything: bool, as_json: bool) -> None:
    async with Reader.open(workspace) as reader:
        records = reader.jobs(which, all=everything)
        if not as_json:
            await _table(records)
            return
        async for record in records:
            click.echo(json.dumps(job_answer(record), ensure_ascii=False))


async def _table(records: AsyncIterator[JobRecord]) -> None:
    sample: list[JobRecord] = []
    widths: list[int] = []
    async for record in records:
        if widths:
            _print(record, widths)
            continue
        sample.append(record)
        if len(sample) == _SAMPLE:
            widths = _flush(sample)
    if not sample:
        click.echo("no job is like that; batchgen status tells how many there are in each state", err=True)
    elif not widths:
        _flush(sample)


def _flush(sample: list[JobRecord]) -> list[int]:
    """Print the head and the rows held back; return the widths that fit them."""
    columns = zip(*chain([_HEAD], map(_row, sample)), strict=True)
    widths = [max(map(len, column)) for column in columns]
    click.echo(_line(_HEAD, widths))
    for record in sample:
        _print(record, widths)
    return widths


def _print(record: JobRecord, widths: list[int]) -> None:
    click.echo(_line(_row(record), widths, record.state.value))
    for warning in record.warnings:
        click.echo(f"  warning: {warning}")


def _line(row: Iterable[str], widths: list[int], word: str = "") -> str:
    cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
    cells[1] = state(word, cells[1])
    return "  ".join(cells).rstrip()


def _row(record: JobRecord) -> tuple[str, ...]:
    job = record.job
    paths = [
        output.path if output.store is None else source_of(output.store, output.path)
        for output in record.outputs
        if output.path
    ]
    return (
        job.id,
        record.state.value,
        job.model,
        record.provider,
        job.size or job.ratio or "-",
        str(len(record.attempts)),
        reason(record) or " ".join(paths),
    )
