"""How much at once and when, seen from outside: limits that are found, and waits that outlive a process."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

from tests.acceptance.conftest import KEY_VARIABLES, Cli, listed, numbered, until
from tests.acceptance.cutting_provider import Cutting, Face

TOLD = (429, '{"error": {"message": "Rate limit reached. Please try again in 60s.", "code": "rate_limit_exceeded"}}')


def manifest(cli: Cli, provider: Cutting, jobs: int, limits: str = "{}") -> None:
    """A batch for a provider that answers with one JSON object."""
    cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
    where = f"base_url: '{provider.url}', limits: {limits}"
    cli.write("m.yaml", f"provider: apiyi\nproviders: {{apiyi: {{{where}}}}}\njobs:\n{listed(numbered(jobs))}")


def waiting(cli: Cli) -> str | None:
    """What the provider waits for, as far as `status` knows."""
    traffic = cli.json("status", "out/m")["providers"].get("apiyi", {})
    return str(traffic["reason"]) if traffic.get("waiting_until") else None


def first_refused() -> Iterator[tuple[int, str] | None]:
    """One request is told to wait, all others are served."""
    return itertools.chain([TOLD], itertools.repeat(None))


def test_a_wait_that_was_told_holds_for_a_run_that_begins_seconds_later(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=first_refused()) as provider:
        manifest(cli, provider, 3, limits="{concurrency: 1}")
        run = cli.start("run", "m.yaml")
        until(lambda: (cli.folder / "out/m").exists() and provider.total == 1)
        until(lambda: waiting(cli) == "rate limit")
        run.send_signal(signal.SIGKILL)
        cli.end(run, code=-signal.SIGKILL)
        again = cli.start("run", "m.yaml")
        until(lambda: waiting(cli) == "rate limit")
        assert " s more: rate limit" in cli.run("status", "out/m").stdout
        again.send_signal(signal.SIGINT)
        done = cli.end(again, code=130)
        assert provider.total == 1
    assert " s more for apiyi: rate limit" in done.stderr


def test_the_limit_of_a_provider_is_found_told_and_begun_with_the_next_time(cli: Cli) -> None:
    simulate = "simulate: {latency: 0.1, image_side: 64, concurrency: 6}"
    where = f"base_url: simulator, limits: {{requests_per_minute: 60000}}, {simulate}"
    text = f"provider: apiyi\nproviders: {{apiyi: {{{where}}}}}\njobs:\n"
    cli.write("m.yaml", text + listed(numbered(60)))
    cli.run("run", "m.yaml", code=0)
    # One more is tried now and then.
    assert cli.json("status", "out/m")["providers"]["apiyi"]["limit"] in (6, 7)
    cli.write("m.yaml", text + listed(numbered(90)))
    again = cli.start("run", "m.yaml")
    until(lambda: cli.ask("out/m", "SELECT count(*) FROM attempts") > [(70,)])
    assert cli.json("status", "out/m")["providers"]["apiyi"]["limit"] >= 5
    cli.end(again, code=0)
