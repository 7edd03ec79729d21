"""The demonstration that the README begins with, and the exact keys of every `--json` answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.conftest import ROOT, Cli, command_line

DEMO = str(ROOT / "jobs" / "demo.yaml")

STATES = ["pending", "running", "generated", "done", "failed", "refused", "held", "expired", "cancelled"]
JOB_KEYS = [
    "id",
    "state",
    "prompt",
    "model",
    "provider",
    "ratio",
    "cost",
    "not_before",
    "error",
    "warnings",
    "attempts",
    "outputs",
]
ATTEMPT_KEYS = [
    "number",
    "provider",
    "task_id",
    "gen_id",
    "request_id",
    "http_status",
    "outcome",
    "error",
    "started_at",
    "finished_at",
]
OUTPUT_KEYS = [
    "position",
    "url",
    "expires_at",
    "state",
    "path",
    "sha256",
    "bytes",
    "width",
    "height",
    "format",
]
ERROR_KEYS = ["kind", "code", "message"]


@dataclass(frozen=True)
class Finished:
    """The demo after its run: a command line in its folder, what the run said, and its jobs."""

    cli: Cli
    summary: str
    jobs: list[dict[str, Any]]

    def all(self, what: str) -> list[dict[str, Any]]:
        """The attempts or the outputs of all jobs."""
        return [one for job in self.jobs for one in job[what]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """The demo, run once for all tests of this file."""
    with command_line(tmp_path_factory.mktemp("demo")) as cli:
        done = cli.run("run", DEMO, code=1)
        yield Finished(cli, done.stderr, cli.jobs("out/demo"))


def test_the_demo_makes_at_least_twenty_different_pictures_that_all_decode(demo: Finished) -> None:
    seen = set()
    for output in demo.all("outputs"):
        path = demo.cli.folder / "out/demo" / output["path"]
        with Image.open(path) as image:
            image.load()
            assert image.size == (output["width"], output["height"])
            assert (image.format or "").lower() == output["format"].replace("jpg", "jpeg")
            seen.add(hashlib.sha256(image.convert("RGB").tobytes()).hexdigest())
        assert hashlib.sha256(path.read_bytes()).hexdigest() == output["sha256"]
        assert path.stat().st_size == output["bytes"]
    assert len(seen) == len(demo.all("outputs")) >= 20


def test_the_demo_shows_several_ratios_models_and_providers(demo: Finished) -> None:
    assert len({job["ratio"] for job in demo.jobs} - {None}) >= 5
    assert len({job["model"] for job in demo.jobs}) >= 5
    assert len({job["provider"] for job in demo.jobs}) >= 5
    assert len({(output["width"], output["height"]) for output in demo.all("outputs")}) >= 5


def test_the_demo_pictures_have_the_shape_their_ratio_asks_for(demo: Finished) -> None:
    for job in demo.jobs:
        if job["ratio"] is not None:
            width, height = map(int, job["ratio"].split(":"))
            for output in job["outputs"]:
                shape = output["width"] / output["height"]
                assert shape == pytest.approx(width / height, rel=0.03), job["id"]


def test_exactly_two_attempts_of_the_demo_meet_a_rate_limit_and_their_jobs_are_done(demo: Finished) -> None:
    limited = [job for job in demo.jobs if any(one["http_status"] == 429 for one in job["attempts"])]
    attempts = [one for job in limited for one in job["attempts"] if one["http_status"] == 429]
    assert [one["error"]["kind"] for one in attempts] == ["rate_limit", "rate_limit"]
    assert {job["state"] for job in limited} == {"done"}


def test_exactly_one_job_of_the_demo_is_refused_and_all_others_are_done(demo: Finished) -> None:
    assert [job["id"] for job in demo.jobs if job["state"] == "refused"] == ["refused-on-purpose"]
    assert demo.cli.states("out/demo") == {"done": len(demo.jobs) - 1, "refused": 1}


def test_the_summary_of_the_demo_names_the_refused_job_and_the_command_for_it(demo: Finished) -> None:
    lines = demo.summary.splitlines()
    assert any(line.startswith("  refused-on-purpose  refused: ") for line in lines)
    assert any(f"batchgen retry out/demo --state refused && batchgen run {DEMO}" in line for line in lines)


def test_everything_that_the_demo_made_verifies(demo: Finished) -> None:
    assert json.loads(demo.cli.run("verify", "out/demo", "--json", code=0).stdout) == {
        "checked": len(demo.all("outputs")),
        "missing": [],
        "changed": [],
        "unknown": [],
        "leftovers": [],
    }


def test_the_demo_run_again_sends_nothing(demo: Finished) -> None:
    before = demo.cli.json("status", "out/demo")["attempts"]
    assert "to send   0 requests" in demo.cli.run("run", DEMO, code=1).stderr
    assert demo.cli.json("status", "out/demo")["attempts"] == before == len(demo.all("attempts"))


def test_jobs_have_exactly_the_promised_keys_in_the_promised_order(demo: Finished) -> None:
    assert all(list(job) == JOB_KEYS for job in demo.jobs)
    assert all(list(one) == ATTEMPT_KEYS for one in demo.all("attempts"))
    assert all(list(one) == OUTPUT_KEYS for one in demo.all("outputs"))
    errors = [one["error"] for one in (*demo.jobs, *demo.all("attempts")) if one["error"] is not None]
    assert len(errors) == 4  # the refused job, its attempt, the two rate limits
    assert all(list(error) == ERROR_KEYS for error in errors)


def test_jobs_hold_the_promised_kinds_of_values(demo: Finished) -> None:
    for attempt in demo.all("attempts"):
        assert attempt["outcome"] in ("succeeded", "failed", "refused")
        assert (attempt["error"] is None) == (attempt["outcome"] == "succeeded")
        assert attempt["started_at"].endswith("Z")
        assert attempt["started_at"] <= attempt["finished_at"]
    for job in demo.jobs:
        assert [one["number"] for one in job["attempts"]] == list(range(1, len(job["attempts"]) + 1))
        assert [one["position"] for one in job["outputs"]] == list(range(len(job["outputs"])))
        assert (job["not_before"], job["warnings"].__class__) == (None, list)
    for output in demo.all("outputs"):
        assert output["state"] == "saved"
        assert output["path"].startswith("images/")
        assert (output["url"] is None) == (output["expires_at"] is None)
    assert any(output["url"] is None for output in demo.all("outputs")), "the demo has inline pictures too"
    assert any(attempt["task_id"] for attempt in demo.all("attempts"))
    assert any(attempt["gen_id"] for attempt in demo.all("attempts"))


def test_jobs_come_in_the_order_of_the_manifest(demo: Finished) -> None:
    text = (ROOT / "jobs" / "demo.yaml").read_text(encoding="utf-8")
    places = [text.index(f"- id: {job['id']}\n") for job in demo.jobs]
    assert places == sorted(places)


def test_status_has_exactly_the_promised_keys(demo: Finished) -> None:
    status = demo.cli.json("status", "out/demo")
    assert list(status) == [
        "jobs",
        "outputs",
        "attempts",
        "cost",
        "next_expiry",
        "expiring_within_24h",
        "providers",
        "unsettled",
    ]
    assert list(status["jobs"]) == ["total", *STATES]
    assert sum(status["jobs"][state] for state in STATES) == status["jobs"]["total"] == len(demo.jobs)
    assert status["outputs"] == {"remote": 0, "saved": len(demo.all("outputs")), "expired": 0, "bad": 0}
    assert (status["next_expiry"], status["expiring_within_24h"]) == (None, 0)
    assert set(status["providers"]) == {job["provider"] for job in demo.jobs}
    for traffic in status["providers"].values():
        assert list(traffic) == ["in_flight", "limit", "waiting_until", "reason", "cost"]
        assert traffic["in_flight"] == 0


def test_a_plan_has_exactly_the_promised_keys(demo: Finished) -> None:
    plan = demo.cli.json("plan", DEMO, "--workspace", "unused")
    assert list(plan) == ["jobs", "requests", "images", "cost", "seconds", "warnings"]
    assert plan["jobs"] == {"new": len(demo.jobs), "changed": 0, "unchanged": 0, "removed": 0}
    assert list(plan["cost"]) == ["estimate", "unpriced_models", "low", "high", "spent", "max_cost"]
    assert plan["images"] == len(demo.all("outputs"))
    assert not (demo.cli.folder / "unused").exists()
