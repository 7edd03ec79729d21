"""What a terminal shows: colours where they are wanted, a bar that is drawn over, and Tab that knows the words."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from tests.acceptance.conftest import LONG, QUICK, Cli, listed, numbered

COLOUR, CURSOR, BACK = "\x1b[3", "\x1b[2J", "\r "
REFUSED = "  - {id: odd, prompt: 'simulate:refusal'}\n"
BATCH = f"provider: tu-zi\nproviders: {{tu-zi: {{base_url: simulator, {QUICK}}}}}\njobs:\n"


def on_a_terminal(cli: Cli, *words: str, **env: str) -> str:
    """All that a command shows on a terminal, stdout and stderr as they come."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "batchgen", *words],
        cwd=cli.folder,
        env={**cli.env, "TERM": "xterm", **env},
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    with suppress(OSError):  # that is how a terminal whose other side is closed ends
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    process.wait(LONG)
    return shown.decode()


def test_colours_are_for_terminals_and_for_those_who_want_them(cli: Cli) -> None:
    cli.write("a.yaml", BATCH + REFUSED + listed(numbered(2)))
    cli.env.pop("NO_COLOR", None)
    run = on_a_terminal(cli, "run", "a.yaml")
    assert f"{COLOUR}3ma: 2 of 3 jobs done" in run
    assert f"{COLOUR}3m1 refused by the content policy" in run
    cli.write("b.yaml", "jobs: [{promt: x}]\n")
    for words in (("status", "a.yaml"), ("jobs", "a.yaml"), ("plan", "b.yaml")):
        assert COLOUR in on_a_terminal(cli, *words), words
        assert COLOUR not in on_a_terminal(cli, *words, NO_COLOR="1"), words
        assert COLOUR not in on_a_terminal(cli, *words, TERM="dumb"), words
        done = cli.run(*words)
        assert COLOUR not in done.stdout + done.stderr, words


def test_json_is_never_painted(cli: Cli) -> None:
    cli.write("a.yaml", BATCH + listed(numbered(1)))
    assert COLOUR not in on_a_terminal(cli, "plan", "a.yaml", "--json")
    on_a_terminal(cli, "run", "a.yaml")
    for command in ("status", "jobs"):
        assert COLOUR not in on_a_terminal(cli, command, "a.yaml", "--json")


def test_the_bar_is_for_terminals_that_can_draw_over_a_line_and_not_for_quiet(cli: Cli) -> None:
    cli.write("a.yaml", BATCH + listed(numbered(2)))
    assert "100% |" in on_a_terminal(cli, "run", "a.yaml", "--workspace", "bar")
    plain = on_a_terminal(cli, "run", "a.yaml", "--workspace", "plain", TERM="dumb")
    assert "% |" not in plain
    assert "2/2: 2 done" in plain
    quiet = on_a_terminal(cli, "run", "a.yaml", "--workspace", "quiet", "--quiet")
    assert "% |" not in quiet
    assert quiet.splitlines()[0].endswith("a: all 2 jobs done\x1b[0m")


def test_a_watch_clears_a_terminal_that_can_be_cleared(cli: Cli) -> None:
    cli.write("a.yaml", BATCH + listed(numbered(1)))
    cli.run("run", "a.yaml", code=0)
    assert CURSOR in on_a_terminal(cli, "status", "a.yaml", "--watch")
    assert CURSOR not in on_a_terminal(cli, "status", "a.yaml", "--watch", TERM="dumb")


def completed(cli: Cli, line: str) -> list[str]:
    """What bash is offered for the end of a line, each with its kind: `plain,run`."""
    words = line.split(" ")
    asked = {"_BATCHGEN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "batchgen"],
        cwd=cli.folder,
        env={**cli.env, **asked},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("batchgen re", ["plain,retry", "plain,reparse", "plain,report"]),
        ("batchgen run --no", ["plain,--no-download", "plain,--notify"]),
        ("batchgen run jobs/d", ["file,jobs/d"]),
        ("batchgen status out/", ["file,out/"]),
        ("batchgen status --workspace o", ["dir,o"]),
        ("batchgen export w d --format w", ["plain,webdataset"]),
        ("batchgen run m.yaml --night b", ["plain,bad"]),
        ("batchgen run m.yaml --provider api", ["plain,apiyi", "plain,apiqik"]),
        ("batchgen doctor tu", ["plain,tu-zi"]),
        ("batchgen retry w --state failed,re", ["plain,failed,refused"]),
        ("batchgen jobs w --error rate", ["plain,rate_limit"]),
        ("batchgen simulate --fault refusal_t", ["plain,refusal_text"]),
    ],
)
def test_tab_knows_commands_options_files_states_providers_and_formats(
    cli: Cli, line: str, offered: list[str]
) -> None:
    assert completed(cli, line) == offered


def test_tab_knows_the_providers_and_models_of_the_manifest_or_workspace_on_the_line(cli: Cli) -> None:
    cli.write("a.yaml", BATCH.replace("jobs:", "defaults: {model: my-own}\njobs:") + listed(["x"]))
    mine = "providers: {mine: {extends: tu-zi, base_url: simulator}}\n"
    cli.write("b.yaml", f"{mine}jobs: [{{prompt: x, provider: mine}}]\n")
    cli.run("run", "a.yaml", code=0)
    assert completed(cli, "batchgen run b.yaml --provider mi") == ["plain,mine"]
    for place in ("a.yaml", "out/a"):
        assert completed(cli, f"batchgen jobs {place} --model my") == ["plain,my-own"]
    cli.write("broken.yaml", "jobs: [")
    assert completed(cli, "batchgen run broken.yaml --provider tu") == ["plain,tu-zi"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_batchgen(cli: Cli, shell: str) -> None:
    cli.env["_BATCHGEN_COMPLETE"] = f"{shell}_source"
    script = cli.run(code=0).stdout
    assert f"{shell}_complete" in script
    assert "batchgen" in script
