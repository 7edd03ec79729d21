"""`batchgen export`: what is done so far as a dataset, a table or tar shards. Reads the ledger, sends nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import click

from batchgen.cli.pace import now_and_then
from batchgen.cli.workspaces import existing_workspace, workspace_argument
from batchgen.errors import UsageError
from batchgen.export.choices import Condition, ShardSize, Split
from batchgen.export.dataset import FORMATS, SHARD_SIZES, TABLES, Exported, Wanted, write
from batchgen.export.parquet import require_pyarrow
from batchgen.export.pictures import IMAGE_FORMATS, Lost, Shape
from batchgen.export.place import WHOLE, building
from batchgen.export.rows import Selection, Survey, collect
from batchgen.export.tables import STEM
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter
from batchgen.summary import counted

INCOMPLETE = 1
"""Exit code when an image that the ledger calls saved is not in the export."""

_WHY = {
    Lost.MISSING: "not on disk: batchgen verify names them, batchgen run fetches them again",
    Lost.CHANGED: "not the bytes that were saved: batchgen verify names them",
    Lost.UNREADABLE: "can't be decoded, so can't be encoded anew",
}


class _Options(TypedDict):
    """The options as click hands them over; None: not given."""

    format: str
    where: tuple[str, ...]
    split: str | None
    dedupe: bool
    resize: int | None
    image_format: str | None
    shard_size: str | None
    overwrite: bool


@click.command("export")
@workspace_argument
@click.argument("place_of_export", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--format", required=True, type=click.Choice(list(FORMATS)), help="What kind of dataset DEST becomes.")
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only images of jobs like that: state, model, provider, ratio, id, prompt or meta.NAME; VALUE may be a"
    " pattern such as 'cat-*'. Given several times, all must hold.",
)
@click.option("--split", metavar="NAME:SHARE,...", help="Divide by the hash of the job's id: train:0.9,test:0.1.")
@click.option("--dedupe", is_flag=True, help="Of images with the same bytes, only the first.")
@click.option("--resize", type=click.IntRange(min=1), metavar="N", help="Shrink to N pixels at the longest side.")
@click.option("--image-format", type=click.Choice(IMAGE_FORMATS), help="Encode every picture anew in this format.")
@click.option("--shard-size", metavar="SIZE", help="Of parquet and webdataset: 1GB, or so many samples.")
@click.option("--overwrite", is_flag=True, help="Replace DEST, if it is an export.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    place: Path,
    folder: Path | None,
    place_of_export: Path,
    as_json: bool,
    **options: Unpack[_Options],
) -> None:
    """Write every saved image of WORKSPACE, with what the ledger knows of it, to DEST.

    imagefolder, parquet and webdataset make a folder with the pictures in it. csv and jsonl make a table
    alone: a file, if DEST ends in .csv or .jsonl, else a folder with a description beside it.

    The same ledger gives the same bytes. Exit code 1 when a saved image is not on disk any more.
    """
    workspace = existing_workspace(place, folder)
    selection, wanted = _selection(options), _wanted(options, place_of_export)
    with building(place_of_export, workspace, overwrite=options["overwrite"]) as aside:
        rows = aside / ".rows"
        survey = asyncio.run(_collect(workspace, selection, workspace.resolve().name, rows))
        files = aside / "files"
        files.mkdir()
        exported = write(workspace, rows, survey, files, wanted, now_and_then(survey.images, "images"))
        (files if wanted.described else files / f"{STEM}.{wanted.format}").rename(aside / WHOLE)
    for line in _text(exported, survey, place_of_export):
        click.echo(line, err=True)
    click.echo(json.dumps(_answer(exported, survey, place_of_export)) if as_json else str(place_of_export))
    ctx.exit(INCOMPLETE if exported.lost else 0)


def _selection(options: _Options) -> Selection:
    split = options["split"]
    return Selection(
        where=tuple(Condition.parse(text) for text in options["where"]),
        dedupe=options["dedupe"],
        split=None if split is None else Split.parse(split),
    )


def _wanted(options: _Options, dest: Path) -> Wanted:
    format, shard = options["format"], options["shard_size"]
    if format in TABLES:
        for option, value in (("--resize", options["resize"]), ("--image-format", options["image_format"])):
            if value is not None:
                raise UsageError(f"{option} is for pictures, and --format {format} is a table without any")
    if shard is not None and format not in SHARD_SIZES:
        raise UsageError(f"--shard-size is for {' and '.join(SHARD_SIZES)}: --format {format} has no shards")
    if format == "parquet":
        require_pyarrow()
    return Wanted(
        format=format,
        shape=Shape(options["resize"], options["image_format"]),
        shard=None if shard is None else ShardSize.parse(shard),
        divided=options["split"] is not None,
        described=not (format in TABLES and dest.suffix == f".{format}"),
    )


async def _collect(workspace: Path, selection: Selection, name: str, rows: Path) -> Survey:
    async with Reader.open(workspace) as reader:
        return await collect(reader.jobs(Filter()), selection, name, rows)


def _text(exported: Exported, survey: Survey, dest: Path) -> Iterator[str]:
    split = ", ".join(f"{count} {name}" for name, count in exported.splits.items())
    divided = f" ({split})" if len(exported.splits) > 1 else ""
    size = f", {exported.bytes / 1e6:,.1f} MB of pictures" if exported.bytes else ""
    yield f"{dest}: {counted(exported.images, 'image')}{divided}{size}"
    if not exported.images and not exported.lost:
        yield "nothing of this batch is on disk yet, or no job is as --where says"
    if survey.duplicates:
        yield f"{counted(survey.duplicates, 'image')} left out, of the same bytes as an earlier one"
    for lost, count in exported.lost.items():
        yield f"{counted(count, 'image')} left out, {_WHY[lost]}"
    yield from (f"  {lost}  {path}" for path, lost in exported.named)
    if (more := exported.lost.total() - len(exported.named)) > 0:
        yield f"  and {more} more"


def _answer(exported: Exported, survey: Survey, dest: Path) -> dict[str, object]:
    return {
        "path": str(dest),
        "images": exported.images,
        "bytes": exported.bytes,
        "splits": dict(exported.splits),
        "duplicates": survey.duplicates,
        **{lost.value: exported.lost[lost] for lost in Lost},
    }
