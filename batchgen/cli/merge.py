"""`batchgen merge`: the workspaces of a batch's shards made one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from batchgen.cli.pace import now_and_then
from batchgen.model import JobState, Json
from batchgen.shards.merge import Merged, merge
from batchgen.summary import counted

INCOMPLETE = 1

_NAMED = 10


@click.command("merge")
@click.argument("dest", type=click.Path(path_type=Path))
@click.argument("shards", metavar="SHARD...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(ctx: click.Context, dest: Path, shards: tuple[Path, ...], as_json: bool) -> None:
    """Make one workspace DEST of those that `run --shard` made, ledgers and images.

    The shards stay as they are; images are linked where that can be, and need no room twice. With all shards
    in it, `run MANIFEST --workspace DEST` goes on with what is not finished. Exit code 1 when a saved image
    is not on disk any more.
    """
    merged = merge(dest, shards, _pace)
    for line in _text(merged, dest):
        click.echo(line, err=True)
    click.echo(json.dumps(_answer(merged, dest), ensure_ascii=False) if as_json else str(dest))
    ctx.exit(INCOMPLETE if merged.lost else 0)


def _pace(images: int) -> Callable[[int], None]:
    return now_and_then(images, "images")


def _text(merged: Merged, dest: Path) -> Iterator[str]:
    states = ", ".join(f"{n} {state}" for state, n in merged.jobs.items() if n)
    copied = f", {merged.copied} of them copied" if merged.copied else ""
    total = counted(sum(merged.jobs.values()), "job")
    yield f"{dest}: {merged.held.words()}, {total} ({states}), {counted(merged.images, 'image')}{copied}"
    yield from merged.remarks
    if merged.lost:
        lost = counted(len(merged.lost), "saved image")
        yield f"{lost} not on disk any more; the next `run` or `fetch` downloads what still can be:"
        yield from (f"  {path}" for path in merged.lost[:_NAMED])
        if (more := len(merged.lost) - _NAMED) > 0:
            yield f"  and {more} more"


def _answer(merged: Merged, dest: Path) -> dict[str, Json]:
    return {
        "path": str(dest),
        "shards": {"of": merged.held.of, "merged": list(merged.held.numbers), "missing": list(merged.held.missing)},
        "jobs": {"total": sum(merged.jobs.values()), **{state.value: merged.jobs[state] for state in JobState}},
        "images": merged.images,
        "copied": merged.copied,
        "lost": list(merged.lost),
        "remarks": list(merged.remarks),
    }
