"""The README is executable: its commands are run or looked up, its tables compared with the code.

The two set-up commands make an environment of their own and are run as they stand by `.ci/run`; here
only what they name is checked.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from PIL import Image

from batchgen.batch import run_exit_code
from batchgen.cli import COMMANDS, main
from batchgen.errors import UserError, WorkspaceError
from batchgen.ledger.records import Status
from batchgen.manifest.schema import JOB_KEYS, SettingsSection
from batchgen.model import END_STATES, JobState
from batchgen.providers.builtin import BUILTIN
from batchgen.stop import INTERRUPTED, StopSignal
from tests.acceptance.conftest import KEY, QUICK, ROOT, Cli, command_line

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.M | re.S)
SET_UP = [text.strip() for kind, text in BLOCKS if kind == "sh"][:2]
YAML = {text.splitlines()[0]: text for kind, text in BLOCKS if kind == "yaml"}
CATS = YAML["# cats.yaml"]
REHEARSED = f"providers: {{apiyi: {{base_url: simulator, {QUICK}}}}}\n"


def _commands() -> list[str]:
    """Every `batchgen ...` in a block or between backticks, without its comment."""
    shown = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    shown += re.findall(r"`(batchgen [^`]+)`", README)
    found = [line.partition("#")[0].strip() for line in shown]
    return sorted({line for line in found if line.startswith("batchgen ")})


def _table(head: str) -> list[list[str]]:
    """The cells of the table with this head, row by row."""
    rows = README.split(f"{head}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A command line in an empty folder."""
    with command_line(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("line", _commands())
def test_every_command_shown_exists_with_all_its_options(line: str) -> None:
    _, name, *words = shlex.split(line)
    assert name in COMMANDS
    command = main.get_command(click.Context(main), name)
    assert command is not None
    options = {option for param in command.params for option in param.opts}
    arguments = [param.human_readable_name for param in command.params if isinstance(param, click.Argument)]
    assert {word for word in words if word.startswith("--")} <= options
    if words and not words[0].startswith("-"):
        assert len(arguments) >= 1
    states = words[words.index("--state") + 1].split(",") if "--state" in words else []
    assert set(states) <= set(JobState)


def test_the_table_of_commands_lists_each_command_with_the_argument_it_takes() -> None:
    shown = {
        cells[0].strip("`").split()[1]: cells[0].strip("`").split()[2:]
        for cells in _table("| command | what it does |")
    }
    assert set(shown) == set(COMMANDS)
    for name, words in shown.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        required = [word for param in command.params if param.required for word in _as_shown(param, command)]
        assert words == required, name


def _as_shown(param: click.Parameter, command: click.Command) -> list[str]:
    """An argument by its name, an option with dots for what it takes."""
    return [param.opts[0], "…"] if isinstance(param, click.Option) else [param.make_metavar(click.Context(command))]


def test_the_first_set_up_command_installs_and_runs_the_demo() -> None:
    assert SET_UP[0] == (
        "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/batchgen run jobs/demo.yaml"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"batchgen": "batchgen.__main__:main"}
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in README
    assert (ROOT / "jobs/demo.yaml").is_file()


def test_the_second_set_up_command_runs_the_tests_and_is_what_ci_runs() -> None:
    assert SET_UP[1].endswith("-m pytest")
    extras = re.findall(r"\.\[(\w+)\]", SET_UP[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras
    assert set(extras) <= set(project["optional-dependencies"])
    assert BLOCKS[1][1].strip() == SET_UP[1]  # .ci/run takes the second block of the README


def test_the_first_batch_runs_as_shown_and_running_it_again_sends_nothing(cli: Cli) -> None:
    cli.write("cats.yaml", CATS + REHEARSED)
    assert cli.json("plan", "cats.yaml")["jobs"]["new"] == 2
    cli.run("run", "cats.yaml", code=0)
    assert "to send   0 requests" in cli.run("run", "cats.yaml", code=0).stderr
    assert {path.name for path in (cli.folder / "out/cats").iterdir()} >= {"ledger.db", "images", "run.log"}
    assert cli.json("verify", "cats.yaml")["checked"] == 2


def test_the_shards_shown_become_one_batch_that_is_done(cli: Cli) -> None:
    cli.write("cats.yaml", CATS + REHEARSED)
    (block,) = (text for kind, text in BLOCKS if kind == "sh" and "--shard " in text)
    for line in block.splitlines():
        last = cli.run(*shlex.split(line, comments=True)[1:], code=0)
    assert "to send   0 requests" in last.stderr
    assert cli.json("verify", "cats.yaml")["checked"] == 2


def test_the_tour_is_ten_lines_that_run_one_after_the_other(cli: Cli) -> None:
    section = README.split("## A tour in ten lines\n", 1)[1].split("\n## ", 1)[0]
    ((_, text),) = re.findall(r"^```(sh)\n(.*?)^```$", section, flags=re.M | re.S)
    lines = [shlex.split(line, comments=True)[1:] for line in text.splitlines()]
    assert len(lines) == 10
    for words in lines:
        cli.run(*words, code=0)
    assert len(cli.jobs("first.yaml")) > 3
    assert (cli.folder / "first-dataset/metadata.jsonl").is_file()
    assert (cli.folder / "out/first.rehearsal/ledger.db").is_file()


def test_the_line_for_bash_makes_tab_complete_and_each_shell_has_one(cli: Cli) -> None:
    lines = re.findall(r"^.*_BATCHGEN_COMPLETE=(\w+)_source batchgen.*$", README, flags=re.M)
    assert lines == ["bash", "zsh", "fish"]
    (line,) = re.findall(r'^(eval "\$\(_BATCHGEN_COMPLETE=bash_source.*?)  ', README, flags=re.M)
    program = cli.folder / "batchgen"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m batchgen "$@"\n')
    program.chmod(0o755)
    script = f'PATH="$PWD:$PATH"\n{line}\nCOMP_WORDS=(batchgen pl); COMP_CWORD=1\n_batchgen_completion batchgen\n'
    done = subprocess.run(
        ["bash", "-c", f'{script}echo "${{COMPREPLY[@]}}"'],
        cwd=cli.folder,
        env=cli.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["plan"]


def test_the_files_that_a_new_dialect_touches_are_there() -> None:
    section = README.split("### A provider of your own", 1)[1].split("\n### ", 1)[0]
    paths = re.findall(r"`(batchgen/[\w/]+\.py)`", section)
    assert len(paths) == 6
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_the_datasets_and_reports_shown_are_made_as_shown(cli: Cli) -> None:
    cli.write("cats.yaml", CATS + REHEARSED)
    cli.run("run", "cats.yaml", code=0)
    shown = [shlex.split(line)[1:] for line in _commands() if line.startswith("batchgen export out/cats")]
    assert len(shown) == 3
    for words in shown:
        cli.run(*words, code=0)
        assert (cli.folder / words[2]).exists()
    reports = [shlex.split(line)[1:] for line in _commands() if line.startswith("batchgen report out/cats")]
    assert len(reports) == 2
    for words in reports:
        cli.run(*words, code=0)
        assert (cli.folder / "out/cats/report.html").exists()


def test_the_first_batch_asks_for_the_variable_that_the_readme_exports(cli: Cli) -> None:
    cli.write("cats.yaml", CATS)
    (variable,) = re.findall(r"^export (\w+)=", README, flags=re.M)
    assert variable in cli.run("run", "cats.yaml", code=2).stderr
    cli.env[variable] = KEY
    assert cli.json("plan", "cats.yaml")["warnings"] == []


def test_the_mistake_shown_is_what_that_mistake_looks_like(cli: Cli) -> None:
    head, _, last = CATS.rpartition("prompt:")
    cli.write("cats.yaml", f"{head}promt:{last}")
    (shown,) = re.findall(r"`(cats\.yaml:[^`]+)`", README)
    assert shown in cli.run("plan", "cats.yaml", code=2).stderr.splitlines()


def test_somebody_elses_spreadsheet_is_taken_as_it_is(cli: Cli) -> None:
    shutil.copy(ROOT / "jobs/prompts.csv", cli.folder)
    cli.write("sheet.yaml", YAML["# somebody else's spreadsheet, as it is"])
    assert cli.json("plan", "sheet.yaml")["jobs"]["new"] == 5


def test_the_matrix_shown_makes_the_jobs_that_it_names(cli: Cli) -> None:
    cli.write("many.yaml", YAML["# many of one"] + REHEARSED)
    cli.run("run", "many.yaml", code=0)
    ids = [job["id"] for job in cli.jobs("many.yaml")]
    assert ids[0] == "poster+fox+1x1+flat"
    assert len(ids) == 8


def test_the_edits_shown_follow_each_other(cli: Cli) -> None:
    cli.write("edits.yaml", YAML["# edits of edits"] + REHEARSED.replace("apiyi", "tu-zi"))
    cli.run("run", "edits.yaml", code=0)
    attempts = [job["attempts"][0] for job in cli.jobs("edits.yaml")]
    assert all(one["finished_at"] <= two["started_at"] for one, two in pairwise(attempts))


def test_the_store_shown_is_taken(cli: Cli) -> None:
    cli.write("bucket.yaml", YAML["# images in a bucket"] + "provider: simulator\njobs: [{prompt: a cat}]\n")
    assert cli.json("plan", "bucket.yaml")["jobs"]["new"] == 1


def test_the_list_of_providers_shown_has_a_model_for_each_and_may_be_rehearsed(cli: Cli) -> None:
    cli.write("both.yaml", YAML["# somebody else takes over"])
    cli.run("run", "both.yaml", "--rehearse", code=0)
    cli.env |= {"APIYI_API_KEY": KEY, "APIYI_API_KEY_2": "sk-test-another", "TUZI_API_KEY": KEY}
    assert cli.json("plan", "both.yaml")["warnings"] == []
    del cli.env["APIYI_API_KEY_2"]
    assert cli.json("plan", "both.yaml")["warnings"] == [
        "APIYI_API_KEY_2 of provider 'apiyi' is not set: all goes with APIYI_API_KEY"
    ]


def test_the_provider_of_ones_own_is_one(cli: Cli) -> None:
    cli.write("mine.yaml", YAML["# mine.yaml"])
    plan = cli.json("plan", "mine.yaml")
    assert (plan["cost"]["estimate"], plan["cost"]["unpriced_models"]) == (0.02, [])
    assert "MY_KEY" in plan["warnings"][0]
    assert cli.json("providers", "mine.yaml")["mine"]["limits"]["concurrency"] == 16
    cli.run("run", "mine.yaml", "--rehearse", code=0)


def test_the_python_example_runs_and_prints_a_line_a_job(cli: Cli) -> None:
    (script,) = (text for kind, text in BLOCKS if kind == "python")
    cli.write("cats.yaml", CATS + REHEARSED)
    cli.write("example.py", script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=cli.folder,
        env=cli.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("boat done ['images/boat.")


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    rows = {int(code): meaning for code, meaning in _table("| code | when |")}
    assert sorted(rows) == [0, 1, 2, 3, 4, 130]
    assert {UserError.exit_code: "command line", WorkspaceError.exit_code: "workspace"}.items() <= {
        code: word
        for code, meaning in rows.items()
        for word in ("command line", "workspace")
        if word in meaning
    }.items()
    for state in JobState:
        code = _run_code(state, interrupted=False)
        if state in END_STATES:
            assert f"`{state}`" in rows[code], state
        else:
            assert code == 3
            assert _run_code(state, interrupted=True) == INTERRUPTED
    assert set(re.findall(r"`(--[a-z-]+)", rows[3])) == {"--limit", "--id", "--stop-at"}


def _run_code(state: JobState, *, interrupted: bool) -> int:
    stop = StopSignal()
    if interrupted:
        stop.drain()
    status = Status(
        jobs={state: 1},
        outputs={},
        attempts=1,
        cost=0.0,
        next_expiry=None,
        expiring_within_24h=0,
        providers={},
    )
    return run_exit_code(status, download=True, stop=stop)


def test_the_table_of_job_keys_names_keys_that_exist() -> None:
    keys = {key for cells in _table("| job key | meaning |") for key in re.findall(r"`(\w+)`", cells[0])}
    assert keys <= set(JOB_KEYS)
    assert {"prompt", "id", "provider", "ratio", "references", "n"} <= keys


def test_the_settings_named_are_settings() -> None:
    sentence = README.split("`settings` takes ", 1)[1].split(". ", 1)[0]
    names = set(re.findall(r"`(\w+)`", sentence))
    assert names <= set(SettingsSection.model_fields)
    assert "on_unknown" in names


def test_the_table_of_providers_lists_each_profile_with_its_endpoint() -> None:
    rows = {cells[0].strip("`"): cells[1] for cells in _table("| profile | endpoint | speciality |")}
    assert set(rows) == set(BUILTIN)
    for name, endpoint in rows.items():
        assert endpoint.startswith(BUILTIN[name].endpoint.value)
        assert ("streamed" in endpoint) == (BUILTIN[name].stream and name != "simulator")


def test_the_prices_shown_are_taken_and_leave_nothing_unpriced(cli: Cli) -> None:
    job = "jobs: [{prompt: a cat, model: my-model, quality: high, ratio: '3:2'}]"
    cli.write("priced.yaml", f"provider: openai\n{YAML['# prices in full']}{job}\n".replace("my-model", "gpt-image-1"))
    cost = cli.json("plan", "priced.yaml")["cost"]
    assert (cost["estimate"], cost["max_cost"], cost["unpriced_models"]) == (0.25, 25, [])


def test_the_pictures_shown_are_there_and_small_and_have_words_for_those_who_cannot_see_them() -> None:
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README)
    assert [Path(path).name for _, path in shown] == ["dashboard.png", "report.png"]
    for words, path in shown:
        assert len(words) > 50
        assert 10_000 < (ROOT / path).stat().st_size < 200_000
        with Image.open(ROOT / path) as picture:
            assert picture.size[0] == 960
