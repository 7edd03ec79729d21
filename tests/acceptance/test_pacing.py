"""How much at once and when, seen from outside: limits that are found, and waits that outlive a process."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from batchgen.pacing import FIRST
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
        until(lambda: provider.total == 1)
        until(lambda: waiting(cli) == "rate limit")
        run.send_signal(signal.SIGKILL)
        cli.end(run, code=-signal.SIGKILL)
        again = cli.start("run", "m.yaml")
        until(lambda: cli.runs("out/m") == 2 and waiting(cli) == "rate limit", again)
        assert " s more: rate limit" in cli.run("status", "out/m").stdout
        again.send_signal(signal.SIGINT)
        done = cli.end(again, code=130)
        assert provider.total == 1
    assert " s more for apiyi: rate limit" in done.stderr


def test_what_an_answer_says_is_left_of_a_limit_makes_the_rest_wait_before_any_is_refused(cli: Cli) -> None:
    simulate = "simulate: {latency: 0.2, image_side: 64, rpm: 5}"
    text = f"provider: openai\nproviders: {{openai: {{base_url: simulator, {simulate}}}}}\njobs:\n"
    cli.write("m.yaml", text + listed(numbered(8)))
    run = cli.start("run", "m.yaml")
    until(lambda: cli.runs("out/m") == 1, run)
    until(lambda: bool(cli.json("status", "out/m")["providers"].get("openai", {}).get("waiting_until")), run)
    run.send_signal(signal.SIGINT)
    cli.end(run, code=130)
    ((outcome, sent),) = cli.ask("out/m", "SELECT outcome, count(*) FROM attempts GROUP BY 1")
    assert outcome == "succeeded"
    assert 4 <= sent <= 5


def test_the_limit_of_a_provider_is_found_told_and_begun_with_the_next_time(cli: Cli) -> None:
    simulate = "simulate: {latency: 1, image_side: 64, concurrency: 12}"
    where = f"base_url: simulator, limits: {{requests_per_minute: 60000}}, {simulate}"
    text = f"provider: apiyi\nproviders: {{apiyi: {{{where}}}}}\njobs:\n"
    cli.write("m.yaml", text + listed(numbered(60)))
    cli.run("run", "m.yaml", code=0)
    # Somewhat more is tried now and then, and what a busy machine makes late looks like a lower one.
    assert 2 * FIRST <= cli.json("status", "out/m")["providers"]["apiyi"]["limit"] <= 24
    ((before,),) = cli.ask("out/m", "SELECT max(id) FROM attempts")
    cli.write("m.yaml", text + listed(numbered(90)))
    cli.run("run", "m.yaml", code=0)
    later = f"FROM attempts WHERE id > {before}"
    at_once = f"SELECT count(*) {later} AND started_at < (SELECT min(finished_at) {later} AND outcome = 'succeeded')"
    assert cli.count("out/m", at_once) >= 2 * FIRST


@dataclass
class Choosy(Cutting):
    """Refuses some prompts and remembers in which order they came."""

    order: list[str] = field(default_factory=list)
    refuses: Callable[[str, int], tuple[int, str] | None] = lambda _, __: None

    def begin(self, prompt: str) -> tuple[int, str] | None:
        """As the face says, but for what is refused; told how often the prompt had come before."""
        super().begin(prompt)
        self.order.append(prompt)
        return self.refuses(prompt, self.order.count(prompt) - 1)


def test_a_model_that_waits_holds_no_other_of_the_same_provider(cli: Cli) -> None:
    jobs = [f"  - {{prompt: 'waits {number}', model: gpt-image-2-all}}" for number in range(150)]
    jobs += [f"  - {{prompt: 'goes {number}', model: gpt-image-2-vip}}" for number in range(8)]
    refuses = lambda prompt, _: TOLD if prompt.startswith("waits") else None  # noqa: E731 - a field's value
    with Choosy(Face.BLIND, refuses=refuses) as provider:
        manifest(cli, provider, 0, limits="{concurrency: 4, requests_per_minute: 60000}")
        with (cli.folder / "m.yaml").open("a") as file:
            file.write("\n".join(jobs) + "\n")
        run = cli.start("run", "m.yaml")
        done = "SELECT count(*) FROM jobs WHERE state = 'done'"
        until(lambda: cli.runs("out/m") == 1 and waiting(cli) is not None)
        until(lambda: cli.ask("out/m", done) == [(8,)])
        assert waiting(cli) == "rate limit"
        assert sum(prompt.startswith("waits") for prompt in provider.order) <= 8
        run.send_signal(signal.SIGINT)
        cli.end(run, code=130)


def test_a_provider_that_waits_holds_no_other(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(TOLD)) as slow, Cutting(Face.BLIND) as quick:
        cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
        providers = f"apiyi: {{base_url: '{slow.url}'}}, tu-zi: {{base_url: '{quick.url}'}}"
        jobs = listed(numbered(30, "waits"), provider="apiyi") + listed(numbered(12, "goes"), provider="tu-zi")
        cli.write("m.yaml", f"providers: {{{providers}}}\njobs:\n{jobs}")
        run = cli.start("run", "m.yaml")
        done = "SELECT count(*) FROM jobs WHERE state = 'done'"
        until(lambda: cli.runs("out/m") == 1 and waiting(cli) is not None)
        until(lambda: cli.ask("out/m", done) == [(12,)])
        assert slow.total <= 4
        run.send_signal(signal.SIGINT)
        finished = cli.end(run, code=130)
    assert "for apiyi: rate limit" in finished.stderr
    assert "for tu-zi" not in finished.stderr


def test_a_retry_joins_when_it_is_due_and_not_after_all_the_others(cli: Cli) -> None:
    soon = (429, TOLD[1].replace("60s", "50ms"))
    refuses = lambda prompt, before: soon if "job-003" in prompt and before == 0 else None  # noqa: E731 - a field's value
    with Choosy(Face.BLIND, refuses=refuses) as provider:
        manifest(cli, provider, 150, limits="{concurrency: 1, requests_per_minute: 60000}")
        cli.run("run", "m.yaml", code=0)
        first, second = (place for place, prompt in enumerate(provider.order) if "job-003" in prompt)
    assert first == 3
    assert second < 60
