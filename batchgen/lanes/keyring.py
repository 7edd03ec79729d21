"""The keys of one provider: which one the next request goes with, what all of them wait for. Owns the clock.

Limits count per key, so each has its gate. One lane enters at a time, so there is no queue here. It says
what it waits for, so that status and progress never show "running" for something that stands still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from batchgen.errors import BadKey, JobError, NoKey, NotAllowed, QuotaSpent, WrongAddress
from batchgen.ledger.records import Paces, ProviderStatus
from batchgen.limiter import Bell, Gate, Pass, Places
from batchgen.pacing import Line, Pace
from batchgen.providers.keys import needs_key
from batchgen.providers.profile import Profile

log = logging.getLogger(__name__)

# Timers closer than this only burn the processor: a rate of thousands a minute is exact without.
SLACK = 0.005

DOWN_AFTER = 60.0
"""Seconds without service (or `patience`, if that is shorter) after which a provider's jobs go to the next."""

STOPPED: Mapping[type[JobError], tuple[str, str]] = {
    NoKey: ("has no key", "no key"),
    BadKey: ("refused the key", "the key was refused"),
    QuotaSpent: ("is out of credit", "out of credit"),
    NotAllowed: ("refused access", "access was refused"),
    WrongAddress: ("has nothing at base_url", "nothing answers at base_url"),
}
"""Why a key or a provider gets nothing more: what is said of the provider, and the same by itself."""


class Keyring:
    """The gates of one provider, one for each of its keys."""

    def __init__(
        self,
        profile: Profile,
        keys: Collection[str],
        *,
        concurrency: int | None,
        now: Callable[[], float],
        everyone: Places | None = None,
        patience: float = float("inf"),
        paces: Paces | None = None,
    ) -> None:
        """`keys` are names of variables; without any there is one gate for requests that carry none.

        `paces`: what earlier runs noted, by key and model. A provider that needs a key and has none is
        stopped from the beginning.
        """
        everyone = everyone or Places(None)
        self._provider = profile.name
        self._patience = patience
        self._now = now
        self._noted = dict(paces or {})
        self._gates = [
            Gate(
                profile.limits,
                concurrency=concurrency,
                everyone=everyone,
                key=key,
                paces={model: pace for (one, model), pace in self._noted.items() if one == key},
            )
            for key in keys or (None,)
        ]
        self._live = list(self._gates)
        """those that are not parked; of those that stand alike the one that went last comes last"""
        self._waiting_until: float | None = None
        self._wanted: Collection[str] = ()
        self._stalled = False
        self._lost: JobError | None = None
        """why the last key was parked"""
        self.opens_at: float | None = None
        """epoch seconds of the run's first hour, while it has not come"""
        self.bell = Bell()
        everyone.join(self.bell)
        if not keys and needs_key(profile):
            self._lost = self._gates[0].parked = NoKey(f"{' or '.join(profile.api_key_env)} is not set")
            self._live.clear()

    async def enter(
        self, model: str, images: int, closed: Callable[[], bool], key: str | None = None
    ) -> Pass | None:
        """Wait until one request for `images` images may go, and take its place; None when all closed meanwhile.

        With `key` it goes with that one, if it still serves; else with the one that is ready first, and
        of several with the one that has least in flight.
        """
        while self.parked is None and not closed():
            seen, now = self.bell.rings, self._now()
            gate = self._chosen(model, now, key)
            ready = gate.ready_at(model, now)
            if ready - now <= SLACK:
                self._waiting_until = None
                return gate.take(model, images, now)
            self._waiting_until = ready if ready != float("inf") else None
            await self.bell.wait(seen, min(ready, self.gives_up_at()) - now)
        self._waiting_until = None
        return None

    def closed(self, models: Collection[str], now: float) -> set[str]:
        """Of these models, which there are jobs for, those that none can be sent of now."""
        self._wanted = models
        return {model for model in models if self._opens(model, now) - now > SLACK}

    async def wait(self, seen: int, now: float, until: float) -> None:
        """Until one of the models that were wanted last can be sent, or that time, or the bell has rung again."""
        opens = min((self._opens(model, now) for model in self._wanted), default=float("inf"))
        self._waiting_until = opens if opens < float("inf") else None
        await self.bell.wait(seen, min(opens, until, self.gives_up_at()) - now)
        self._waiting_until = None

    def _chosen(self, model: str, now: float, key: str | None) -> Gate:
        live = self._live
        if len(live) == 1:
            return live[0]
        wanted = [gate for gate in live if gate.key == key] or live
        chosen = min(wanted, key=lambda gate: (max(gate.ready_at(model, now), now + SLACK), gate.in_flight))
        live.remove(chosen)
        live.append(chosen)
        return chosen

    @property
    def parked(self) -> JobError | None:
        """Why this provider takes nothing more in this run, whatever the key; None while one is left."""
        return None if self._live else self._lost

    def park(self, gate: Gate | None, error: JobError) -> None:
        """Nothing more goes with this key: it is bad or spent. A wrong address stops all of them, so does None."""
        every = gate is None or isinstance(error, WrongAddress)
        for one in self._live:
            if every or one is gate:
                one.parked = self._lost = error
                which = f"no more with key {one.key}" if len(self._gates) > 1 else "stopped"
                log.warning("%s: %s: %s", self._provider, which, why(error))
        self._live = [gate for gate in self._live if gate.parked is None]
        self.bell.ring()

    def gives_up_at(self) -> float:
        """Epoch seconds when a provider that has failed without a break, at every key, is past its patience."""
        since = self.failing_since()
        return float("inf") if since is None else since + self._patience

    def _opens(self, model: str, now: float) -> float:
        return min((gate.ready_at(model, now) for gate in self._live), default=float("inf"))

    def ready_at(self, now: float) -> float:
        """Epoch seconds when a request may go, for any model that was asked for; infinity while one must end first."""
        times = (gate.ready_at(model, now) for gate in self._live for model in gate.lines)
        return min(times, default=float("inf"))

    def gone(self, now: float) -> str | None:
        """Why this provider is out, in a sentence; None while its jobs stay with it."""
        if self.parked is not None:
            said = f"{STOPPED[type(self.parked)][0]} ({self.parked.message})"
            return f"{self._provider} {self._each_key or said}"
        since = self.failing_since()
        if since is None or not (now >= self.gives_up_at() or (self.is_down and now - since >= DOWN_AFTER)):
            return None
        return f"{self._provider} has served nobody for {now - since:.0f} s: {self.reason}"

    def is_out(self, now: float) -> bool:
        """Whether jobs that have another provider go there: it is stopped, or serves nobody for a while."""
        return self.gone(now) is not None

    def gives_up(self, now: float) -> bool:
        """Whether nothing more is sent there in this run."""
        return self.parked is not None or now >= self.gives_up_at()

    @property
    def _lines(self) -> list[Line]:
        return [line for gate in self._live for line in gate.lines.values()]

    def failing_since(self) -> float | None:
        """Epoch seconds since which nothing was served, whatever the key and the model; None while something is.

        A key at which nothing fails serves, and so may a line that has something in flight. One that has
        nothing to send any more tells only until when it was served.
        """
        if not any(map(_fails, self._lines)):
            return None  # as nearly always
        lines = [(line, line.breaker.failing_since()) for line in self._lines]
        failing = [since for _, since in lines if since is not None]
        if not all(any(map(_fails, gate.lines.values())) for gate in self._live):
            return None
        if any(line.in_flight for line, since in lines if since is None):
            return None
        return max(min(failing), *(line.served_at for line, _ in lines))

    @property
    def is_down(self) -> bool:
        """Whether the breaker is open wherever something fails, and nothing is served elsewhere."""
        return self.failing_since() is not None and all(line.breaker.is_open for line in self._lines if _fails(line))

    @property
    def reason(self) -> str:
        """What the provider said last, as far as it failed."""
        return next((line.breaker.reason for line in reversed(self._lines) if line.breaker.reason), "")

    def status(self, due: float | None, now: float) -> ProviderStatus:
        """What the provider does now; `due` is when the next waiting job may be sent."""
        until, reason = self._waiting(due, now)
        return ProviderStatus(
            in_flight=sum(gate.in_flight for gate in self._gates),
            limit=sum(gate.limit for gate in self._live or self._gates),
            waiting_until=until,
            reason=reason,
            note=self.dropped(),
        )

    def fresh_paces(self) -> dict[tuple[str | None, str], Pace]:
        """What the traffic taught since the last call, by key and model: for the ledger."""
        paces = {(gate.key, model): line.pace for gate in self._gates for model, line in gate.lines.items()}
        fresh = {which: pace for which, pace in paces.items() if pace != self._noted.get(which, Pace())}
        self._noted |= fresh
        return fresh

    def dropped(self) -> str | None:
        """Which keys get nothing more and why, while others go on."""
        if not self._live:
            return None
        return ", ".join(f"key {key} dropped: {words}" for key, words in self._lost_keys.items()) or None

    @property
    def _lost_keys(self) -> dict[str, str]:
        """Why each key that gets nothing more does not, by the name of its variable."""
        lost = {gate.key or "": gate.parked for gate in self._gates if gate.parked is not None}
        return {key: why(lost[key]) for key in sorted(lost)}

    @property
    def _each_key(self) -> str | None:
        """How the last of several keys was lost, where each has a reason of its own."""
        lost = self._lost_keys
        if len(set(lost.values())) < 2:
            return None
        return f"has no key left: {', '.join(f'{key}: {words}' for key, words in lost.items())}"

    def _waiting(self, due: float | None, now: float) -> tuple[float | None, str | None]:
        lines = self._lines
        if self.parked is not None:
            return None, f"stopped: {self._each_key or why(self.parked)}"
        if self.opens_at is not None and self.opens_at > now:
            return self.opens_at, "the hours of this run (--start-at)"
        if self.is_down:
            first = min(lines, key=lambda line: line.breaker.ready_at(now))
            word = "rate limit" if first.breaker.limited else "down"
            return first.breaker.ready_at(now), f"{word}: {first.breaker.reason}"
        if held := self._held(now):
            model, (until, word) = min(held.items(), key=lambda one: one[1])
            return until, word if len(held) == len(self._wanted) else f"{word} ({model}; others go on)"
        paused = min((line.paused_until for line in lines), default=0.0)
        if self._waiting_until is not None or paused > now:
            return self._waiting_until or paused, "rate limit"
        if due is not None and due > now and not any(line.in_flight for line in lines):
            return due, "retry"
        return None, self._stall(now)

    def _held(self, now: float) -> dict[str, tuple[float, str]]:
        """Of the models that are wanted, those that wait at every key: until when, and why."""
        held = {}
        for model in self._wanted:
            lines = [gate.lines[model] for gate in self._live if model in gate.lines]
            closed = [max(line.paused_until, line.breaker.ready_at(now)) for line in lines]
            if len(lines) == len(self._live) and lines and min(closed) > now:
                breakers = [line.breaker for line in lines if line.breaker.is_open and not line.breaker.limited]
                held[model] = min(closed), f"down: {breakers[0].reason}" if breakers else "rate limit"
        return held

    def _stall(self, now: float) -> str | None:
        """What stands still, in words; noted in the log when it begins."""
        stalls = [stall for line in self._lines if (stall := line.stall(now)) is not None]
        words = None
        if stalls:
            silent, oldest = max(one.silent for one in stalls) / 60, max(one.oldest for one in stalls) / 60
            in_flight = sum(one.in_flight for one in stalls)
            words = f"nothing came back for {silent:.0f} min, {in_flight} in flight, the oldest for {oldest:.0f} min"
            if not self._stalled:
                log.warning("%s: %s", self._provider, words)
        self._stalled = words is not None
        return words


def _fails(line: Line) -> bool:
    return line.breaker.failing_since() is not None


def why(error: JobError) -> str:
    """Why nothing more goes there, in plain words and the provider's own."""
    return f"{STOPPED[type(error)][1]} ({error.message})"
