"""`plan` before anything is paid: cost from the least to the most, time as it was, links at risk, substitutions."""

from __future__ import annotations

from tests.acceptance.conftest import QUICK, Cli, Simulated, listed, numbered, until

OPENAI = "provider: openai\nproviders: {openai: {base_url: simulator, " + QUICK + "}}\n"


def test_a_plan_is_a_table_of_what_goes_where_and_costs_how_much(cli: Cli) -> None:
    cli.write(
        "a.yaml",
        OPENAI + "jobs:\n  - {prompt: a, model: dall-e-3, ratio: '16:9'}\n"
        "  - {prompt: b, quality: low, ratio: '1:1', n: 12}\n  - {prompt: c}\n  - {prompt: d, model: gpt-image-2}\n",
    )
    text = cli.run("plan", "a.yaml").stdout
    head, *rows = [line.split(maxsplit=5) for line in text.splitlines()[-4:]]
    assert head == ["provider", "model", "jobs", "requests", "images", "cost"]
    assert rows == [
        ["openai", "dall-e-3", "1", "1", "1", "0.08"],
        ["openai", "gpt-image-1", "2", "3", "13", "0.14 to 0.38"],
        ["openai", "gpt-image-2", "1", "1", "1", "no price"],
    ]
    plan = cli.json("plan", "a.yaml")
    assert (plan["requests"], plan["images"], plan["cost"]["unpriced_models"]) == (5, 15, ["gpt-image-2"])
    assert plan["cost"]["low"] < plan["cost"]["estimate"] < plan["cost"]["high"]
    cli.write("b.yaml", OPENAI + "jobs: [{prompt: d, ratio: '16:9'}, {prompt: e, ratio: '16:9'}]\n")
    (substitution,) = cli.json("plan", "b.yaml")["warnings"]
    assert substitution == "ratio 16:9 is not one of gpt-image-1's: the nearest size is 1536x1024 (2 jobs)"


def test_what_a_run_is_charged_lies_within_what_was_planned(cli: Cli) -> None:
    qualities = "  - {prompt: b, quality: low}\n  - {prompt: c, quality: medium, ratio: '2:3'}\n  - {prompt: d, n: 3}\n"
    cli.write("a.yaml", f"{OPENAI}settings: {{max_cost: 5}}\njobs:\n{qualities}")
    cost = cli.json("plan", "a.yaml")["cost"]
    cli.run("run", "a.yaml", code=0)
    assert cost["low"] <= cli.json("status", "a.yaml")["cost"] <= cost["high"]


def test_the_time_is_that_of_the_latest_requests_here(cli: Cli, provider: Simulated) -> None:
    with provider(latency="200ms") as p:
        cli.write("a.yaml", f"provider: tu-zi\n{p.section('tu-zi')}jobs:\n{listed(numbered(8))}")
        assert "60 s, an estimate" in cli.run("plan", "a.yaml").stdout
        cli.run("run", "a.yaml", "--limit", "7", code=3)
        assert "as fast as the latest requests here" in cli.run("plan", "a.yaml").stdout
        assert 0 < cli.json("plan", "a.yaml")["seconds"] < 30


def test_links_that_die_before_their_images_are_saved_are_told(cli: Cli) -> None:
    cli.write(
        "a.yaml", "provider: tu-zi\nproviders: {tu-zi: {base_url: simulator, simulate: {latency: 0, link_ttl: 1h}}}\n"
        f"jobs:\n{listed(numbered(2))}",
    )
    cli.run("run", "a.yaml", "--no-download", code=0)
    (risk,) = cli.json("plan", "a.yaml")["warnings"]
    assert risk.startswith("2 images not on disk, and the links die within 24 hours")
    assert risk.endswith("batchgen fetch out/a")


def test_the_time_of_a_chain_is_that_of_its_turns_read_from_the_manifest_or_from_the_ledger(cli: Cli) -> None:
    jobs = "  - {id: a, prompt: a}\n  - {id: b, prompt: b, after: a}\n  - {id: c, prompt: c, after: b}\n"
    text = f"provider: tu-zi\nproviders: {{tu-zi: {{base_url: simulator, {QUICK}}}}}\njobs:\n{jobs}"
    cli.write("a.yaml", text.replace("0.05", "2"))
    assert cli.json("plan", "a.yaml")["seconds"] == 6
    cli.run("run", "a.yaml", "--id", "nothing", code=3)  # all that it does is to read the manifest
    assert cli.json("plan", "a.yaml")["seconds"] == 6
    cli.write("a.yaml", text.replace("0.05", "2") + "  - {id: d, prompt: d, after: c}\n")
    assert cli.json("plan", "a.yaml")["seconds"] == 8


def test_a_request_left_open_whose_model_lost_its_price_is_refused_by_plan_and_run_alike(
    cli: Cli, provider: Simulated
) -> None:
    with provider(latency="20s") as p:
        price = "prices: {gpt-image-1-vip: 0.03}"
        text = f"provider: tu-zi\n{p.section('tu-zi', extra=price)}settings: {{max_cost: 5}}\njobs:\n{listed(['a'])}"
        cli.write("a.yaml", text)
        run = cli.start("run", "a.yaml")
        until(lambda: p.posts == 1, run)
        run.kill()
        run.communicate()
        assert cli.states("a.yaml") == {"running": 1}
        cli.write("a.yaml", text.replace(price, "limits: {concurrency: 2}"))
        (planned,) = cli.run("plan", "a.yaml", code=2).stderr.splitlines()
        (refused,) = cli.run("run", "a.yaml", code=2).stderr.splitlines()
        assert planned == refused
        assert "model 'gpt-image-1-vip' of provider 'tu-zi' has no price" in planned
        assert p.posts == 1
