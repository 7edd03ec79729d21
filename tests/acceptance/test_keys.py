"""Lists of key variables: the load is shared, a bad key is dropped, and no key is ever told."""

from __future__ import annotations

import json

from tests.acceptance.conftest import Cli, Provider, Simulated, listed, numbered, until

GOOD, OTHER = "sk-good-1c7e2b4f9a", "sk-other-7e2b4f9a1c"
BAD, WORSE = "sk-bad-9a1c7e2b4f", "sk-bad-2b4f9a1c7e"


def manifest(cli: Cli, provider: Provider, jobs: int = 12) -> None:
    """A batch for a provider with two key variables; the simulator refuses keys that begin with sk-bad."""
    section = provider.section("tu-zi", extra="api_key_env: [FIRST_KEY, SECOND_KEY], limits: {concurrency: 2}")
    cli.write("m.yaml", f"provider: tu-zi\n{section}jobs:\n{listed(numbered(jobs))}")


def served(cli: Cli) -> dict[str, int]:
    """Images by the variable of the key that they were made with."""
    query = "SELECT key_env, count(*) FROM attempts WHERE outcome = 'succeeded' GROUP BY key_env"
    return dict(cli.ask("out/m", query))


def silent(cli: Cli, *texts: str) -> None:
    """No key stands in what was printed, in the log or in the ledger."""
    files = [path.read_bytes() for path in (cli.folder / "out/m").glob("*") if path.is_file()]
    for key in (GOOD, OTHER, BAD, WORSE):
        assert all(key not in text for text in texts)
        assert all(key.encode() not in data for data in files)


def test_two_keys_share_the_load_and_each_has_the_limits_of_its_own(cli: Cli, provider: Simulated) -> None:
    with provider() as simulator:
        manifest(cli, simulator, 24)
        cli.env.update(FIRST_KEY=GOOD, SECOND_KEY=OTHER)
        with simulator.asleep():
            run = cli.start("run", "m.yaml")
            until(lambda: cli.count("out/m", "SELECT count(*) FROM jobs WHERE state = 'running'") == 2 + 2, run)
        cli.end(run, code=0)
        assert simulator.counts()["peak"] == 2 + 2
    assert set(served(cli)) == {"FIRST_KEY", "SECOND_KEY"}
    assert min(served(cli).values()) >= 6
    silent(cli)


def test_a_bad_key_is_dropped_once_and_the_other_does_everything(cli: Cli, provider: Simulated) -> None:
    with provider() as simulator:
        manifest(cli, simulator)
        cli.env.update(FIRST_KEY=BAD, SECOND_KEY=GOOD)
        done = cli.run("run", "m.yaml", code=0)
        # Two places: no more than two requests went with the bad one.
        assert simulator.posts <= 12 + 2
    assert served(cli) == {"SECOND_KEY": 12}
    assert cli.ask("out/m", "SELECT sum(counted) FROM attempts WHERE outcome = 'failed'") == [(0,)]
    dropped = "key FIRST_KEY dropped: the key was refused (无效的令牌)"
    assert f"tu-zi: {dropped}\n" in done.stderr
    assert cli.json("status", "out/m")["providers"]["tu-zi"]["reason"] == dropped
    log = (cli.folder / "out/m/run.log").read_text()
    assert log.count("no more with key FIRST_KEY: the key was refused") == 1
    silent(cli, done.stdout, done.stderr)


def test_when_every_key_is_bad_the_run_leaves_with_exit_3_and_says_so(cli: Cli, provider: Simulated) -> None:
    with provider() as simulator:
        manifest(cli, simulator)
        cli.env.update(FIRST_KEY=BAD, SECOND_KEY=WORSE)
        done = cli.run("run", "m.yaml", code=3)
        assert simulator.posts <= 4
        assert "stopped early: tu-zi refused the key" in done.stderr
        assert cli.states("out/m") == {"pending": 12}
        silent(cli, done.stdout, done.stderr)

        cli.env.update(SECOND_KEY=GOOD)
        cli.run("run", "m.yaml", code=0)


def test_a_variable_that_is_not_set_is_a_warning_and_the_others_do_the_work(cli: Cli, provider: Simulated) -> None:
    with provider() as simulator:
        manifest(cli, simulator)
        cli.env.update(SECOND_KEY=GOOD)
        plan = json.loads(cli.run("plan", "m.yaml", "--json", code=0).stdout)
        assert plan["warnings"] == ["FIRST_KEY of provider 'tu-zi' is not set: all goes with SECOND_KEY"]
        listing = cli.run("providers", "m.yaml", code=0).stdout
        assert "FIRST_KEY (not set), SECOND_KEY (set)" in listing
        cli.run("run", "m.yaml", code=0)
    assert served(cli) == {"SECOND_KEY": 12}
