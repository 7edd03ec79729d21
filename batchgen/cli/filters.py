"""The filters that `jobs` and `retry` share, from their options to a `Filter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, Unpack

import click

from batchgen.cli.completing import errors, models, providers, states
from batchgen.ledger.records import Filter
from batchgen.model import JobState

Command = TypeVar("Command", bound=Callable[..., Any])


class FilterOptions(TypedDict):
    """The options as click hands them over; None: not given."""

    states: frozenset[JobState] | None
    error: str | None
    provider: str | None
    model: str | None
    id_glob: str | None


def _states(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[JobState] | None:
    """A list of states with commas between them."""
    if value is None:
        return None
    known = {state.value: state for state in JobState}
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if word not in known:
            raise click.BadParameter(f"{word!r} is no state; the states are {', '.join(known)}")
    return frozenset(known[word] for word in words)


def filter_options(command: Command) -> Command:
    """Add --state, --error, --provider, --model and --id."""
    options = (
        click.option(
            "--state",
            "states",
            callback=_states,
            metavar="STATE,...",
            shell_complete=states,
            help="Only jobs in these states.",
        ),
        click.option(
            "--error", metavar="GLOB", shell_complete=errors, help="Only jobs with this kind of error, or this code."
        ),
        click.option(
            "--provider", metavar="GLOB", shell_complete=providers, help="Only jobs last tried at this provider."
        ),
        click.option("--model", metavar="GLOB", shell_complete=models, help="Only jobs for this model."),
        click.option("--id", "id_glob", metavar="GLOB", help="Only jobs whose id fits, such as 'cat-*'."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_filter(default: frozenset[JobState] = frozenset(), **options: Unpack[FilterOptions]) -> Filter:
    """The filter that the options mean; `default` states where `--state` is not given."""
    states = options["states"]
    return Filter(
        states=default if states is None else states,
        error=options["error"],
        provider=options["provider"],
        model=options["model"],
        id_glob=options["id_glob"],
    )
