"""What Tab offers in a shell for the values of arguments and options: files, and the words that batchgen knows.

Nothing here may fail or print: a shell asks while somebody types, and half a command line may be nonsense.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, split_arg_string

if TYPE_CHECKING:  # a shell waits for every import
    from batchgen.errors import JobError


def providers(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The built-in profiles, and those of the manifest or the workspace that is named on the line."""
    from batchgen.providers.builtin import BUILTIN

    own = _named_on_the_line()
    return _fitting([*BUILTIN, *(_described(own) if own else ())], typed)


def models(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The models of the workspace that is named on the line, else what built-in profiles begin with."""
    from batchgen.providers.builtin import BUILTIN

    own = _named_on_the_line()
    found = _column(own, "SELECT DISTINCT model FROM jobs ORDER BY 1 LIMIT 100") if own else []
    return _fitting(found or [one.default_model for one in BUILTIN.values() if one.default_model], typed)


def errors(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The kinds of error that `jobs --json` may tell."""
    from batchgen.errors import JobError

    return _fitting(sorted(_kinds(JobError)), typed)


def states(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """States, also behind a comma; those that stand there already are not offered again."""
    from batchgen.model import JobState

    *before, last = typed.split(",")
    head = "".join(f"{word}," for word in before)
    return [CompletionItem(head + word) for word in JobState if word.startswith(last) and word not in before]


def faults(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The faults of the simulated provider, each with what it does."""
    from batchgen.simulator.faults import FAULTS

    return [CompletionItem(name, help=meaning) for name, meaning in FAULTS.items() if name.startswith(typed)]


def _kinds(root: type[JobError]) -> Iterator[str]:
    """The words of the leaves below this node of the tree of errors."""
    below = root.__subclasses__()
    if not below:
        yield root.kind
    for one in below:
        yield from _kinds(one)


def _fitting(words: Iterable[str], typed: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(typed)]


def _named_on_the_line() -> Path | None:
    """The first file or folder that stands there. Click reads no argument of a line whose option lacks its value."""
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    return next((Path(word) for word in words[2:] if Path(word).exists()), None)


def _described(place: Path) -> list[str]:
    """The providers of a manifest, or of the workspace whose folder that is."""
    if place.is_dir():
        return _column(place, "SELECT DISTINCT provider FROM jobs ORDER BY 1 LIMIT 100")
    from batchgen.errors import BatchgenError
    from batchgen.manifest.load import open_manifest

    try:
        return list(open_manifest(place).profiles)
    except BatchgenError:
        return []


def _column(workspace: Path, query: str) -> list[str]:
    from batchgen.cli.workspaces import workspace_of
    from batchgen.ledger.connection import LEDGER

    folder = workspace if workspace.is_dir() else workspace_of(workspace, None)
    try:
        with closing(sqlite3.connect(f"{(folder / LEDGER).absolute().as_uri()}?mode=ro", uri=True)) as db:
            return [str(value) for (value,) in db.execute(query)]
    except sqlite3.Error:
        return []
