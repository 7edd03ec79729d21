"""`run --ui`, and orders that ask for what is free: what is told, who does it, and that nothing is sent for it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess

import pytest

from batchgen.ledger.orders import Order, Wish, give
from batchgen.ledger.records import Filter
from batchgen.model import JobState
from tests.acceptance.conftest import QUICK, Cli, Provider, Simulated, numbered, until
from tests.acceptance.test_serve import Page, finished, served

MANY, LAST = 120, "job-119"
"""So many that a run with one request at a time goes on for as long as a test looks at it."""

FILES = "SELECT path FROM outputs WHERE job = 1 AND state = 'saved' ORDER BY position"
"""Of the first job."""

BROKEN = "simulate: {latency: 0.05, image_side: 64, faults: {not_image: 100%}}"


def page_beside(run: subprocess.Popen[str]) -> Page:
    """The page of a `run --ui`, at the address that it said."""
    assert run.stderr is not None
    for line in run.stderr:
        if found := re.match(r"live page: (http://127\.0\.0\.1:\d+/)", line):
            page = Page(found[1])
            token = re.search(rb'name="batchgen-token" content="([^"]+)"', page.get("")[1])
            assert token is not None
            page.token = token[1].decode()
            return page
    raise AssertionError("no address was said")


def simple(cli: Cli, name: str, *, profile: str = "tu-zi", simulate: str = QUICK) -> None:
    """A manifest of one picture."""
    provider = f"providers: {{p: {{extends: {profile}, base_url: simulator, {simulate}}}}}"
    cli.write(name, f"provider: p\n{provider}\ndefaults: {{model: gpt-image-1}}\njobs: [{{prompt: a cat}}]\n")


def slow(cli: Cli, one: Provider, count: int = MANY) -> None:
    """A manifest whose jobs take their time."""
    jobs = "\n".join(f"  - {{id: {name}, prompt: picture {name}}}" for name in numbered(count))
    head = f"{one.section('tu-zi')}\nprovider: tu-zi\ndefaults: {{model: gpt-image-1}}\n"
    cli.write("many.yaml", f"{head}jobs:\n{jobs}\n")


def said(answer: tuple[int, bytes, dict[str, str]]) -> str:
    """What the page says when a button was pressed."""
    assert answer[0] == 200, answer
    return str(json.loads(answer[1])["said"])


def test_a_run_shows_its_own_page_and_takes_it_along_when_it_ends(cli: Cli, provider: Simulated) -> None:
    with provider(latency="300ms") as one:
        slow(cli, one)
        run = cli.start("run", "many.yaml", "--ui", "--port", "0", "--quiet", "--concurrency", "1")
        page = page_beside(run)
        assert {job["id"] for job in page.json("jobs")["jobs"]} <= set(numbered(MANY))
        assert said(page.order(what="cancel", id=LAST)) == "the run is told"
        until(lambda: _state(cli, LAST) == "cancelled", run)
        page.order(what="cancel")
        cli.end(run, 1)
    states = cli.states("out/many")
    assert set(states) == {"done", "cancelled"}
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", int(page.address.rsplit(":", 1)[1].strip("/")))) != 0


def test_a_port_that_is_taken_is_told_where_it_was_asked_for_and_else_another_is_found(cli: Cli) -> None:
    simple(cli, "one.yaml")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused = cli.run("run", "one.yaml", "--ui", "--port", port, code=2)
        assert refused.stderr.splitlines()[-1].endswith("choose another --port")
        assert not (cli.folder / "out").exists()
    alone = cli.run("run", "one.yaml", "--port", port, code=2)
    assert "--port goes with --ui" in alone.stderr
    with _usual_port_taken():
        done = cli.run("run", "one.yaml", "--ui", code=0)
        assert re.search(r"live page: http://127\.0\.0\.1:(?!8765/)\d+/", done.stderr)


def _usual_port_taken() -> socket.socket:
    """Held by this test, unless somebody else has it already, which is as good."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.settimeout(1)
    if taken.connect_ex(("127.0.0.1", 8765)) != 0:
        taken.close()
        return socket.create_server(("127.0.0.1", 8765))
    return taken


def test_without_the_extra_one_line_says_what_to_install(cli: Cli) -> None:
    simple(cli, "one.yaml")
    cli.write("uvicorn.py", "raise ImportError('not installed')\n")
    cli.env["PYTHONPATH"] = f"{cli.folder}:{cli.env['PYTHONPATH']}"
    done = cli.run("run", "one.yaml", "--ui", code=2)
    assert done.stderr.splitlines() == ["run --ui needs the extra 'web': pip install 'batchgen[web]'"]
    assert not (cli.folder / "out").exists()


def test_a_lost_file_is_fetched_again_by_the_run_that_goes_on_and_nothing_is_sent_for_it(
    cli: Cli, provider: Simulated
) -> None:
    with provider(latency="300ms") as one:
        slow(cli, one)
        run = cli.start("run", "many.yaml", "--ui", "--port", "0", "--quiet", "--concurrency", "1")
        page = page_beside(run)
        until(lambda: _state(cli, "job-000") == "done", run)
        paths = [cli.folder / "out/many" / path for (path,) in cli.ask("out/many", FILES)]
        paths[0].unlink()
        assert b"gone from the disk" in page.get("job/job-000")[1]
        assert said(page.order(what="fetch", id="job-000")).startswith("the run is told: it fetches again")
        until(paths[0].exists, run)
        page.order(what="cancel")
        cli.end(run, 1)
    (job,) = cli.jobs("out/many", "--id", "job-000")
    assert (job["state"], len(job["attempts"])) == ("done", 1)
    cli.run("verify", "out/many", code=0)


def test_without_a_run_the_next_fetch_brings_a_lost_file(cli: Cli, provider: Simulated) -> None:
    with provider() as one:
        slow(cli, one, 2)
        cli.run("run", "many.yaml", "--quiet", code=0)
        for (path,) in cli.ask("out/many", FILES):
            (cli.folder / "out/many" / path).unlink()
        lost = len(cli.ask("out/many", FILES))
        with served(cli, "out/many") as page:
            assert said(page.order(what="fetch", id="job-001")) == "nothing is left to fetch again"
            told = said(page.order(what="fetch"))
        assert told.endswith("fetched again by the next run, and at once by: batchgen fetch out/many")
        assert told.startswith(f"{lost} image")
        assert cli.states("out/many") == {"done": 1, "generated": 1}
        cli.run("fetch", "out/many", "--quiet", code=0)
        assert one.posts == 2
    cli.run("verify", "out/many", code=0)


def test_a_bad_image_is_fetched_again_as_often_as_somebody_asks_and_never_sent(cli: Cli) -> None:
    simple(cli, "bad.yaml", simulate=BROKEN)
    cli.run("run", "bad.yaml", "--quiet", code=1)
    assert cli.states("out/bad") == {"failed": 1}
    for _ in range(2):
        with served(cli, "out/bad") as page:
            assert said(page.order(what="fetch")).startswith("1 image is fetched again")
        assert cli.states("out/bad") == {"generated": 1}
        cli.run("run", "bad.yaml", "--quiet", code=1)
        assert cli.states("out/bad") == {"failed": 1}
    assert cli.json("status", "out/bad")["attempts"] == 1


def test_what_came_inside_its_reply_and_is_lost_is_said_to_be_lost(cli: Cli) -> None:
    simple(cli, "inline.yaml", profile="openai")
    cli.run("run", "inline.yaml", "--quiet", code=0)
    for path in (cli.folder / "out/inline/images").glob("[!.]*"):
        path.unlink()
    with served(cli, "out/inline") as page:
        assert said(page.order(what="fetch")) == "1 lost file came without a link and can't be fetched"
    assert cli.states("out/inline") == {"done": 1}


@pytest.mark.parametrize("what", ["retry", "fetch"])
def test_the_task_of_a_held_job_is_asked_for_by_the_run_that_goes_on(cli: Cli, provider: Simulated, what: str) -> None:
    """Its connection broke behind the task id, and its task took longer than the run had patience for."""
    with provider(latency="300ms") as one:
        slow(cli, one)
        text = (cli.folder / "many.yaml").read_text().replace("picture job-000", "simulate:cut_after_task_id")
        cli.write("many.yaml", f"settings: {{task_patience: 0.001}}\n{text}")
        run = cli.start("run", "many.yaml", "--ui", "--port", "0", "--quiet", "--concurrency", "1")
        page = page_beside(run)
        until(lambda: _state(cli, "job-000") == "held", run)
        ((task,),) = cli.ask("out/many", "SELECT task_id FROM attempts WHERE job = 1")
        until(lambda: "<h1>succeeded" in one.task(task), run)
        assert "the run is told" in said(page.order(what=what, id="job-000", states=["held"]))
        until(lambda: _state(cli, "job-000") == "done", run)
        run.kill()
        run.communicate()
        ((attempts,),) = cli.ask("out/many", "SELECT count(*) FROM attempts WHERE job = 1")
        assert attempts == 1


def test_an_order_that_nobody_took_is_carried_out_by_the_next_run(cli: Cli) -> None:
    """Also by one that has nothing else to do: it looks once more before it leaves."""
    workspace = finished(cli)
    chosen = Filter(states=frozenset({JobState.REFUSED}), id_glob="bad")
    asyncio.run(give(cli.folder / workspace, Order(Wish.PAUSE), 0.0))
    asyncio.run(give(cli.folder / workspace, Order(Wish.RETRY, chosen), 0.0))
    cli.run("run", "three.yaml", "--quiet", code=1)
    (job,) = cli.jobs(workspace, "--id", "bad")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["refused", "refused"]


def _state(cli: Cli, job: str) -> str:
    return str(cli.ask("out/many", f"SELECT state FROM jobs WHERE id = '{job}'")[0][0])


def test_the_page_of_a_job_tells_what_was_recorded(cli: Cli) -> None:
    with served(cli, finished(cli)) as page:
        shown = page.get("job/cat")[1].decode()
        for words in ("attempt 1 begins at p", "named its task: task_", "it replied: HTTP 200", "picture 0 is on disk"):
            assert words in shown, words
        assert "排队中" in shown or "进度" in shown, "what the gateway told of its progress"
        refused = page.get("job/bad")[1].decode()
        assert "refused: refused" in refused
        assert "sends a new request, which is paid" in refused
