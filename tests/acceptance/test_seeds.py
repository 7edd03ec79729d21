"""Every example in `jobs/` runs without a key, in the way that its own comment tells the user."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.conftest import ROOT, Cli

EXAMPLES = sorted(path.name for path in (ROOT / "jobs").iterdir() if path.suffix in (".yaml", ".jsonl"))

BY_OPTION = ("prompts.yaml", "prompts.jsonl")
"""Without a `providers` section of their own: `--provider simulator`."""


def _rehearsed(text: str) -> str:
    """The example with its simulator switched on as its comment says."""
    text = re.sub(
        r"^( *)# (providers:|  [a-z-]+: \{base_url: simulator\}|base_url: simulator)$",
        r"\1\2",
        text,
        flags=re.M,
    )
    return re.sub(r"base_url: https://.*", "base_url: simulator", text)


@pytest.fixture
def examples(cli: Cli) -> Path:
    """A copy of `jobs/` with every simulator switched on."""
    folder = cli.folder / "jobs"
    shutil.copytree(ROOT / "jobs", folder)
    for path in folder.glob("*.yaml"):
        path.write_text(_rehearsed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "demo.yaml"])
def test_an_example_is_done_to_its_last_job_at_the_simulator(cli: Cli, examples: Path, name: str) -> None:
    words = ("--provider", "simulator") if name in BY_OPTION else ()
    cli.run("run", f"jobs/{name}", *words, code=0)
    workspace = f"out/{Path(name).stem}"
    jobs = cli.jobs(workspace)
    assert {job["state"] for job in jobs} == {"done"}
    for job in jobs:
        for output in job["outputs"]:
            with Image.open(cli.folder / workspace / output["path"]) as image:
                image.load()
    cli.run("verify", workspace, code=0)


@pytest.mark.parametrize("name", ["tu-zi.yaml", "modelverse.yaml", "prompts.jsonl"])
def test_an_example_for_a_real_provider_is_rehearsed_as_it_stands_without_a_key(cli: Cli, name: str) -> None:
    shutil.copytree(ROOT / "jobs", cli.folder / "jobs")
    told = cli.run("run", f"jobs/{name}", "--rehearse", code=0).stderr
    assert "nothing was sent to a provider, and nothing was paid" in told


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_as_it_stands_has_no_mistake(cli: Cli, name: str) -> None:
    plan = cli.json("plan", str(ROOT / "jobs" / name))
    assert plan["jobs"]["new"] > 0
    # What it warns of is the key alone: every ratio and size is one that the provider takes.
    assert [warning for warning in plan["warnings"] if "environment variable" not in warning] == []


def test_there_is_an_example_for_every_built_in_provider(cli: Cli) -> None:
    text = "".join((ROOT / "jobs" / name).read_text(encoding="utf-8") for name in EXAMPLES)
    for name in cli.json("providers"):
        assert re.search(rf"^provider: {name}$|--provider {name}\b", text, flags=re.M), name
