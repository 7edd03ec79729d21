"""A batch on a real Ray cluster: workers and machines killed under it, limits kept, keys nowhere, words plain."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

from tests.acceptance.cluster.conftest import Cluster, Quick, Quickly
from tests.acceptance.conftest import Cli, until

HERE = re.compile(r"worker-\d+ on \S+, pid (\d+) is there")


def workers(cli: Cli) -> list[int]:
    """The process ids of all workers that came up, as the log of the run tells them."""
    log = cli.folder / "out/m/run.log"
    return [int(pid) for pid in HERE.findall(log.read_text())] if log.exists() else []


def counted(cli: Cli, state: str) -> int:
    """Jobs in a state, read while the run goes on."""
    if not (cli.folder / "out/m/ledger.db").exists():
        return 0
    ((count,),) = cli.ask("out/m", f"SELECT count(*) FROM jobs WHERE state = '{state}'")
    return int(count)


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


def test_a_killed_worker_and_a_killed_machine_cost_no_second_request(
    on_cluster: Cli, cluster: Cluster, quick: Quickly
) -> None:
    jobs, cli = 2000, on_cluster
    with quick(3.0) as provider:
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
        assert provider.log()["polls"] >= 200
        assert most_in_a_second([time for time, _ in provider.log()["posts"]]) <= 440
    cli.run("verify", "out/m", code=0)


def test_a_stated_limit_is_kept_over_all_workers(on_cluster: Cli, cluster: Cluster, quick: Quickly) -> None:
    with quick(0.2) as provider:
        on_cluster.write("m.yaml", provider.manifest(240, "{requests_per_minute: 2400, concurrency: 100}"))
        on_cluster.run("run", "m.yaml", "--engine", "ray", "--address", cluster.address, "--workers", "3", code=0)
        times = sorted(time for time, _ in provider.log()["posts"])
    assert len(times) == 240
    assert most_in_a_second(times) <= 44
