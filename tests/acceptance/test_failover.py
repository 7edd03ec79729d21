"""Lists of providers: who takes over when the first is out of credit, down or can't serve, and what is paid."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal

from tests.acceptance.conftest import KEY_VARIABLES, ROOT, Cli, listed, numbered, until
from tests.acceptance.cutting_provider import Cutting, Face

SATURATED = (503, '{"error": {"message": "upstream is overloaded", "type": "new_api_error"}}')
BROKEN = (500, '{"error": {"message": "broken", "type": "server_error"}}')
SPENT = (403, '{"error": {"message": "no money left", "code": "insufficient_user_quota"}}')
NO_MODEL = (404, '{"error": {"message": "no such model", "code": "model_not_found"}}')
REFUSED = (400, '{"error": {"message": "rejected by the safety system", "code": "moderation_blocked"}}')


def manifest(cli: Cli, first: Cutting, second: Cutting, jobs: str, *, settings: str = "", model: str = "m") -> None:
    """A batch for two providers, each with a key of its own."""
    cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
    limits = "limits: {concurrency: 4, requests_per_minute: 60000}"
    cli.write(
        "m.yaml",
        f"provider: [apiyi, tu-zi]\ndefaults: {{model: {model}}}\nproviders:\n"
        f"  apiyi: {{base_url: '{first.url}', {limits}}}\n"
        f"  tu-zi: {{base_url: '{second.url}', stream: false, {limits}}}\n"
        f"settings: {{{settings}}}\njobs:\n{jobs}",
    )


def by_provider(cli: Cli, outcome: str = "succeeded") -> dict[str, int]:
    """Attempts with that outcome by provider."""
    query = f"SELECT provider, count(*) FROM attempts WHERE outcome = '{outcome}' GROUP BY provider"
    return dict(cli.ask("out/m", query))


def test_out_of_credit_in_the_middle_the_next_provider_does_the_rest_and_nothing_is_paid_twice(cli: Cli) -> None:
    served = itertools.chain(itertools.repeat(None, 6), itertools.repeat(SPENT))
    with Cutting(Face.BLIND, statuses=served) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(30)))
        done = cli.run("run", "m.yaml", code=0)
        assert by_provider(cli) == {"apiyi": 6, "tu-zi": 24}
        # Four places: at most four requests met the empty account.
        assert first.total <= 6 + 4
        assert second.total == 24
        assert max(second.counted().values()) == 1
    assert "apiyi is out of credit (no money left): 24 jobs went to tu-zi" in done.stderr
    reasons = {name: one["reason"] for name, one in cli.json("status", "out/m")["providers"].items()}
    assert reasons == {"apiyi": "stopped: out of credit (no money left); 24 jobs went to tu-zi", "tu-zi": None}
    jobs = cli.jobs("out/m")
    assert {job["state"] for job in jobs} == {"done"}
    assert all(job["attempts"][-1]["provider"] == job["provider"] for job in jobs)


def test_a_killed_batch_goes_on_at_either_provider_and_pays_for_each_job_once(cli: Cli) -> None:
    served = itertools.chain(itertools.repeat(None, 4), itertools.repeat(SPENT))
    with Cutting(Face.BLIND, statuses=served) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(30)))
        second.statuses = second.hold(after=6)
        run = cli.start("run", "m.yaml")
        until(lambda: second.total == 6 + 4, run)
        run.send_signal(signal.SIGKILL)
        cli.end(run, code=-signal.SIGKILL)
        second.release()
        cli.run("run", "m.yaml", code=1)
        # What was in flight at the kill may have been billed: it is held, and goes nowhere by itself.
        states = cli.states("out/m")
        assert set(states) == {"done", "held"}
        paid = first.counted() + second.counted()
        assert all(second.counted()[prompt] <= 1 for prompt in paid)
        held = cli.jobs("out/m", "--state", "held")
        assert 1 <= len(held) <= 4
        assert {job["attempts"][-1]["provider"] for job in held} == {"tu-zi"}
        assert all(second.counted()[job["prompt"]] == 1 for job in held)
        done = [job for job in cli.jobs("out/m") if job["state"] == "done"]
        assert all(sum(a["outcome"] == "succeeded" for a in job["attempts"]) == 1 for job in done)
    cli.run("verify", "out/m", code=0)


def test_a_provider_that_serves_nobody_past_its_patience_leaves_its_jobs_to_the_next(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(SATURATED)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(20)), settings="patience: 1s")
        done = cli.run("run", "m.yaml", code=0)
        assert first.total <= 12
        assert second.total == 20
    assert by_provider(cli) == {"tu-zi": 20}
    assert "apiyi has served nobody for" in done.stderr
    assert "20 jobs went to tu-zi" in done.stderr


def test_both_out_of_credit_the_run_leaves_with_exit_3_and_says_why_of_both(cli: Cli) -> None:
    spent = itertools.repeat(SPENT)
    with Cutting(Face.BLIND, statuses=spent) as first, Cutting(Face.BLIND, statuses=spent) as second:
        manifest(cli, first, second, listed(numbered(20)))
        done = cli.run("run", "m.yaml", code=3)
        assert first.total <= 4
        assert second.total <= 4
    assert "apiyi is out of credit (no money left); tu-zi is out of credit (no money left)" in done.stderr
    assert cli.states("out/m") == {"pending": 20}
    assert cli.ask("out/m", "SELECT sum(tries) FROM jobs") == [(0,)]


def test_a_limit_is_the_reason_to_stop_and_not_the_provider_that_another_stands_in_for(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(SPENT)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(20)))
        done = cli.run("run", "m.yaml", "--limit", "5", code=3)
        assert second.total == 5
    assert "stopped early: --limit 5 was reached\n" in done.stderr
    assert cli.states("out/m") == {"pending": 15, "done": 5}


def test_a_limit_finishes_what_went_on_to_the_next_provider_and_begins_nothing_else(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(NO_MODEL)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(9)))
        cli.run("run", "m.yaml", "--limit", "3", code=3)
        assert (first.total, second.total) == (3, 3)
    assert [job["state"] for job in cli.jobs("out/m")] == ["done"] * 3 + ["pending"] * 6


def test_a_limit_waits_for_all_that_it_began_when_none_of_it_is_in_flight(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=iter([BROKEN] * 2)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(9)))
        cli.run("run", "m.yaml", "--limit", "2", code=3)
        assert (first.total, second.total) == (4, 0)
    assert [job["state"] for job in cli.jobs("out/m")] == ["done"] * 2 + ["pending"] * 7


def test_a_job_whose_model_the_first_does_not_have_goes_to_the_next_and_the_others_stay(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=iter([NO_MODEL])) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(8)), settings="concurrency: 1")
        done = cli.run("run", "m.yaml", code=0)
    assert by_provider(cli) == {"apiyi": 7, "tu-zi": 1}
    assert "apiyi could not serve them: 1 job went to tu-zi" in done.stderr


def test_a_model_that_nobody_has_fails_with_the_word_of_the_last_one(cli: Cli) -> None:
    none = itertools.repeat(NO_MODEL)
    with Cutting(Face.BLIND, statuses=none) as first, Cutting(Face.BLIND, statuses=none) as second:
        manifest(cli, first, second, listed(numbered(3)))
        cli.run("run", "m.yaml", code=1)
    (failed, *_) = cli.jobs("out/m")
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "unknown_model")
    assert [attempt["provider"] for attempt in failed["attempts"]] == ["apiyi", "tu-zi"]


def test_what_the_content_policy_refuses_is_never_tried_elsewhere(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(REFUSED)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(4)))
        cli.run("run", "m.yaml", code=1)
        assert second.total == 0
    assert cli.states("out/m") == {"refused": 4}


def test_a_request_that_was_cut_is_held_and_not_sent_to_the_next_provider(cli: Cli) -> None:
    jobs = "".join(f"  - {{prompt: 'picture {number} at:request '}}\n" for number in range(3))
    with Cutting(Face.BLIND) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, jobs)
        cli.run("run", "m.yaml", code=1)
        assert second.total == 0
    assert cli.states("out/m") == {"held": 3}


def test_a_further_provider_without_its_key_is_a_warning_and_the_first_one_is_an_error(cli: Cli) -> None:
    with Cutting(Face.BLIND, statuses=itertools.repeat(SPENT)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(4)))
        del cli.env["TUZI_API_KEY"]
        plan = json.loads(cli.run("plan", "m.yaml", "--json", code=0).stdout)
        assert plan["warnings"] == [
            "the environment variable TUZI_API_KEY is not set: no job can go on to 'tu-zi' after those before it"
        ]
        done = cli.run("run", "m.yaml", code=3)
        assert "tu-zi has no key (TUZI_API_KEY is not set)" in done.stderr
        assert second.total == 0
        del cli.env["APIYI_API_KEY"]
        done = cli.run("run", "m.yaml", code=2)
        assert "provider 'apiyi' needs the environment variable APIYI_API_KEY" in done.stderr


def test_the_example_is_finished_by_the_second_provider_with_its_own_model(cli: Cli) -> None:
    shutil.copytree(ROOT / "jobs", cli.folder / "jobs")
    done = cli.run("run", "jobs/failover.yaml", code=0)
    jobs = cli.jobs("out/failover")
    assert {(job["provider"], job["model"]) for job in jobs} == {
        ("apiyi", "gpt-image-2-vip"),
        ("tu-zi", "gpt-image-1-vip"),
    }
    moved = sum(job["provider"] == "tu-zi" for job in jobs)
    assert re.search(rf"apiyi is out of credit \(.*\): {moved} jobs? went to tu-zi", done.stderr)
    posts = [json.loads(line) for line in (cli.folder / "out/failover/simulator.jsonl").read_text().split("\n") if line]
    # One request met the empty account; every job was paid once.
    assert sum("post" in post for post in posts) == len(jobs) + 1
    cli.run("verify", "out/failover", code=0)


def test_each_provider_is_asked_for_its_own_model(cli: Cli) -> None:
    models = "{apiyi: gpt-image-2-all, tu-zi: gpt-4o-image}"
    with Cutting(Face.BLIND, statuses=itertools.repeat(SPENT)) as first, Cutting(Face.BLIND) as second:
        manifest(cli, first, second, listed(numbered(3)), model=models)
        cli.run("run", "m.yaml", code=0)
    assert {(job["provider"], job["model"]) for job in cli.jobs("out/m")} == {("tu-zi", "gpt-4o-image")}
    assert len(cli.jobs("out/m", "--model", "gpt-4o*")) == 3


def test_adding_a_second_provider_or_changing_its_model_makes_nothing_anew(cli: Cli) -> None:
    with Cutting(Face.BLIND) as first, Cutting(Face.BLIND) as second:
        jobs = "".join(f"  - {{prompt: picture {number}}}\n" for number in range(4))
        manifest(cli, first, second, jobs, model="gpt-image-2-all")
        both = (cli.folder / "m.yaml").read_text()
        cli.write("m.yaml", both.replace("provider: [apiyi, tu-zi]", "provider: apiyi"))
        cli.run("run", "m.yaml", code=0)
        models = "{tu-zi: gpt-4o-image, apiyi: gpt-image-2-all}"
        for text in (both, both.replace("model: gpt-image-2-all", f"model: {models}")):
            cli.write("m.yaml", text)
            assert cli.json("plan", "m.yaml")["jobs"] == {"new": 0, "changed": 0, "unchanged": 4, "removed": 0}
            cli.run("run", "m.yaml", code=0)
        assert first.total == 4
        assert second.total == 0
