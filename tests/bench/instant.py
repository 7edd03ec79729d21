"""The runner alone: `python -m tests.bench.instant FOLDER`. An engine that answers at once, and a real ledger.

Each job is all that a streamed job is: an attempt opened, task id, reply, links, a saved file, each durable
before the next. Nothing is sent and no file is written. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from batchgen.events import Event, Generated, RemoteImage, Replied, Saved, TaskSeen
from batchgen.lanes.context import Context, Scope
from batchgen.ledger.store import Ledger
from batchgen.model import Download, Entry, Job, JobState, Settings, Submission, Work
from batchgen.providers.profile import Limits, Profile
from batchgen.runner import Runner
from batchgen.sinks import NullSink
from batchgen.stop import StopSignal

NAME = "bench"
REPLY = json.dumps({"choices": [{"message": {"content": "> ![image](https://files.example.com/x.png)\n" * 25}}]})
"""A kilobyte, as a chat gateway's answer with its log has."""


class Instant:
    """An engine (engines/base.py) that does nothing, at once; counts the durable facts that it told."""

    absent = None
    staff = None
    hands = 1

    def __init__(self) -> None:
        self.told = 0

    async def run(self, work: Work) -> AsyncGenerator[Event, None]:
        """All events of one work."""
        for event in _events(work):
            self.told += 1
            yield event


def _events(work: Work) -> Iterator[Event]:
    if isinstance(work, Submission):
        yield TaskSeen(f"task_{work.attempt_id:032x}")
        yield Replied(200, None, REPLY)
        link = f"https://files.example.com/{work.attempt_id}.png?signature={work.attempt_id:064x}"
        image = RemoteImage(url=link, expires_at=time.time() + 86400)
        yield Generated(images=(image,), gen_id=f"gen_{work.attempt_id}")
    elif isinstance(work, Download):
        digest = f"{work.output_id:064x}"
        yield Saved(path=f"{work.target}.png", sha256=digest, bytes=1, width=1, height=1, format="png", came=digest)


def entries(jobs: int) -> Iterator[Entry]:
    """So many jobs with prompts of the usual length."""
    like = Job(id="", prompt="", provider=(NAME,), model="m", ratio="1:1")
    for number in range(jobs):
        prompt = f"picture {number} of a grey cat on a red roof at dusk, film photograph, soft light, 35 mm"
        yield Entry(f"j{number:08}", prompt, like, fingerprint=f"{number:064x}", place=f"jobs.csv:{number}")


async def measure(workspace: Path, jobs: int, at_once: int) -> dict[str, float]:
    """Run them all; seconds of wall and of processor, and how many facts were told."""
    profile = Profile(name=NAME, base_url="http://127.0.0.1:9/v1", limits=Limits(concurrency=at_once))
    async with Ledger.open(workspace, now=time.time) as ledger:
        await ledger.sync(entries(jobs))
        engine = Instant()
        context = Context(
            workspace=workspace,
            ledger=ledger,
            engine=engine,
            profiles={NAME: profile},
            settings=Settings(),
            scope=Scope(),
            sink=NullSink(),
            stop=StopSignal(),
            now=time.time,
            jitter=lambda: 0.5,
        )
        wall, cpu = time.perf_counter(), time.process_time()
        await Runner(context, simulated=frozenset()).run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        done = (await ledger.status()).jobs[JobState.DONE]
        assert done == jobs, f"{done} of {jobs} jobs are done"
    size = (workspace / "ledger.db").stat().st_size
    return {"wall": wall, "cpu": cpu, "events": engine.told, "bytes": size}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=256)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.folder, options.jobs, options.at_once))))


if __name__ == "__main__":
    main()
