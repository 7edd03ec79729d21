"""`batchgen simulate`: the simulated provider as a server of its own, until a signal."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from batchgen.cli.completing import faults
from batchgen.errors import UsageError
from batchgen.providers.builtin import BUILTIN
from batchgen.simulator.faults import FAULTS
from batchgen.simulator.serve import Simulator, simulate
from batchgen.simulator.settings import SimulatorSettings, parse_settings

DIALECTS = tuple(dict.fromkeys(profile.dialect for profile in BUILTIN.values()))


def _chances(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`NAME=5%` or `NAME=2x`, as often as given; a name alone happens always."""
    pairs = (value.partition("=") for value in values)
    return {name: chance if equals else "100%" for name, equals, chance in pairs}


def _list_faults(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        width = max(map(len, FAULTS))
        for name, meaning in FAULTS.items():
            click.echo(f"{name:<{width}}  {meaning}")
        ctx.exit()


@click.command("simulate")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Default: any that is free."
)
@click.option("--latency", metavar="TIME", help="How long a picture takes, such as 2s. Default: 300ms.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_chances,
    metavar="NAME=5%",
    shell_complete=faults,
    help="How often a fault happens: a rate, or a number of times (2x). Repeatable.",
)
@click.option("--seed", metavar="N", help="Other numbers draw other requests for the faults.")
@click.option(
    "--image-side", metavar="N", help="The longer side of the pictures; 0: as asked for. Default: 512 pixels."
)
@click.option(
    "--dialect",
    "dialects",
    multiple=True,
    type=click.Choice(DIALECTS),
    help="Print only this URL. Repeatable.",
)
@click.option(
    "--memory",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Remember tasks, links and the port there, for the next start.",
)
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_faults,
    help="Every fault with what it does.",
)
@click.option("--json", "as_json", is_flag=True, help="The URLs as one JSON object.")
def command(
    port: int,
    memory: Path | None,
    dialects: tuple[str, ...],
    as_json: bool,
    **settings: object,
) -> None:
    """Serve simulated providers on 127.0.0.1 until Ctrl-C, for rehearsals that cost nothing.

    Prints a line `DIALECT URL` for each; put the URL into a manifest as base_url. Any key is taken.
    A prompt with `simulate:NAME` in it asks for that fault itself.
    """
    try:
        parsed = parse_settings(settings)
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    asyncio.run(_serve(parsed, port, memory, lambda server: _announce(server, dialects or DIALECTS, as_json)))


async def _serve(
    settings: SimulatorSettings, port: int, memory: Path | None, announce: Callable[[Simulator], None]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with simulate(settings, port=port, memory=memory) as server:
            announce(server)
            await stopped.wait()
    except OSError as error:
        raise UsageError(f"the simulator can't start: {error.strerror or error}; choose another --port") from error


def _announce(server: Simulator, dialects: Iterable[str], as_json: bool) -> None:
    """Print where to send requests; click flushes after each line."""
    urls = {dialect: server.url(dialect) for dialect in dialects}
    if as_json:
        click.echo(json.dumps(urls))
    else:
        for dialect, url in urls.items():
            click.echo(f"{dialect} {url}")
