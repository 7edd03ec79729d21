"""The command line: which commands there are, and how every failure becomes a line and an exit code.

A command is imported when it is called, so that `--help` and `status` start at once. Only this
package prints, exits and reads the environment.
"""

from __future__ import annotations

import difflib
import errno
import gc
import importlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from batchgen.early import interrupt_from_here
from batchgen.errors import StoreDown, UserError, WorkspaceError
from batchgen.stop import INTERRUPTED

if TYPE_CHECKING:  # only a shell that completes needs it
    from click.shell_completion import CompletionItem

COMMANDS: Mapping[str, str] = {
    "run": "Generate every image of a manifest; run again to continue.",
    "plan": "Say what `run` would do, and send nothing.",
    "status": "Counts by state, cost, traffic, links that die soon.",
    "jobs": "One line a job, all of them or some.",
    "retry": "Put jobs that ended back to pending.",
    "fetch": "Download what is generated and not on disk.",
    "reparse": "Read saved replies again with today's parser, at no cost.",
    "verify": "Compare ledger, files and hashes.",
    "export": "What is done so far as a dataset: imagefolder, parquet, webdataset, csv, jsonl.",
    "merge": "Make one workspace of those that `run --shard` made.",
    "report": "One HTML page: summary, charts, what is not done and why, every picture.",
    "serve": "The live page of a batch in a browser.",
    "providers": "The provider profiles and what they take.",
    "doctor": "Will a run with this provider work: key, address, clock, disk. Free.",
    "simulate": "A simulated provider on this machine, with faults on request.",
    "init": "Write a commented starter manifest.",
    "schema": "The JSON Schema of a manifest, for editors.",
}
"""Every command is the `command` of the module of its name."""

READING = frozenset({"plan", "status", "jobs", "verify", "providers", "doctor", "schema"})
"""Commands that write nothing: a signal ends them at any line."""

CRASHED = 4
"""Exit code after an error of our own: like a workspace that can't be used, it wants a person to look."""

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""What a disk or its rights may do to a file in any command."""


class _Commands(click.Group):
    """Imports a command when it is wanted, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = f"batchgen.cli.{cmd_name}"
        command = (sys.modules.get(name) or _imported(name)).command
        if cmd_name not in READING:
            with suppress(ValueError):  # outside the main thread nobody is told of signals
                interrupt_from_here()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands without importing any, and the options of all."""
        from click.shell_completion import CompletionItem

        words = [CompletionItem(name, help=says) for name, says in COMMANDS.items() if name.startswith(incomplete)]
        return [*words, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and not args[0].startswith("-") and near:
            raise click.UsageError(f"No such command {args[0]!r}, did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # click's own signature
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as error:  # the last place that can name an exit code
            ctx.exit(_exit_code(error))


def _imported(name: str) -> ModuleType:
    """Import a module and look for garbage neither on the way nor in it later: what comes with it stays."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _exit_code(error: BaseException) -> int:
    """Say what went wrong on stderr. A broken pipe is left to click, which ends without a word."""
    error = first_of(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, UserError | WorkspaceError | StoreDown):
        from batchgen.cli.colours import complain

        complain(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        raise error
    if isinstance(error, OSError) and error.errno in _DISK:
        which = f"{error.filename} can't be read or written" if error.filename else "a file can't be read or written"
        click.echo(f"{which} ({error.strerror}): set that right, then run again; nothing is lost", err=True)
        return WorkspaceError.exit_code
    click.echo(own_error(error), err=True)
    import traceback

    click.echo("".join(traceback.format_exception(error)), err=True)
    return CRASHED


def first_of(error: BaseException) -> BaseException:
    """The first failure of those that a task group makes one of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def own_error(error: BaseException) -> str:
    """The line for a mistake of ours: what the user needs to know is that nothing is lost."""
    return f"batchgen stopped on an error of its own: {error!r}; the ledger is whole, run again"


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"batchgen, version {version('batchgen')}")
        except PackageNotFoundError:
            click.echo("batchgen, run from its sources without being installed")
        ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Batch image generation: every image you paid for on disk, none paid for twice.

    Begin with `batchgen init`, look with `batchgen plan jobs.yaml`, then `batchgen run jobs.yaml`.
    """
