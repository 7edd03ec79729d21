"""The wish to stop, as the runner hears it: drain (finish what is in flight) or abort (leave now)."""

from __future__ import annotations

from collections.abc import Callable

INTERRUPTED = 130
"""The exit code of a run that somebody stopped: the ledger is whole and `run` continues."""


BUDGET_REACHED = "the budget is reached"
"""How the reason begins of a run that might spend no more: the same command line would stop at once again."""


class StopSignal:
    """Set by signal handlers, windows of time and fatal conditions; heard by every lane."""

    def __init__(self) -> None:
        self.draining = False
        self.aborting = False
        self.interrupted = False
        """True when a person or the system asked for it, rather than a condition of the run."""
        self.fatal = False
        """True when the workspace can't be written any more: nothing new may be begun."""
        self.reason: str | None = None
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` at every change, on the event loop's thread."""
        self._listeners.append(listener)

    def drain(self, reason: str | None = None) -> None:
        """Claim no more and let what is in flight finish. Without a reason: somebody interrupted."""
        self.draining = True
        self.interrupted = self.interrupted or reason is None
        self.reason = self.reason or reason
        self._tell()

    def fail(self, reason: str) -> None:
        """The workspace can't be written: let what is in flight end, and leave with that reason."""
        self.fatal = True
        self.drain(reason)

    def leave(self, reason: str) -> None:
        """Leave now for that reason: nobody is there who could end what is in flight."""
        self.aborting = True
        self.drain(reason)

    def abort(self) -> None:
        """Leave now; what is in flight is recorded as unknown."""
        self.draining = self.aborting = self.interrupted = True
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
