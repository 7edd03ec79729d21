"""Whatever order things happen in, the ledger contradicts itself never and loses no delivered image."""

from __future__ import annotations

import random
import sqlite3

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchgen.errors import BadImage, BadRequest, Interrupted, JobError, LinkDead
from batchgen.ledger import chains, claims, retrying, steps, sync
from batchgen.ledger.migrate import migrate
from batchgen.ledger.records import Change, Ending, Filter
from batchgen.ledger.rows import Params
from batchgen.model import END_STATES, JobState, Outcome, OutputState
from tests.integration.ledger_builders import NOW, PROVIDER, delivered, entry, file

NAMES = ("a", "b", "c")
CLAIM: Params = {"route": PROVIDER, "now": NOW, "id": None}
ENDINGS = [
    (Outcome.FAILED, BadRequest("no"), JobState.PENDING),
    (Outcome.FAILED, BadRequest("no"), JobState.FAILED),
    (Outcome.REFUSED, BadRequest("no"), JobState.REFUSED),
    (Outcome.UNKNOWN, Interrupted("cut"), JobState.HELD),
]
LOSSES: list[tuple[JobError, OutputState]] = [
    (LinkDead("gone"), OutputState.EXPIRED),
    (BadImage("cut"), OutputState.BAD),
    (BadImage("cut"), OutputState.REMOTE),
]


class Batch(RuleBasedStateMachine):
    """A batch driven by chance through the commands of the ledger, on an in-memory file."""

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.row_factory = sqlite3.Row
        migrate(self.db)
        self.images = 0

    def teardown(self) -> None:
        self.db.close()

    def open(self) -> list[int]:
        return [attempt.attempt_id for attempt in claims.open_attempts(self.db)]

    def remote(self) -> list[int]:
        return [output.output_id for output in claims.due_outputs(self.db, NOW, 99, ())]

    @rule(
        wordings=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["x", "y"])),
        n=st.integers(1, 2),
        chain=st.booleans(),
    )
    def read_the_manifest(self, wordings: dict[str, str], n: int, chain: bool) -> None:
        links = {"b": "a", "c": "b"} if chain else {}
        parents = {name: parent for name, parent in links.items() if parent in wordings}
        manifest = [entry(name, word, n=n, after=parents.get(name)) for name, word in wordings.items()]
        told = [standing.change for standing in sync.standings(manifest, self.db)]
        self.db.execute("BEGIN")
        found = sync.synchronise(self.db, manifest)
        self.db.execute("COMMIT")
        assert (found.new, found.changed) == (told.count(Change.NEW), told.count(Change.CHANGED))

    @precondition(lambda self: bool(claims.pending_jobs(self.db, CLAIM, 1, ())))
    @rule(counts=st.booleans())
    def begin(self, counts: bool) -> None:
        job = claims.pending_jobs(self.db, CLAIM, 1, ())[0]
        assert job.have < job.job.n
        identity: Params = {"provider": PROVIDER, "idempotency_key": "k", "key_env": None, "reserved": None}
        params: Params = {**identity, "at": NOW, "counted": counts}
        steps.begin_attempt(self.db, job.key, params)

    @precondition(lambda self: bool(self.open()))
    @rule(count=st.integers(1, 3), pick=st.randoms(use_true_random=False))
    def deliver(self, count: int, pick: random.Random) -> None:
        steps.generated(self.db, pick.choice(self.open()), delivered(count), NOW, 0.25)
        self.images += count

    @precondition(lambda self: bool(self.open()))
    @rule(ending=st.sampled_from(ENDINGS), counted=st.booleans(), pick=st.randoms(use_true_random=False))
    def fail(self, ending: tuple[Outcome, JobError, JobState], counted: bool, pick: random.Random) -> None:
        outcome, error, state = ending
        told = Ending(outcome=outcome, error=error, state=state, not_before=None, counted=counted)
        steps.settle(self.db, pick.choice(self.open()), told, NOW)

    @precondition(lambda self: bool(self.remote()))
    @rule(pick=st.randoms(use_true_random=False))
    def save(self, pick: random.Random) -> None:
        output = pick.choice(self.remote())
        steps.saved(self.db, output, file(str(output)), NOW)

    @precondition(lambda self: bool(self.remote()))
    @rule(loss=st.sampled_from(LOSSES), pick=st.randoms(use_true_random=False))
    def lose(self, loss: tuple[JobError, OutputState], pick: random.Random) -> None:
        params: Params = {"state": loss[1], "not_before": None, "at": NOW}
        steps.output_failed(self.db, pick.choice(self.remote()), loss[0], params)

    @rule(states=st.frozensets(st.sampled_from(sorted(END_STATES))))
    def retry(self, states: frozenset[JobState]) -> None:
        retrying.retry(self.db, Filter(states=states), NOW)

    @rule()
    def settle_the_children(self) -> None:
        chains.settle_children(self.db)
        marks = ", ".join(f"'{state}'" for state in sorted(chains.LOST))
        pairs = f"SELECT p.state IN ({marks}) AS lost FROM jobs AS c JOIN jobs AS p ON p.id = c.parent"
        waiting = self.db.execute(f"{pairs} WHERE c.state = 'pending' AND c.listed = 1").fetchall()
        cancelled = self.db.execute(f"{pairs} WHERE c.state = 'cancelled' AND c.listed = 1").fetchall()
        assert not any(row["lost"] for row in waiting)
        assert all(row["lost"] for row in cancelled)

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        assert claims.complaints(self.db) == []

    @invariant()
    def every_delivered_image_is_there(self) -> None:
        assert self.db.execute("SELECT count(*) FROM outputs").fetchone()[0] == self.images


Batch.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBatch = Batch.TestCase
