"""The options of `run` that say where the work is done, and the environment that Ray reads."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from batchgen.engines.ray import Cluster
from batchgen.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


def engine_options(command: Command) -> Command:
    """Give a command `--engine`, `--address` and `--workers`; `cluster_of` reads them."""
    for option in (
        click.option(
            "--workers", type=click.IntRange(min=1), metavar="N", help="Workers of the cluster. Default: 2 a node."
        ),
        click.option(
            "--address", metavar="HOST:PORT", help="The Ray cluster, or auto. Default: one of its own, on this machine."
        ),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            help="Where the work is done: in this process, or by workers on a Ray cluster.",
        ),
    ):
        command = option(command)
    return command


def cluster_of(engine: str, address: str | None, workers: int | None) -> Cluster | None:
    """What was chosen; None: this process. Raises `UsageError`."""
    if engine == "local":
        for name, value in (("--address", address), ("--workers", workers)):
            if value is not None:
                raise UsageError(f"{name} goes with --engine ray")
        return None
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs the extra 'ray': pip install 'batchgen[ray]'")
    return Cluster(address=address, workers=workers)


def settle_environment(cluster: Cluster, secret: Collection[str]) -> None:
    """Before Ray is imported: no statistics are sent, a cluster of our own wants a token, and none of its
    processes inherits the variables in `secret`, whose values the run has read by now."""
    for name in secret:
        os.environ.pop(name, None)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if cluster.address is None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
