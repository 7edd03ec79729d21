"""Nothing is paid for twice: run again, change the manifest, kill -9 in the middle, hold, retry, fetch."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from tests.acceptance.conftest import Cli, Simulated, listed, numbered, until

HEAD = "prompt,ratio\n"
ROWS = [f"a picture of a {thing},1:1\n" for thing in ("cat", "boat", "lamp", "tree")]


def test_a_finished_manifest_run_again_sends_no_request(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(5))}")
        cli.run("run", "m.yaml", code=0)
        asked = p.counts()["paths"]
        cli.run("run", "m.yaml", code=0)
        again = p.counts()["paths"]
    assert {path: n for path, n in again.items() if path != "/_counts"} == {
        path: n for path, n in asked.items() if path != "/_counts"
    }
    assert sum(n for path, n in asked.items() if path.endswith("/chat/completions")) == 5
    assert cli.json("status", "m.yaml")["attempts"] == 5
    assert cli.ask("out/m", "SELECT count(*), max(number) FROM attempts") == [(5, 1)]


@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_reordered_added_and_removed_rows_resend_nothing_that_stands(
    cli: Cli, provider: Simulated, kind: str
) -> None:
    with provider() as p:
        head = f"provider: tu-zi\n{p.section('tu-zi')}"

        def write(rows: list[str]) -> None:
            if kind == "csv":
                cli.write("rows.csv", HEAD + "".join(rows))
                cli.write("m.yaml", f"{head}jobs: rows.csv\n")
            else:
                items = (row.strip().split(",") for row in rows)
                jobs = "".join(f"  - {{prompt: {prompt}, ratio: {ratio}}}\n" for prompt, ratio in items)
                cli.write("m.yaml", f"{head}jobs:\n{jobs}")

        def sent(rows: list[str]) -> int:
            """POSTs of a run over these rows, and the order that `jobs` shows."""
            before = p.posts
            write(rows)
            cli.run("run", "m.yaml", code=0)
            assert [job["prompt"] for job in cli.jobs("out/m")] == [row.split(",")[0] for row in rows]
            return p.posts - before

        assert sent(ROWS) == 4
        assert sent(ROWS[::-1]) == 0
        assert sent(["a picture of a shoe,1:1\n", *ROWS]) == 1
        assert sent(ROWS[:2]) == 0
        assert sent(ROWS) == 0
        # Twice the same row is two pictures; one of them is there.
        assert sent([*ROWS, ROWS[0]]) == 1
    cli.run("verify", "out/m", code=0)


def test_a_changed_prompt_sends_that_job_alone_and_the_old_prompt_is_not_paid_again(
    cli: Cli, provider: Simulated
) -> None:
    with provider() as p:
        head = f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n"
        old = listed(numbered(4))
        new = old.replace("a picture of job-002", "a painting of job-002")
        cli.write("m.yaml", head + old)
        cli.run("run", "m.yaml", code=0)
        (first,) = cli.jobs("out/m", "--id", "job-002")[0]["outputs"]

        cli.write("m.yaml", head + new)
        assert cli.json("plan", "m.yaml")["jobs"] == {"new": 0, "changed": 1, "unchanged": 3, "removed": 0}
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 5
        (second,) = cli.jobs("out/m", "--id", "job-002")[0]["outputs"]
        assert second["sha256"] != first["sha256"]
        earlier = cli.jobs("out/m", "--id", "job-002", "--all")[0]["outputs"]
        assert {first["path"], second["path"]} == {output["path"] for output in earlier}

        cli.write("m.yaml", head + old)
        assert cli.json("plan", "m.yaml")["requests"] == 0
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 5
    assert cli.jobs("out/m", "--id", "job-002")[0]["outputs"] == [first]
    cli.run("verify", "out/m", code=0)


def test_another_provider_for_a_finished_batch_sends_nothing(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        section = p.section("tu-zi", "openai-chat")
        cli.write("m.yaml", f"{section}defaults: {{model: gpt-4o-image}}\njobs:\n{listed(numbered(3))}")
        cli.env["OPENAI_CHAT_API_KEY"] = "sk-test"
        cli.run("run", "m.yaml", "--provider", "tu-zi", code=0)
        cli.run("run", "m.yaml", "--provider", "openai-chat", code=0)
        assert p.posts == 3


def test_kill_9_in_the_middle_of_200_jobs_costs_no_picture_twice(cli: Cli, provider: Simulated) -> None:
    # So slow that a test which looks late still finds the run in its middle.
    with provider(latency="1s") as p:
        section = p.section("tu-zi", "apiyi", extra="limits: {concurrency: 12, requests_per_minute: 6000}")
        # tu-zi names its task at once and can be asked for it; apiyi, by JSON, tells nothing before the end.
        jobs = listed(numbered(130, "task"), provider="tu-zi") + listed(
            numbered(70, "blind"), provider="apiyi"
        )
        cli.write("m.yaml", f"{section}jobs:\n{jobs}")

        run = cli.start("run", "m.yaml")
        # More in flight than one provider takes: some are at the other one.
        until(lambda: p.counts()["billed"] >= 60 and p.counts()["in_flight"] >= 14, run)
        run.send_signal(signal.SIGKILL)
        cli.end(run, code=-signal.SIGKILL)
        killed = {job["id"]: job for job in cli.jobs("out/m")}
        states = Counter(job["state"] for job in killed.values())
        assert states["running"]
        assert states["done"] + states["generated"] >= 20
        assert states["pending"]

        settled = cli.run("run", "m.yaml", code=1)
        assert "batchgen retry out/m --state held" in settled.stderr
        held = {job["id"] for job in cli.jobs("out/m", "--state", "held")}
        assert cli.states("out/m") == {"done": 200 - len(held), "held": len(held)}
        # Held is at most what was in flight and can't be asked for: no task seen, or nobody to ask.
        running = {name for name, job in killed.items() if job["state"] == "running"}
        assert (
            set() < held <= {name for name in running if name[:5] == "blind" or _task(killed[name]) is None}
        )
        cli.run("retry", "out/m", "--state", "held", code=0)
        cli.run("run", "m.yaml", code=0)
        counts = p.counts()

    assert cli.states("out/m") == {"done": 200}
    cli.run("verify", "out/m", code=0)
    # A request that the kill caught before it left was held too: the provider has seen that one once.
    keys = dict(cli.ask("out/m", "SELECT idempotency_key, count(*) FROM attempts GROUP BY 1"))
    assert set(counts["repeated_keys"]) <= {key for key, n in keys.items() if n == 2}
    assert counts["posts"] == 200 + len(counts["repeated_keys"])
    assert len(counts["repeated_keys"]) <= len(held)
    for job in cli.jobs("out/m"):
        assert len(job["attempts"]) == (2 if job["id"] in held else 1), job
        if job["provider"] == "tu-zi" and (seen := _task(killed[job["id"]])) is not None:
            assert [one["task_id"] for one in job["attempts"]] == [seen]
            assert len(job["outputs"]) == 1


def _task(job: dict[str, list[dict[str, str | None]]]) -> str | None:
    """The task id of the newest attempt."""
    return job["attempts"][-1]["task_id"] if job["attempts"] else None


def test_kill_9_of_a_run_with_the_embedded_simulator_leaves_a_batch_that_a_run_completes(cli: Cli) -> None:
    cli.write(
        "m.yaml",
        "provider: openai\n"
        "providers: {openai: {base_url: simulator, simulate: {latency: 0.5, image_side: 64}}}\n"
        f"jobs:\n{listed(numbered(40))}",
    )
    run = cli.start("run", "m.yaml")
    until(lambda: cli.count("out/m", "SELECT count(*) FROM outputs WHERE state = 'saved'") >= 4, run)
    run.send_signal(signal.SIGKILL)
    cli.end(run, code=-signal.SIGKILL)
    cli.run("run", "m.yaml", code=0)
    assert cli.states("out/m") == {"done": 40}
    cli.run("verify", "out/m", code=0)


def test_without_download_a_run_ends_with_0_and_fetch_sends_no_request(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(6))}")
        cli.run("run", "m.yaml", "--no-download", code=0)
        assert cli.states("out/m") == {"generated": 6}
        status = cli.json("status", "out/m")
        assert status["outputs"]["remote"] == 6
        assert status["next_expiry"] is not None
        assert p.posts == 6
        cli.run("fetch", "out/m", code=0)
        assert p.posts == 6
    assert cli.states("out/m") == {"done": 6}
    cli.run("verify", "out/m", code=0)


def test_a_run_after_one_without_download_only_downloads(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(3))}")
        cli.run("run", "m.yaml", "--no-download", code=0)
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 3
    assert cli.states("out/m") == {"done": 3}


def test_a_request_cut_without_a_task_is_held_and_sent_again_only_on_request(
    cli: Cli, provider: Simulated
) -> None:
    with provider("--fault", "close_before_headers=1x") as p:
        cli.write("m.yaml", f"provider: apiyi\n{p.section('apiyi')}jobs:\n{listed(numbered(4))}")
        done = cli.run("run", "m.yaml", code=1)
        (held,) = cli.jobs("out/m", "--state", "held")
        assert held["id"] in done.stderr
        assert "batchgen retry out/m --state held && batchgen run m.yaml" in done.stderr
        assert held["attempts"][0]["outcome"] == "unknown"
        assert held["error"]["kind"] == "interrupted"

        cli.run("run", "m.yaml", code=1)
        assert p.posts == 4
        cli.run("retry", "out/m", code=0)
        cli.run("run", "m.yaml", code=1)
        assert p.posts == 4
        cli.run("retry", "out/m", "--state", "held", code=0)
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 5


def test_with_resend_a_request_cut_without_a_task_is_sent_again_by_the_same_run(
    cli: Cli, provider: Simulated
) -> None:
    with provider("--fault", "close_before_headers=1x") as p:
        cli.write("m.yaml", f"provider: apiyi\n{p.section('apiyi')}jobs:\n{listed(numbered(2))}")
        cli.run("run", "m.yaml", "--on-unknown", "resend", code=0)
        assert p.posts == 3
    assert sorted(one["outcome"] for job in cli.jobs("out/m") for one in job["attempts"]) == [
        "succeeded",
        "succeeded",
        "unknown",
    ]


def test_a_reply_cut_after_its_task_id_costs_no_second_request(cli: Cli, provider: Simulated) -> None:
    # The tasks are finished at once: the pause before a task is asked a second time is five seconds.
    with provider("--fault", "cut_after_task_id=2x", latency="0") as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(5))}")
        cli.run("run", "m.yaml", code=0)
        counts = p.counts()
    assert counts["faults"]["cut_after_task_id"] == 2
    assert counts["posts"] == 5
    assert cli.states("out/m") == {"done": 5}


def test_a_refused_job_is_asked_again_only_on_request(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "refusal=1x") as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(3))}")
        cli.run("run", "m.yaml", code=1)
        cli.run("retry", "out/m", code=0)
        cli.run("run", "m.yaml", code=1)
        assert p.posts == 3
        cli.run("retry", "out/m", "--state", "refused", code=0)
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 4
    attempts = [one["outcome"] for job in cli.jobs("out/m") for one in job["attempts"]]
    assert sorted(attempts) == ["refused", "succeeded", "succeeded", "succeeded"]


def test_a_deleted_image_is_named_by_verify_and_retry_of_its_job_pays_for_that_one_alone(
    cli: Cli, provider: Simulated
) -> None:
    with provider() as p:
        cli.write("m.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(3))}")
        cli.run("run", "m.yaml", code=0)
        lost = cli.jobs("out/m", "--id", "job-001")[0]["outputs"][0]["path"]
        (cli.folder / "out/m" / lost).unlink()
        assert json.loads(cli.run("verify", "out/m", "--json", code=1).stdout)["missing"] == [lost]
        cli.run("retry", "out/m", "--state", "done", "--id", "job-001", code=0)
        cli.run("run", "m.yaml", code=0)
        assert p.posts == 4
