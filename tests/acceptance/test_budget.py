"""A budget holds whatever happens: counted at the provider, under faults, across kills, over several runs."""

from __future__ import annotations

import shutil

from batchgen.providers.prices import exact
from tests.acceptance.conftest import QUICK, ROOT, Cli, Provider, Simulated, listed, numbered, until

PRICE = "prices: {gpt-image-1-vip: 0.03}"
FAULTS = [
    word
    for fault in ("rate_limit=10%", "cut_body=10%", "cloudflare_524=5%", "refusal_text=5%", "server_error=5%")
    for word in ("--fault", fault)
]


def manifest(p: Provider, jobs: int, *, max_cost: str = "") -> str:
    """Jobs at a provider that costs three cents an image."""
    budget = f"settings: {{max_cost: {max_cost}, on_unknown: resend}}\n" if max_cost else ""
    return f"provider: tu-zi\n{p.section('tu-zi', extra=PRICE)}{budget}jobs:\n{listed(numbered(jobs))}"


def paid(p: Provider) -> int:
    """What the provider bills, in cents."""
    counts = p.counts()
    return 3 * max(int(counts["images"]), int(counts["billed"]))


def test_a_budget_is_never_exceeded_with_sixteen_at_once_and_faults(cli: Cli, provider: Simulated) -> None:
    with provider(*FAULTS) as p:
        cli.write("a.yaml", manifest(p, 60, max_cost="0.75"))
        done = cli.run("run", "a.yaml", "--concurrency", "16", code=3)
        assert 0 < paid(p) <= 75
    assert "the budget is reached" in done.stderr
    status = cli.json("status", "a.yaml")
    assert exact(status["cost"] + status["unsettled"]["cost"]) <= exact(0.75)
    assert exact(status["cost"]) == 30_000 * status["outputs"]["saved"]
    assert status["providers"]["tu-zi"]["cost"] == status["cost"]
    assert status["jobs"]["pending"] > 0


def test_without_faults_all_of_the_budget_is_used(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("a.yaml", manifest(p, 9, max_cost="0.21"))
        cli.run("run", "a.yaml", "--concurrency", "16", code=3)
        assert (paid(p), p.posts) == (21, 7)
        cli.run("run", "a.yaml", code=3)
        assert p.posts == 7, "a second run has nothing left to spend"
        cli.run("run", "a.yaml", "--max-cost", "0.27", code=0)
    assert cli.json("status", "a.yaml")["cost"] == 0.27


def test_answers_with_more_images_than_asked_for_stay_within_the_budget(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        section = p.section("apiqik", extra="prices: {gpt-image-1.5: 0.03}")
        text = f"provider: apiqik\nsettings: {{max_cost: 0.20}}\n{section}jobs:\n{listed(numbered(9))}"
        cli.write("a.yaml", text)
        cli.run("run", "a.yaml", "--concurrency", "16", code=3)
        assert (p.posts, p.counts()["images"]) == (3, 6)
    assert cli.json("status", "a.yaml")["cost"] == 0.18


def test_a_kill_in_mid_flight_does_not_give_the_budget_back(cli: Cli, provider: Simulated) -> None:
    with provider("--fault", "rate_limit=20%", latency="300ms") as p:
        cli.write("a.yaml", manifest(p, 30, max_cost="0.48"))
        for wave in (1, 2):
            run = cli.start("run", "a.yaml", "--concurrency", "4")
            until(lambda wave=wave: p.counts()["billed"] >= 5 * wave, run)  # type: ignore[misc]  # mypy infers no lambda defaults
            run.kill()
            run.communicate()
        cli.run("run", "a.yaml", "--concurrency", "16", code=3)
        assert 0 < paid(p) <= 48
    status = cli.json("status", "a.yaml")
    assert exact(status["cost"] + status["unsettled"]["cost"]) <= exact(0.48)


def test_what_was_generated_before_a_price_was_known_counts_once_there_is_one(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("a.yaml", manifest(p, 2).replace(f", {PRICE}", ""))
        cli.run("run", "a.yaml", code=0)
        assert cli.json("status", "a.yaml")["cost"] == 0
        cli.run("run", "a.yaml", "--max-cost", "1", code=0)  # nothing is left to send, so nothing needs a price
        cli.json("plan", "a.yaml", "--max-cost", "1")
        cli.write("a.yaml", manifest(p, 5, max_cost="0.09"))
        cli.run("run", "a.yaml", code=3)
        assert p.posts == 3
    assert cli.json("status", "a.yaml")["cost"] == 0.09
    assert [job["cost"] for job in cli.jobs("a.yaml")] == [0.03, 0.03, 0.03, None, None]


def test_an_unknown_price_under_a_budget_is_told_before_anything_is_sent(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("a.yaml", manifest(p, 3, max_cost="5").replace(f", {PRICE}", ""))
        for command in ("plan", "run"):
            (line,) = cli.run(command, "a.yaml", code=2).stderr.splitlines()
            assert line.startswith("a.yaml: max_cost can't be kept: ")
            assert "model 'gpt-image-1-vip' of provider 'tu-zi' has no price" in line
            assert "write providers.tu-zi.prices: {gpt-image-1-vip: 0.03}" in line
        assert p.posts == 0
        cli.run("run", "a.yaml", "--max-cost", "lots", code=2)


def test_a_plan_says_what_is_spent_and_that_the_rest_may_not_do(cli: Cli, provider: Simulated) -> None:
    with provider() as p:
        cli.write("a.yaml", manifest(p, 9, max_cost="0.21"))
        cli.run("run", "a.yaml", code=3)
        plan = cli.json("plan", "a.yaml")
        text = cli.run("plan", "a.yaml").stdout
    assert (plan["requests"], plan["images"]) == (2, 2)
    assert plan["cost"] == {
        "estimate": 0.06,
        "unpriced_models": [],
        "low": 0.06,
        "high": 0.06,
        "spent": 0.21,
        "max_cost": 0.21,
    }
    assert any("the run may stop early (exit code 3)" in warning for warning in plan["warnings"])
    assert "budget    0.21 for the whole batch; 0.21 is spent or may have been billed" in text
    assert text.splitlines()[-1].split() == ["tu-zi", "gpt-image-1-vip", "2", "2", "2", "0.06"]


def test_the_example_stops_at_its_budget_and_goes_on_with_a_higher_one(cli: Cli) -> None:
    shutil.copytree(ROOT / "jobs", cli.folder / "jobs")
    plan = cli.json("plan", "jobs/budget.yaml")
    assert (plan["images"], plan["cost"]["estimate"], plan["warnings"]) == (7, 0.22, [])
    cli.run("run", "jobs/budget.yaml", "--max-cost", "0.10", code=3)
    assert 0 < cli.json("status", "jobs/budget.yaml")["cost"] <= 0.10
    cli.run("run", "jobs/budget.yaml", code=0)
    costs = {job["id"]: job["cost"] for job in cli.jobs("jobs/budget.yaml")}
    assert costs == {"teapot": 0.03, "kite": 0.06, "harbour": 0.06, "draft": 0.01, "orchard": 0.06}


ROUTE = """
provider: [apiyi, tu-zi]
providers:
  apiyi: {base_url: simulator, prices: {m: 0.02}, simulate: {latency: 0, image_side: 64, faults: {quota: 100%}}}
  tu-zi: {base_url: simulator, prices: {m: 0.05}, simulate: {latency: 0, image_side: 64}}
defaults: {model: m}
settings: {max_cost: 0.20}
jobs:
"""


def test_the_provider_that_takes_over_is_paid_by_its_own_prices_within_the_same_budget(cli: Cli) -> None:
    cli.write("a.yaml", ROUTE + listed(numbered(6)))
    cli.run("run", "a.yaml", code=3)
    status = cli.json("status", "a.yaml")
    assert (status["jobs"]["done"], status["cost"]) == (4, 0.20)
    assert {name: one["cost"] for name, one in status["providers"].items()} == {"apiyi": 0, "tu-zi": 0.20}
    cli.write("b.yaml", ROUTE.replace("prices: {m: 0.05}, ", "") + listed(numbered(6)))
    for command in ("plan", "run"):
        (line,) = cli.run(command, "b.yaml", code=2).stderr.splitlines()
        assert "model 'm' of provider 'tu-zi' has no price" in line


def test_a_plan_gives_no_range_whose_ends_read_alike(cli: Cli) -> None:
    prices = "prices: {gpt-image-1: {per_image: 0.2, tokens: {input: 5, output: 40}}}"
    provider = f"openai: {{base_url: simulator, {QUICK}, {prices}}}"
    text = f"provider: openai\nproviders: {{{provider}}}\ndefaults: {{model: gpt-image-1}}\njobs:\n"
    cli.write("a.yaml", text + listed(numbered(2)))
    assert "cost      about 0.40 by the price list\n" in cli.run("plan", "a.yaml", code=0).stdout
