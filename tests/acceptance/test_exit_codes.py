"""Each way in which a run leaves early or not at all, with its exit code and what it says about it."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest

from tests.acceptance.conftest import KEY, QUICK, ROOT, Cli, Simulated, listed, numbered

HERE = f"provider: apiyi\nproviders: {{apiyi: {{base_url: simulator, {QUICK}}}}}\n"
THREE = f"{HERE}jobs:\n{listed(numbered(3))}"


def _assert_untouched(cli: Cli, workspace: str, count: int) -> None:
    """All jobs wait, and none of them has spent one of its tries."""
    assert cli.states(workspace) == {"pending": count}
    assert cli.ask(workspace, "SELECT sum(tries) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("key_echo", "key"),
        ("quota", "quota"),
        ("banned", ""),
    ],
)
def test_an_account_that_serves_nothing_stops_the_run_with_every_job_pending(
    cli: Cli, provider: Simulated, fault: str, says: str
) -> None:
    with provider("--fault", fault) as p:
        section = p.section("tu-zi", extra="limits: {concurrency: 3}")
        cli.write("m.yaml", f"provider: tu-zi\n{section}jobs:\n{listed(numbered(12))}")
        done = cli.run("run", "m.yaml", code=3)
        assert 1 <= p.posts <= 3
    assert re.search(r"stopped early: tu-zi [a-z ]+ \(", done.stderr)
    assert says in done.stderr.lower()
    _assert_untouched(cli, "out/m", 12)
    told = (
        done.stderr + cli.run("jobs", "out/m", "--json").stdout + (cli.folder / "out/m/run.log").read_text()
    )
    assert KEY not in told
    assert not any(KEY.encode() in path.read_bytes() for path in (cli.folder / "out/m").glob("ledger.db*"))


def test_a_wrong_key_is_mended_by_the_right_one_and_nothing_is_lost(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(5))}")
        cli.env["TUZI_API_KEY"] = "sk-bad-1"
        cli.run("run", "m.yaml", code=3)
        _assert_untouched(cli, "out/m", 5)
        cli.env["TUZI_API_KEY"] = KEY
        cli.run("run", "m.yaml", code=0)
    assert cli.states("out/m") == {"done": 5}


def test_a_bad_key_at_one_provider_does_not_stop_the_jobs_of_another(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.env["TUZI_API_KEY"] = "sk-bad-1"
        jobs = listed(numbered(3, "bad"), provider="tu-zi") + listed(numbered(3, "good"), provider="apiyi")
        cli.write("m.yaml", f"{p.section('tu-zi', 'apiyi')}jobs:\n{jobs}")
        cli.run("run", "m.yaml", code=3)
    assert cli.states("out/m") == {"pending": 3, "done": 3}


def test_a_limit_sends_so_many_jobs_and_the_next_run_the_others(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(5))}")
        done = cli.run("run", "m.yaml", "--limit", "2", code=3)
        assert "--limit 2" in done.stderr
        assert p.posts == 2
        assert [job["state"] for job in cli.jobs("out/m")] == ["done"] * 2 + ["pending"] * 3
        cli.run("run", "m.yaml", "--limit", "3", code=0)
        assert p.posts == 5


def test_a_limit_finishes_what_it_began_also_when_it_waits(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "server_error=1x") as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(5))}")
        cli.run("run", "m.yaml", "--limit", "2", code=3)
        assert p.posts == 3
        assert [job["state"] for job in cli.jobs("out/m")] == ["done"] * 2 + ["pending"] * 3


def test_a_limit_counts_jobs_and_not_the_requests_that_a_job_needs(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        jobs = "  - {id: three, prompt: a cat, n: 3}\n" + listed(numbered(2))
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{jobs}")
        cli.run("run", "m.yaml", "--limit", "1", code=3)
        assert p.posts == 3
    assert [job["state"] for job in cli.jobs("out/m")] == ["done", "pending", "pending"]


def test_an_id_pattern_sends_only_the_jobs_that_fit(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        jobs = listed(["cat-1", "cat-2", "dog-1"])
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{jobs}")
        done = cli.run("run", "m.yaml", "--id", "cat-*", code=3)
        assert "cat-*" in done.stderr
        assert p.posts == 2
        assert [job["state"] for job in cli.jobs("out/m")] == ["done", "done", "pending"]
        cli.run("run", "m.yaml", "--id", "dog-*", code=0)


def test_a_missing_key_variable_is_named_before_anything_is_made(cli: Cli) -> None:
    cli.write("m.yaml", "provider: apiqik\njobs: [{prompt: a cat}]\n")
    done = cli.run("run", "m.yaml", code=2)
    assert "APIQIK_API_KEY" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (cli.folder / "out").exists()


def test_a_key_that_only_finished_jobs_needed_is_not_asked_for_again(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(2))}")
        cli.run("run", "m.yaml", code=0)
        del cli.env["TUZI_API_KEY"]
        cli.run("run", "m.yaml", code=0)


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "m.yaml", "--speed", "9"),
        ("run", "m.yaml", "--concurrency", "0"),
        ("run", "m.yaml", "--limit", "some"),
        ("run", "m.yaml", "--on-unknown", "ask"),
        ("run", "m.yaml", "--provider", "nobody"),
        ("run", "m.yaml", "and", "more"),
        ("status",),
        ("jobs", "m.yaml", "--state", "ready"),
        ("fetch", "m.yaml", "--every", "soon"),
        ("simulate", "--port", "99999"),
        ("simulate", "--fault", "rate_limit=often"),
        ("simulate", "--latency", "long"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_2_and_makes_nothing(cli: Cli, words: tuple[str, ...]) -> None:
    cli.write("m.yaml", THREE)
    assert cli.run(*words, code=2).stderr
    assert [path.name for path in cli.folder.iterdir()] == ["m.yaml"]


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.run("run", "m.yaml", code=0)
    ledger = cli.folder / "out/m/ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 999")
    before = ledger.read_bytes()
    for command in ("run", "plan", "status", "fetch", "serve"):
        assert "newer batchgen" in cli.run(command, "m.yaml", code=4).stderr
    assert ledger.read_bytes() == before


def test_a_ledger_of_the_first_version_is_brought_up_to_date_by_a_run(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    schema = ROOT / "batchgen/ledger/schema"
    (cli.folder / "out/m").mkdir(parents=True)
    with closing(sqlite3.connect(cli.folder / "out/m/ledger.db")) as db:
        db.executescript((schema / "001.sql").read_text(encoding="utf-8"))
        db.execute("PRAGMA user_version = 1")
    cli.run("run", "m.yaml", code=0)
    assert cli.ask("out/m", "PRAGMA user_version") == [(len(list(schema.glob("*.sql"))),)]


def test_a_damaged_ledger_is_said_in_one_line(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.write("out/m/ledger.db", "this is no database\n" * 500)
    for command in ("run", "plan", "status", "jobs", "verify", "retry", "fetch", "serve"):
        said = cli.run(command, "m.yaml", code=4).stderr
        assert said == (
            "out/m/ledger.db is not a ledger, nor an SQLite database: put a copy back, or use another workspace\n"
        )


def test_a_dataset_that_can_not_be_written_where_it_is_wanted_is_a_mistake_of_one_line(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.run("run", "m.yaml", code=0)
    for place in ("m.yaml/below", "x" * 300):
        (line,) = cli.run("export", "m.yaml", place, "--format", "csv", code=2).stderr.splitlines()
        assert "can't be written" in line
        assert line.endswith("give another place")


def test_a_ledger_with_a_torn_page_is_refused_rather_than_trusted(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.run("run", "m.yaml", code=0)
    ledger = cli.folder / "out/m/ledger.db"
    data = bytearray(ledger.read_bytes())
    data[4096:-4096] = b"\xa5" * (len(data) - 8192)
    ledger.write_bytes(data)
    assert "out/m/ledger.db" in cli.run("run", "m.yaml", code=4).stderr


@pytest.mark.parametrize("place", ["afile", "afile/below"])
def test_a_workspace_that_can_not_be_made_ends_with_4_in_one_line(cli: Cli, place: str) -> None:
    cli.write("m.yaml", THREE)
    cli.write("afile", "I am a file.")
    done = cli.run("run", "m.yaml", "--quiet", "--workspace", place, code=4)
    (line,) = done.stderr.splitlines()
    assert place in line
    assert (cli.folder / "afile").read_text() == "I am a file."


def test_a_default_workspace_that_is_a_file_ends_with_4_in_one_line(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.write("out", "I am a file.")
    (line,) = cli.run("run", "m.yaml", "--quiet", code=4).stderr.splitlines()
    assert "out/m" in line


def test_a_provider_that_is_down_costs_patience_and_no_attempts(cli: Cli, closed_port: int) -> None:
    cli.env["APIYI_API_KEY"] = KEY
    cli.write(
        "m.yaml",
        f"provider: apiyi\nproviders: {{apiyi: {{base_url: 'http://127.0.0.1:{closed_port}/v1'}}}}\n"
        f"settings: {{patience: 1s}}\njobs:\n{listed(numbered(8))}",
    )
    done = cli.run("run", "m.yaml", code=3)
    assert "stopped early: apiyi has served nobody for" in done.stderr
    _assert_untouched(cli, "out/m", 8)
    outcomes = {one["outcome"] for job in cli.jobs("out/m") for one in job["attempts"]}
    assert outcomes == {"failed"}


def test_jobs_that_can_never_be_made_end_with_1_and_say_why(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "bad_request") as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(2))}")
        done = cli.run("run", "m.yaml", code=1)
        assert p.posts == 2
    assert cli.states("out/m") == {"failed": 2}
    assert "batchgen retry out/m --state failed && batchgen run m.yaml" in done.stderr
    assert {job["error"]["kind"] for job in cli.jobs("out/m")} == {"bad_request"}


def test_a_run_records_its_own_exit_code_in_the_ledger(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    cli.run("run", "m.yaml", "--limit", "1", code=3)
    cli.run("run", "m.yaml", code=0)
    assert cli.ask("out/m", "SELECT exit_code FROM runs ORDER BY id") == [(3,), (0,)]


def test_answers_go_to_stdout_and_words_for_people_to_stderr(cli: Cli) -> None:
    cli.write("m.yaml", THREE)
    assert cli.run("run", "m.yaml", code=0).stdout == ""
    for words in (("status", "m.yaml"), ("plan", "m.yaml"), ("verify", "m.yaml")):
        done = cli.run(*words, "--json", code=0)
        assert done.stderr == ""
        assert isinstance(json.loads(done.stdout), dict)
