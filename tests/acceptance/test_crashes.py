"""A paid image is never lost and never paid twice: killed and cut at every point of an exchange.

What had been seen is read from the ledger right after the death, and what was paid for is counted
by a provider that shares no code with batchgen.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batchgen.errors import Unreadable
from batchgen.events import Replied
from batchgen.ledger.store import Ledger
from batchgen.manifest.load import open_manifest
from batchgen.model import JobState, Outcome
from tests.acceptance.conftest import KEY_VARIABLES, Cli
from tests.acceptance.cutting_provider import Cutting, Face, Fault, Point

PROFILES = {Face.TASKS: "tu-zi", Face.BLIND: "apiyi", Face.INLINE: "modelverse"}
CHILD = Path(__file__).with_name("crash_child.py")
FACTS = {
    Face.TASKS: ("running", "TaskSeen", "Replied", "Generated", "Saved"),
    Face.BLIND: ("running", "Generated", "Saved"),
    Face.INLINE: ("running", "spooled", "Generated", "Saved"),
}
SEEN = """
    SELECT j.prompt, a.id, a.task_id IS NOT NULL, r.attempt IS NOT NULL
    FROM attempts AS a JOIN jobs AS j ON j.key = a.job LEFT JOIN replies AS r ON r.attempt = a.id
    WHERE a.outcome = 'open'
"""


@dataclass
class Batch:
    """One batch against one cutting provider, and what each death left known and unknown."""

    cli: Cli
    provider: Cutting
    prompts: list[str]
    seen: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def write(self, *, at_once: int, more: str = "", n: int = 1) -> None:
        """The manifest."""
        self.cli.env.update(dict.fromkeys(KEY_VARIABLES, "sk-test"))
        face = self.provider.face
        tasks = f"task_url: '{self.provider.task_url}', " if face is Face.TASKS else ""
        where = f"base_url: '{self.provider.url}', {tasks}limits: {{concurrency: {at_once}}}"
        jobs = "".join(f"  - {{prompt: '{prompt}', n: {n}}}\n" for prompt in self.prompts)
        name = PROFILES[face]
        self.cli.write("m.yaml", f"provider: {name}\nproviders: {{{name}: {{{where}}}}}\n{more}jobs:\n{jobs}")

    def die_after(self, fact: str, count: int = 1) -> None:
        """One run that kills itself after the `count`-th such fact."""
        words = [sys.executable, str(CHILD), "m.yaml", "out/m", fact, str(count)]
        done = subprocess.run(words, cwd=self.cli.folder, env=self.cli.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, (fact, done.stderr)
        self.look()

    def look(self) -> None:
        """Note which open attempts the ledger, or a note beside it, knows something of."""
        for prompt, attempt, task, reply in self.cli.ask("out/m", SEEN):
            known = task or (reply and self.provider.face is not Face.INLINE) or attempt in self.noted()
            (self.seen if known else self.unknown).add(prompt)

    def noted(self) -> set[int]:
        """The attempts whose inline answers are in a log beside the ledger."""
        logs = (self.cli.folder / "out/m/images/.incoming").glob("*.answers")
        return {json.loads(line)["attempt"] for log in logs for line in log.read_text().splitlines() if line}

    def resume(self) -> None:
        """Run to the end: what was seen is done for nothing, what was not is held; then pay for that once more."""
        before = self.provider.counted()
        self.cli.run("run", "m.yaml", code=1 if self.unknown else 0)
        held = {job["prompt"] for job in self.cli.jobs("out/m", "--state", "held")}
        assert held == self.unknown
        assert self.cli.states("out/m") == _states(done=len(self.prompts) - len(held), held=len(held))
        after = self.provider.counted()
        for prompt in self.prompts:
            if prompt in self.unknown:
                # A request that left just before the death may be counted after it: one, and no second.
                assert before[prompt] <= after[prompt] <= 1, prompt
            else:
                assert after[prompt] == 1, prompt
        self.cli.run("retry", "out/m", "--state", "held", code=0)
        self.cli.run("run", "m.yaml", code=0)
        assert self.cli.states("out/m") == {"done": len(self.prompts)}
        assert self.provider.counted() == after + Counter(held)
        self.cli.run("verify", "out/m", code=0)
        assert not list((self.cli.folder / "out/m/images/.incoming").glob("*.answers"))


def _states(**counts: int) -> dict[str, int]:
    return {state: count for state, count in counts.items() if count}


@pytest.mark.parametrize("face", Face)
def test_a_run_killed_right_after_each_kind_of_fact_pays_for_nothing_that_was_seen(cli: Cli, face: Face) -> None:
    with Cutting(face) as provider:
        batch = Batch(cli, provider, [f"picture {number:02} " for number in range(16)])
        batch.write(at_once=2)
        for fact in FACTS[face]:
            batch.die_after(fact, 2)
        assert batch.unknown
        # Where nothing comes before the whole answer, the answer and its links are one commit.
        assert bool(batch.seen) == (face is not Face.BLIND)
        batch.resume()


@pytest.mark.parametrize("face", Face)
def test_a_client_killed_at_each_point_of_an_exchange_pays_for_nothing_that_was_seen(cli: Cli, face: Face) -> None:
    points = [point for point in Point if face is not Face.INLINE or point is not Point.DOWNLOAD]
    with Cutting(face, Fault.KILL) as provider:
        batch = Batch(cli, provider, [f"killed at:{point} " for point in points])
        batch.write(at_once=1)
        for _ in points:
            run = cli.start("run", "m.yaml")
            provider.aim(run.pid)
            cli.end(run, code=-signal.SIGKILL)
            batch.look()
        batch.resume()


@pytest.mark.parametrize(
    ("face", "unknown"),
    [
        (Face.TASKS, {Point.REQUEST, Point.HEADERS}),
        (Face.BLIND, {Point.REQUEST, Point.HEADERS, Point.TASK, Point.BODY}),
        (Face.INLINE, {Point.REQUEST, Point.HEADERS, Point.TASK, Point.BODY}),
    ],
)
def test_a_connection_cut_at_each_point_costs_a_second_request_only_where_nothing_was_seen(
    cli: Cli, face: Face, unknown: set[Point]
) -> None:
    with Cutting(face) as provider:
        batch = Batch(cli, provider, [f"cut at:{point} " for point in Point])
        batch.write(at_once=1)
        batch.unknown = {f"cut at:{point} " for point in unknown}
        cli.run("run", "m.yaml", code=1)
        assert provider.counted() == Counter(batch.prompts)
        batch.resume()
        assert provider.polls == (2 if face is Face.TASKS else 0)


def test_an_inline_answer_that_is_spooled_and_not_recorded_is_adopted_by_the_next_run(cli: Cli) -> None:
    with Cutting(Face.INLINE) as provider:
        batch = Batch(cli, provider, [f"picture {number} " for number in range(3)])
        batch.write(at_once=1)
        batch.die_after("spooled")
        assert (batch.seen, batch.unknown) == ({"picture 0 "}, set())
        cli.run("run", "m.yaml", code=0)
        assert provider.counted() == Counter(batch.prompts)
    assert cli.states("out/m") == {"done": 3}
    cli.run("verify", "out/m", code=0)


def test_a_noted_answer_whose_file_is_gone_is_not_adopted(cli: Cli) -> None:
    with Cutting(Face.INLINE) as provider:
        batch = Batch(cli, provider, ["picture "])
        batch.write(at_once=1)
        batch.die_after("spooled")
        for spool in (cli.folder / "out/m/images/.incoming").glob("a*-0"):
            spool.unlink()
        cli.run("run", "m.yaml", code=1)
        assert provider.total == 1
    assert cli.states("out/m") == {"held": 1}


# --- replies that were kept --------------------------------------------------------------------


Told = Callable[[Ledger, int], Awaitable[None]]


def _by_hand(cli: Cli, told: Told) -> None:
    """A ledger as an earlier run left it: the manifest's only job is running, and `told` is what followed."""

    async def write() -> None:
        async with Ledger.open(cli.folder / "out/m", now=lambda: 1000.0) as ledger:
            manifest = open_manifest(cli.folder / "m.yaml")
            await ledger.sync(manifest.entries())
            (name,) = manifest.profiles
            (job,) = await ledger.pending(name, 1000.0, 9, ())
            await told(ledger, await ledger.begin_attempt(job.key, name, 1000.0, "key"))

    asyncio.run(write())


def _content(text: str) -> str:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def test_a_kept_reply_with_fewer_images_than_asked_for_is_held_and_only_the_rest_is_paid_again(cli: Cli) -> None:
    with Cutting(Face.INLINE) as provider:
        batch = Batch(cli, provider, ["two pictures "])
        batch.write(at_once=1, n=2)
        reply = f'{{"created": 1, "data": [{{"url": "http://127.0.0.1:{provider.port}/files/one.png"}}]}}'

        async def told(ledger: Ledger, attempt: int) -> None:
            await ledger.replied(attempt, Replied(200, None, reply))

        _by_hand(cli, told)
        cli.run("run", "m.yaml", code=1)
        (job,) = cli.jobs("out/m")
        assert (job["state"], [output["state"] for output in job["outputs"]]) == ("held", ["saved"])
        assert provider.total == 0
        cli.run("retry", "out/m", "--state", "held", code=0)
        cli.run("run", "m.yaml", code=0)
        assert provider.total == 1
    (job,) = cli.jobs("out/m")
    assert len({output["sha256"] for output in job["outputs"]}) == 2


def test_a_kept_reply_that_names_a_task_is_asked_for_though_the_task_id_was_not_recorded(cli: Cli) -> None:
    with Cutting(Face.TASKS) as provider:
        batch = Batch(cli, provider, ["picture "])
        batch.write(at_once=1)

        async def told(ledger: Ledger, attempt: int) -> None:
            await ledger.replied(attempt, Replied(200, None, _content("> ID: `task_picture-one`\n> 排队中.\n")))

        _by_hand(cli, told)
        cli.run("run", "m.yaml", code=0)
        assert (provider.total, provider.polls) == (0, 1)
    assert cli.jobs("out/m")[0]["attempts"][0]["task_id"] == "task_picture-one"


def test_a_reply_in_one_piece_that_names_a_task_and_has_no_image_is_asked_for(cli: Cli) -> None:
    unfinished = _content("> ID: `task_picture-one`\n> 排队中.\n")
    with Cutting(Face.TASKS, statuses=iter([(200, unfinished)])) as provider:
        batch = Batch(cli, provider, ["picture "])
        batch.write(at_once=1)
        cli.run("run", "m.yaml", code=0)
        assert (provider.total, provider.polls) == (1, 1)
    assert cli.jobs("out/m")[0]["attempts"][0]["task_id"] == "task_picture-one"


def test_reparse_finds_the_image_in_a_reply_that_yesterdays_parser_could_not_read(cli: Cli) -> None:
    with Cutting(Face.BLIND) as provider:
        batch = Batch(cli, provider, ["picture "])
        batch.write(at_once=1)
        reply = _content(f"![image](http://127.0.0.1:{provider.port}/files/one.png)")

        async def told(ledger: Ledger, attempt: int) -> None:
            await ledger.replied(attempt, Replied(200, None, reply))
            unknown, error = Outcome.UNKNOWN, Unreadable("no readable answer")
            await ledger.settle(attempt, unknown, error, 1000.0, state=JobState.HELD, not_before=None, counted=True)

        _by_hand(cli, told)
        cli.run("run", "m.yaml", code=1)
        assert cli.json("reparse", "out/m", "--state", "done") == {"read": 0, "recovered": 0}
        assert cli.json("reparse", "out/m", "--id", "other") == {"read": 0, "recovered": 0}
        assert cli.json("reparse", "out/m") == {"read": 1, "recovered": 1}
        assert cli.states("out/m") == {"generated": 1}
        assert cli.json("reparse", "out/m") == {"read": 0, "recovered": 0}
        cli.run("fetch", "out/m", code=0)
        assert provider.total == 0
    assert cli.states("out/m") == {"done": 1}
    cli.run("verify", "out/m", code=0)


def test_reparse_leaves_a_reply_without_an_image_as_it_is(cli: Cli) -> None:
    with Cutting(Face.BLIND) as provider:
        batch = Batch(cli, provider, ["picture "])
        batch.write(at_once=1)

        async def told(ledger: Ledger, attempt: int) -> None:
            await ledger.replied(attempt, Replied(200, None, "<html>what is this?</html>"))
            unknown, error = Outcome.UNKNOWN, Unreadable("a web page")
            await ledger.settle(attempt, unknown, error, 1000.0, state=JobState.HELD, not_before=None, counted=True)

        _by_hand(cli, told)
        assert cli.json("reparse", "out/m") == {"read": 1, "recovered": 0}
    assert cli.states("out/m") == {"held": 1}


def test_fetch_after_a_kill_leaves_the_open_attempts_to_the_next_run(cli: Cli) -> None:
    with Cutting(Face.BLIND) as provider:
        batch = Batch(cli, provider, [f"picture {number} " for number in range(3)])
        batch.write(at_once=1)
        batch.die_after("running", 2)
        cli.run("fetch", "out/m", code=0)
        assert cli.ask("out/m", "SELECT count(*) FROM attempts WHERE outcome = 'open'") == [(1,)]
        batch.resume()


