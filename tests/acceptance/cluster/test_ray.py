"""A batch on a real Ray cluster: workers and machines killed under it, limits kept, keys nowhere, words plain."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.cluster.conftest import KEY, Cluster, Quick, Quickly, command_of
from tests.acceptance.conftest import QUICK, Cli, listed, numbered, until

HERE = re.compile(r"worker-\d+ on \S+, pid (\d+) is there")


def workers(cli: Cli) -> list[int]:
    """The process ids of all workers that came up, as the log of the run tells them."""
    log = cli.folder / "out/m/run.log"
    return [int(pid) for pid in HERE.findall(log.read_text())] if log.exists() else []


def counted(cli: Cli, state: str) -> int:
    """Jobs in a state, read while the run goes on."""
    return cli.count("out/m", f"SELECT count(*) FROM jobs WHERE state = '{state}'")


def most_in_a_second(times: list[float]) -> int:
    """The most that ever came within one second."""
    times = sorted(times)
    most = start = 0
    for end, time in enumerate(times):
        while time - times[start] >= 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most


def settled(cli: Cli, provider: Quick, jobs: int) -> Counter[str]:
    """Every job is done or held, nothing was asked for twice, and what named its task is done."""
    posts = Counter(prompt for _, prompt in provider.log()["posts"])
    assert not {prompt: count for prompt, count in posts.items() if count > 1}
    states = Counter(cli.states("out/m"))
    assert set(states) <= {"done", "held"}
    assert states.total() == jobs
    named = "FROM attempts AS a JOIN jobs AS j ON j.key = a.job WHERE a.task_id IS NOT NULL"
    assert cli.ask("out/m", f"SELECT DISTINCT j.state {named}") == [("done",)]
    return states


def test_a_stated_limit_is_kept_over_all_workers(on_cluster: Cli, cluster: Cluster, quick: Quickly) -> None:
    with quick(0.2) as provider:
        on_cluster.write("m.yaml", provider.manifest(240, "{requests_per_minute: 2400, concurrency: 100}"))
        on_cluster.run("run", "m.yaml", "--engine", "ray", "--address", cluster.address, "--workers", "3", code=0)
        times = sorted(time for time, _ in provider.log()["posts"])
    assert len(times) == 240
    # A busy machine makes some of them late, and those behind them no later: half a second of that passes.
    assert most_in_a_second(times) <= 60
    assert times[-1] - times[0] >= 239 / 40 - 0.5


KEPT = """
import ray, ray._private.state
from ray.experimental import internal_kv as kept
ray.init(address="{address}", namespace="batchgen", log_to_driver=False, logging_level="CRITICAL")
actors = ray._private.state.actors()
print(sum(one["State"] == "ALIVE" for one in actors.values()), actors)
for space in (None, *(name.encode() for name in ("fun", "job", "cluster", "session", "default", "package"))):
    for name in kept._internal_kv_list(b"", namespace=space):
        print(name, kept._internal_kv_get(name, namespace=space))
"""


def test_the_key_reaches_the_provider_and_nothing_that_ray_writes_or_keeps(
    on_cluster: Cli, cluster: Cluster, quick: Quickly
) -> None:
    cli = on_cluster
    with quick(0.5) as provider:
        cli.write("m.yaml", provider.manifest(40, "{concurrency: 2}"))
        run = cli.start("run", "m.yaml", "--engine", "ray", "--address", cluster.address)
        until(lambda: len(workers(cli)) >= 1 and counted(cli, "done") >= 1, run)
        with provider.asleep():
            until(lambda: "of 4 workers" in (cli.json("status", "out/m")["providers"]["tu-zi"]["reason"] or ""), run)
            words = [sys.executable, "-c", KEPT.format(address=cluster.address)]
            kept = subprocess.run(words, env=cli.env, capture_output=True, check=True)
        done = cli.end(run, code=0)
        assert provider.log()["keys"] == [KEY]
    assert int(kept.stdout.split()[0]) >= 1
    assert b"Outpost" in kept.stdout
    written = dict(cluster.texts())
    assert len(written) > 20
    found = [path for path, text in written.items() if KEY.encode() in text]
    assert not found
    assert KEY.encode() not in kept.stdout
    assert KEY not in done.stderr + (cli.folder / "out/m/run.log").read_text()


def test_a_killed_run_is_continued_on_the_same_cluster_without_a_second_request(
    on_cluster: Cli, cluster: Cluster, quick: Quickly
) -> None:
    cli = on_cluster
    words = ("run", "m.yaml", "--engine", "ray", "--address", cluster.address)
    with quick(0.5) as provider:
        cli.write("m.yaml", provider.manifest(60, "{concurrency: 10}"))
        run = cli.start(*words)
        until(lambda: len(workers(cli)) >= 1 and counted(cli, "done") >= 10, run)
        run.send_signal(signal.SIGKILL)
        cli.end(run, code=-signal.SIGKILL)
        cli.end(cli.start(*words))
        settled(cli, provider, 60)


@pytest.mark.parametrize(
    ("address", "token", "said"),
    [
        ("{address}", "not-the-token", "lets this run in: is it up, and are RAY_AUTH_MODE and RAY_AUTH_TOKEN those"),
        ("127.0.0.1:1", None, "no Ray cluster at 127.0.0.1:1 lets this run in"),
        ("somewhere", None, "--address is auto or HOST:PORT, such as 10.0.0.1:6379, not 'somewhere'"),
    ],
    ids=["token", "nobody", "no address"],
)
def test_a_cluster_that_can_not_be_used_is_said_in_one_line(
    on_cluster: Cli, cluster: Cluster, address: str, token: str | None, said: str
) -> None:
    cli = on_cluster
    if token is not None:
        cli.env["RAY_AUTH_TOKEN"] = token
    cli.write("m.yaml", "provider: simulator\njobs: [{id: a, prompt: a cat}]\n")
    place = address.format(address=cluster.address)
    done = cli.run("run", "m.yaml", "--engine", "ray", "--address", place, "--quiet", code=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert cli.states("out/m") == {"pending": 1}


def test_a_run_without_an_address_has_a_cluster_of_its_own_that_ends_with_it(cluster: Cluster, cli: Cli) -> None:
    cli.write("m.yaml", f"provider: simulator\nproviders: {{simulator: {{{QUICK}}}}}\njobs:\n{listed(numbered(30))}")
    before = set(Path("/tmp").glob("batchgen-ray-*"))
    done = cli.run("run", "m.yaml", "--engine", "ray", "--workers", "1", code=0)
    assert "all 30 jobs done" in done.stderr
    assert "in flight, 1 of 1 workers" in done.stderr
    assert len(workers(cli)) == 1
    assert set(Path("/tmp").glob("batchgen-ray-*")) <= before
    until(lambda: not command_of(workers(cli)[0]))


def test_a_killed_worker_and_a_killed_machine_cost_no_second_request(
    on_cluster: Cli, cluster: Cluster, quick: Quickly
) -> None:
    jobs, cli = 1200, on_cluster
    with quick(6.0) as provider:
        cli.write("m.yaml", provider.manifest(jobs, "{requests_per_minute: 24000, concurrency: 400}"))
        run = cli.start("run", "m.yaml", "--engine", "ray", "--address", cluster.address, "--workers", "2")
        until(lambda: len(workers(cli)) == 2 and counted(cli, "running") >= 300, run)
        os.kill(workers(cli)[0], signal.SIGKILL)
        # Another takes its place, and then a machine is lost with all that is on it.
        until(lambda: len(workers(cli)) == 3, run)
        until(lambda: counted(cli, "done") >= jobs // 4 and counted(cli, "running") >= 250, run)
        machine = cluster.machines.pop()
        os.kill(machine.raylet, signal.SIGKILL)
        done = cli.end(run)
        machine.stop()
        states = settled(cli, provider, jobs)
        assert done.returncode == (1 if states["held"] else 0)
        log = (cli.folder / "out/m/run.log").read_text()
        lost = [int(count) for count in re.findall(r"was lost with (\d+) works", log)]
        assert len(lost) == 2
        assert min(lost) >= 100
        assert provider.log()["polls"] >= 100
        assert most_in_a_second([time for time, _ in provider.log()["posts"]]) <= 600
    cli.run("verify", "out/m", code=0)
