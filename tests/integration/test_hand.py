"""What a lane has in hand, over a real ledger: nothing is kept that another provider serves now."""

from __future__ import annotations

from pathlib import Path

from batchgen.engines.local import LocalEngine
from batchgen.errors import ServerError
from batchgen.lanes.context import Context, Scope
from batchgen.lanes.hand import Hand
from batchgen.lanes.keyring import Keyring
from batchgen.ledger.store import Ledger
from batchgen.limiter import Pass
from batchgen.model import Entry, Job, Settings
from batchgen.pacing import Breaker
from batchgen.providers.profile import Profile
from batchgen.sinks import NullSink
from batchgen.stop import StopSignal
from batchgen.transport import Transport
from batchgen.worker import Worker, WorkerSettings
from tests.integration.ledger_builders import NOW, clock

PROFILES = {name: Profile(name=name, base_url="https://p.example/v1") for name in ("first", "second")}


def context(workspace: Path, ledger: Ledger, transport: Transport) -> Context:
    settings = WorkerSettings(
        workspace=workspace, profiles=PROFILES, keys={}, guards={}, max_image_bytes=1, task_patience=1
    )
    return Context(
        workspace=workspace,
        ledger=ledger,
        engine=LocalEngine(Worker(settings, transport, now=clock)),
        profiles=PROFILES,
        settings=Settings(),
        scope=Scope(),
        sink=NullSink(),
        stop=StopSignal(),
        now=clock,
        jitter=lambda: 0.5,
    )


async def lost(ring: Keyring) -> Pass:
    """The provider has failed so often, and for so long, that it is out."""
    place = await ring.enter("m", 1, lambda: False)
    assert place is not None
    for _ in range(Breaker.THRESHOLD):
        place.line.breaker.failed(ServerError("503"), NOW - 100)
    return place


async def test_a_lane_gives_back_what_it_has_not_sent_when_the_provider_before_it_serves_again(tmp_path: Path) -> None:
    job = Job(id="a", prompt="x", provider=("first", "second"), model="m")
    async with Ledger.open(tmp_path, now=clock) as ledger, Transport(proxies={}) as transport:
        await ledger.sync([Entry("a", "x", job, fingerprint="1", place="a.yaml:1")])
        run = context(tmp_path, ledger, transport)
        run.routing.learn(await ledger.routes())
        rings = {name: Keyring(profile, (), concurrency=None, now=clock) for name, profile in PROFILES.items()}
        for name, ring in rings.items():
            run.routing.join(name, ring)
        hand = Hand("second", run)
        await hand.fill(NOW)
        assert hand.empty
        place = await lost(rings["first"])
        await hand.fill(NOW)
        hand.sort_out(NOW)
        assert (hand.empty, len(run.routing.claimed)) == (False, 1)
        place.served(NOW)
        hand.sort_out(NOW)
        assert (hand.empty, len(run.routing.claimed)) == (True, 0)
