"""Which folder a command works on: the WORKSPACE argument, the `--workspace` option, the default.

The default workspace of `jobs/demo.yaml` is `out/demo` below the current folder.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from batchgen.errors import UsageError
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.reader import Reader
from batchgen.shards.division import Shard, Shards, folder_name
from batchgen.summary import within_reach

_OUT = Path("out")
_NAMED = 3
Command = TypeVar("Command", bound=Callable[..., Any])


def _folders(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Folders, as the shell itself completes them."""
    return [CompletionItem(typed, type="dir")]


workspace_option = click.option(
    "--workspace",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    shell_complete=_folders,
    help="The folder of the batch, instead of out/NAME below the current folder.",
)


def workspace_argument(command: Command) -> Command:
    """Give a command WORKSPACE and `--workspace`; both reach it as `place` and `folder`."""
    argument = click.argument("place", metavar="WORKSPACE", type=click.Path(path_type=Path))
    return argument(workspace_option(command))


def _shard(ctx: click.Context, param: click.Parameter, value: str | None) -> Shard | None:
    return None if value is None else Shard.parse(value)


shard_option = click.option(
    "--shard",
    callback=_shard,
    metavar="I/N",
    help="Only the I-th of N parts, in a workspace of its own, with an N-th of limits, --concurrency and --max-cost.",
)


def workspace_of(manifest: Path, folder: Path | None, shard: Shard | None = None) -> Path:
    """The workspace that `run` uses for this manifest."""
    return folder or _OUT / folder_name(manifest.stem, shard)


async def continued(reader: Reader, workspace: Path, *, free: bool = False) -> str:
    """The command line that goes on with a batch; a rehearsal goes on as one. `MANIFEST`: it is not where it was.

    After a run that had spent its budget it is one with a higher AMOUNT, unless it is for what is `free`.
    """
    place = Path(await reader.note("manifest_path") or await reader.note("manifest") or "MANIFEST")
    if place.is_absolute() and place.is_relative_to(Path.cwd()):
        place = place.relative_to(Path.cwd())
    words = ["batchgen", "run", str(place) if place.exists() else "MANIFEST"]
    held, night = Shards.noted(await reader.note("shard")), await reader.note("rehearsal")
    shard = Shard(held.numbers[0], held.of) if held and len(held.numbers) == 1 else None
    usual, folder = _OUT / folder_name(place.stem, shard), workspace
    if shard:
        words += ["--shard", str(shard)]
    if night:
        words += ["--rehearse", *(() if night == "ordinary" else ("--night", night))]
        folder = workspace.with_name(workspace.name.removesuffix(".rehearsal"))
    if folder.resolve() != usual.resolve():
        words += ["--workspace", str(folder)]
    last = None if free else await reader.last_run()
    return within_reach(shlex.join(words), last.reason if last else None)


def existing_workspace(place: Path, folder: Path | None) -> Path:
    """The workspace that a reading command means. Raises `UsageError` when no run has made it."""
    workspace = folder or (place if place.is_dir() else workspace_of(place, None))
    if (workspace / LEDGER).exists():
        return workspace
    if place.is_dir() or folder:
        raise UsageError(f"{workspace} is no workspace: there is no {LEDGER} in it; a run makes one, such as out/demo")
    if shards := sorted(_OUT.glob(f"{glob.escape(place.stem)}.shard-*-of-*/{LEDGER}")):
        named = ", ".join(str(ledger.parent) for ledger in shards[:_NAMED]) + (", …" if len(shards) > _NAMED else "")
        raise UsageError(f"{place} was run in shards: name one ({named}), or merge them first")
    if place.exists():
        raise UsageError(f"{place} has no workspace yet, as there is no {workspace / LEDGER}: batchgen run {place}")
    raise UsageError(f"{place} does not exist; give the folder of a batch, or the manifest that made it")
