"""Carries out what a button says: a run that is going on is told, without one it is done here, and sent by the next.

Each answer is one line for whoever pressed it, and says who does it and when.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from batchgen.ledger.lock import InUse
from batchgen.ledger.orders import Order, Wish, give
from batchgen.ledger.reader import Reader
from batchgen.ledger.store import Ledger
from batchgen.model import Json
from batchgen.reparse import refetch

_TELL = (Wish.PAUSE, Wish.RESUME)
"""What is nothing without a run."""


async def carry_out(order: Order, workspace: Path, reader: Reader) -> str:
    """Do it, or have it done; returns what to say. Raises `WorkspaceError`."""
    run = await reader.last_run()
    if run is not None and run.alive:
        await give(workspace, order, time.time())
        return _told(order, json.loads(run.options), workspace)
    if order.what in _TELL:
        return "no run is going on"
    try:
        async with Ledger.open(workspace, now=time.time, create=False) as ledger:
            return await _do(order, ledger, workspace)
    except InUse:
        await give(workspace, order, time.time())
        return "a run is about to begin: it is told"


def _told(order: Order, options: Mapping[str, Json], workspace: Path) -> str:
    """What the run that goes on does about it, by the options that it was started with."""
    later = "what has to be sent waits for the next batchgen run"
    if order.what is Wish.FETCH:
        if options.get("download") is False:
            return f"the run is told, but leaves images where they are (--no-download): batchgen fetch {workspace}"
        return "the run is told: it fetches again, and sends nothing for it"
    if order.what is Wish.RETRY:
        glob = options.get("id")
        if options.get("fetch"):
            return f"the run is told; it only downloads, and {later}"
        if glob and not fnmatchcase(order.chosen.id_glob or "", str(glob)):
            return f"the run is told; it sends only {glob} (--id), and other jobs wait for the next run"
        if "limit" in options:
            return f"the run is told; it sends {options['limit']} jobs at most (--limit), and the others wait"
    return "the run is told"


async def _do(order: Order, ledger: Ledger, workspace: Path) -> str:
    if order.what is Wish.CANCEL:
        return f"{len(await ledger.cancel(order.chosen))} cancelled"
    if order.what is Wish.RETRY:
        found = await ledger.put_back(order.chosen, time.time())
        if found.left and not found.total:
            return "nothing to put back: what was cancelled because of its parent comes back with the parent"
        return f"{found.total} put back: the next run takes them up"
    again = await refetch(ledger, order.chosen, tasks=True, now=time.time)
    if again.reopened:
        return f"{again.words()} by the next batchgen run: none is going on now"
    if again.downloads or again.reread:
        return f"{again.words()} by the next run, and at once by: batchgen fetch {workspace}"
    return again.words()
