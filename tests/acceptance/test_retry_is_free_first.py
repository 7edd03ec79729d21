"""`retry` never pays for what is still to be had: tasks are asked and links fetched before anything is sent again."""

from __future__ import annotations

from tests.acceptance.conftest import KEY_VARIABLES, Cli, listed
from tests.acceptance.cutting_provider import Cutting, Face

GONE = "http://127.0.0.1:9/source/{task_id}"
"""A task page that nobody serves."""


def manifest(cli: Cli, provider: Cutting, name: str, *, settings: str = "", task_url: str = "") -> None:
    """A batch of one job, whose picture the provider has."""
    cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
    tasks = f", task_url: '{task_url}'" if task_url else ""
    cli.write(
        "m.yaml",
        f"provider: tu-zi\nproviders: {{tu-zi: {{base_url: '{provider.url}'{tasks}}}}}\n"
        f"settings: {{{settings}}}\njobs:\n{listed([name])}",
    )


def test_a_picture_that_was_too_large_is_fetched_once_more_and_generated_anew_only_after_that(cli: Cli) -> None:
    with Cutting(Face.BLIND) as provider:
        manifest(cli, provider, "cat", settings="max_image_bytes: 100")
        done = cli.run("run", "m.yaml", code=1)
        assert "tries the download again at no cost: batchgen retry out/m --state failed" in done.stderr
        assert "unknown: no price given" in done.stderr

        told = cli.run("retry", "m.yaml", "--state", "failed", code=0).stderr
        assert told == "1 job: 1 is downloaded again (free): batchgen run m.yaml\n"
        assert cli.states("out/m") == {"generated": 1}
        done = cli.run("run", "m.yaml", code=1)
        assert "generate them anew (paid again)" in done.stderr
        assert provider.total == 1

        told = cli.run("retry", "out/m", "--state", "failed", code=0).stderr
        assert told == "1 job: 1 is sent again (paid): batchgen run m.yaml\n"
        manifest(cli, provider, "cat")
        cli.run("run", "m.yaml", code=0)
        assert provider.total == 2


def test_a_held_task_is_asked_once_more_before_its_job_is_sent_again(cli: Cli) -> None:
    with Cutting(Face.TASKS) as provider:
        impatient = "task_patience: 1s"
        manifest(cli, provider, "at:task", settings=impatient, task_url=GONE)
        done = cli.run("run", "m.yaml", code=1)
        assert cli.states("out/m") == {"held": 1}
        assert "asks its task first, at no cost; a second retry sends it again" in done.stderr
        told = cli.run("retry", "out/m", code=0).stderr
        assert told == "nothing to retry among failed, expired, cancelled; 1 is held: add --state held\n"

        told = cli.run("retry", "out/m", "--state", "held", code=0).stderr
        assert told == "1 job: 1 is asked for at its provider (free): batchgen run m.yaml\n"
        manifest(cli, provider, "at:task", settings=impatient, task_url=provider.task_url)
        cli.run("run", "m.yaml", code=0)
        assert (provider.total, provider.polls) == (1, 1)
