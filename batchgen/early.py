"""What Ctrl-C and SIGTERM do while the command line is imported, and in commands that only read: leave at once.

Nothing is open then that has to be finished. Imports next to nothing: it has to be in place before all else.
"""

from __future__ import annotations

import os
import signal

from batchgen.stop import INTERRUPTED

TYPE_CHECKING = False
"""That of `typing`, which takes longer to import than all else here."""

if TYPE_CHECKING:
    from types import FrameType

_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What Python does with them; who starts us may have chosen otherwise, such as `nohup`, and is left alone."""


def _leave(number: int, frame: FrameType | None) -> None:
    # No exception: one raised within an import may be caught there, or end in a traceback.
    os._exit(INTERRUPTED)


def leave_at_once() -> None:
    """From now on a signal ends the process with exit code 130."""
    for number, usual in _USUAL.items():
        if signal.getsignal(number) == usual:
            signal.signal(number, _leave)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    # While an event loop runs, its handler cancels the work, which then closes what it opened. An exception
    # from here would leave the loop at any line, and a thread of the ledger that nobody ends.
    interrupt = signal.getsignal(signal.SIGINT)
    if not callable(interrupt):
        raise KeyboardInterrupt
    interrupt(signal.SIGINT, frame)


def interrupt_from_here() -> None:
    """From now on a signal raises `KeyboardInterrupt`, after what is open was closed.

    Raises `ValueError` outside the main thread, where nobody is told of signals.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, _as_ctrl_c)):
        if signal.getsignal(number) in (_USUAL[number], _leave):
            signal.signal(number, handler)
