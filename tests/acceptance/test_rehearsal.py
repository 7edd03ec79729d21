"""`run --rehearse`: the batch played through with simulated providers, apart from the real thing and unpaid."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.acceptance.conftest import KEY_VARIABLES, Cli, Simulated, listed, numbered, until

PRICED = "providers: {tu-zi: {prices: {gpt-image-1-vip: 0.03}}}\n"


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by its hash."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_rehearsal_needs_no_key_and_says_what_the_real_thing_would_cost_and_take(cli: Cli) -> None:
    cli.write("a.yaml", f"provider: tu-zi\n{PRICED}jobs:\n{listed(numbered(4))}")
    assert not any(name in cli.env for name in KEY_VARIABLES)
    told = cli.run("run", "a.yaml", "--rehearse", code=0).stderr
    assert "a -> out/a.rehearsal\nrehearsal of an ordinary night: every provider is simulated" in told
    assert "rehearsal nothing was sent to a provider, and nothing was paid" in told
    (real,) = (line for line in told.splitlines() if line.startswith("for real"))
    assert "for 4 images: about 0.12 by the price list; time" in real
    assert [path.name for path in (cli.folder / "out").iterdir()] == ["a.rehearsal"]
    assert "a rehearsal: nothing was paid" in cli.run("status", "out/a.rehearsal").stdout
    assert cli.json("verify", "out/a.rehearsal")["checked"] == 4
    assert {job["provider"] for job in cli.jobs("out/a.rehearsal")} == {"tu-zi"}
    again = cli.run("run", "a.yaml", "--rehearse", code=0).stderr
    assert "to begin anew: rm -r out/a.rehearsal" in again


def test_a_real_workspace_and_its_provider_hear_nothing_of_a_rehearsal(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("a.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(3))}")
        cli.run("run", "a.yaml", "--limit", "2", "--workspace", "real", code=3)
        before, posts = contents(cli.folder / "real"), p.posts
        cli.run("run", "a.yaml", "--rehearse", "--workspace", "real", code=0)
        assert (contents(cli.folder / "real"), p.posts) == (before, posts)
        assert cli.states("real.rehearsal") == {"done": 3}
        cli.run("run", "a.yaml", "--workspace", "real", code=0)
        assert p.posts == 3


def test_a_bad_night_shows_what_a_bad_morning_looks_like_and_keeps_to_the_budget(cli: Cli) -> None:
    cli.write("a.yaml", f"provider: tu-zi\n{PRICED}jobs:\n{listed(numbered(24))}")
    bad = cli.run("run", "a.yaml", "--rehearse", "--night", "bad", "--max-cost", "0.60", code=3).stderr
    assert "rehearsal of a bad night" in bad
    assert "the budget is reached" in bad
    status = cli.json("status", "out/a.rehearsal")
    assert status["attempts"] > status["jobs"]["total"] - status["jobs"]["pending"], "some were tried again"
    assert status["cost"] <= 0.60


def test_a_killed_rehearsal_goes_on_where_it_was(cli: Cli) -> None:
    cli.write("a.yaml", f"provider: tu-zi\njobs:\n{listed(numbered(30))}")
    run = cli.start("run", "a.yaml", "--rehearse")
    done = "SELECT count(*) FROM jobs WHERE state = 'done'"
    until(lambda: cli.count("out/a.rehearsal", done) > 2, run)
    run.kill()
    run.communicate()
    assert 0 < cli.states("out/a.rehearsal")["done"] < 30
    cli.run("run", "a.yaml", "--rehearse", code=0)
    assert cli.states("out/a.rehearsal") == {"done": 30}


def test_what_a_run_would_refuse_is_not_rehearsed(cli: Cli) -> None:
    cli.write("a.yaml", f"provider: openai-chat\njobs:\n{listed(['one'])}")
    for words in ((), ("--rehearse",)):
        assert "needs base_url" in cli.run("run", "a.yaml", *words, code=2).stderr
    cli.write("b.yaml", f"provider: tu-zi\njobs:\n{listed(['one'])}")
    assert "has no price" in cli.run("run", "b.yaml", "--rehearse", "--max-cost", "1", code=2).stderr
    assert "--night goes with --rehearse" in cli.run("run", "b.yaml", "--night", "bad", code=2).stderr
    assert "keeps no hours" in cli.run("run", "b.yaml", "--rehearse", "--stop-at", "07:00", code=2).stderr
    assert not (cli.folder / "out").exists()
