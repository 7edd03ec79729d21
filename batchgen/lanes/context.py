"""What the lanes of one run share: the ledger, the engine, the profiles, the clock and the stop signal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.backup import Backups
from batchgen.budget import Budget
from batchgen.engines.base import Engine
from batchgen.errors import WorkspaceError
from batchgen.lanes.relay import Relay
from batchgen.lanes.routing import Routing
from batchgen.ledger.store import Ledger
from batchgen.limiter import Places
from batchgen.model import OutputRules, Settings
from batchgen.providers.profile import Profile
from batchgen.sinks import Sink
from batchgen.stop import StopSignal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which jobs this run may start: at most `limit` of them, only ids that fit `id_glob`, and when.

    `begins` and `ends` are epoch seconds: nothing is sent before the one and after the other.
    """

    limit: int | None = None
    id_glob: str | None = None
    begins: float | None = None
    ends: float | None = None


@dataclass(slots=True, kw_only=True)
class Context:
    """One run's surroundings. `now` is epoch seconds, `jitter` uniform in [0, 1).

    `simulated` names the providers whose pictures are drawn smaller than asked.
    """

    workspace: Path
    ledger: Ledger
    engine: Engine
    profiles: Mapping[str, Profile]
    settings: Settings
    scope: Scope
    sink: Sink
    stop: StopSignal
    now: Callable[[], float]
    jitter: Callable[[], float]
    keys: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The names of the key variables that requests to each provider share."""
    rules: OutputRules = field(default_factory=OutputRules)
    simulated: frozenset[str] = frozenset()
    backups: Backups | None = None
    """the copies of the ledger, where the images are in object storage"""
    budget: Budget = field(default_factory=lambda: Budget(None))
    started: set[int] = field(default_factory=set)
    """Keys of the jobs that this run has sent."""
    returned: set[int] = field(default_factory=set)
    """Keys of those among them that are not over, as far as they came back to be sent again."""
    paused: bool = False
    """Whoever looks at the batch wants nothing sent for now."""
    gone: int = 0
    """saved images that are not there any more and that no link brings back"""
    requests: int = 0
    images: int = 0
    everyone: Places = field(init=False)
    """the requests of all providers together"""
    relay: Relay = field(init=False)
    """who waits for whose image"""
    routing: Routing = field(default_factory=Routing)
    """which provider each job goes to"""

    def __post_init__(self) -> None:
        self.everyone = Places(self.settings.concurrency)
        self.relay = Relay(self.ledger, self.sink, self.routing, self.scope.id_glob)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Within: a workspace that can't be written stops the run instead of killing what else is in flight."""
        try:
            yield
        except WorkspaceError as error:
            log.error("%s", error)
            self.stop.fail(str(error))
