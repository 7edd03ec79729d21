"""The ledger beside the images: where these are in object storage, a copy of it goes there now and then.

Whoever loses the machine has the images and knows what they are. A copy that fails is told and ends nothing.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from batchgen.errors import StoreDown, WorkspaceError
from batchgen.images.naming import safe_name
from batchgen.ledger.connection import LEDGER
from batchgen.ledger.copy import copy_ledger
from batchgen.ledger.store import Ledger
from batchgen.storage.local import INCOMING, TOLD, remove
from batchgen.storage.stores import bucket

log = logging.getLogger(__name__)

FOLDER: Final = "ledger"
"""Below the prefix of the store."""

EVERY: Final = 600.0
"""Seconds between two copies, while anything changes; more where a copy takes long."""

KEPT: Final = 3
_SHARE: Final = 20
"""A copy may take one part in so many of the time."""

_MARK: Final = "backups"
"""The note of the ledger that tells its copies from those of another batch with the same prefix."""

_LAST: Final = "backed_up"
"""The note of how the batch stood at the latest copy."""


class Backups:
    """The copies of one ledger in one store; `now` gives epoch seconds."""

    def __init__(self, ledger: Ledger, workspace: Path, store: str, now: Callable[[], float]) -> None:
        self._ledger, self._workspace, self._store, self._now = ledger, workspace, store, now
        self._took = 0.0
        self.complaint: str | None = None
        """why the latest copy was not made"""

    async def keep(self) -> None:
        """A copy now and then, until cancelled."""
        while True:
            await anyio.sleep(max(EVERY, _SHARE * self._took))
            await self.look()

    async def look(self) -> bool:
        """Make a copy if anything changed since the last one; whether it did."""
        standing = await self._standing()
        if standing == await self._ledger.get_note(_LAST):
            return False
        mark = await self._mark()
        began = time.monotonic()
        try:
            # Who aborts does not wait for it: what is in the store is whole or not there.
            await anyio.to_thread.run_sync(partial(self._make, mark), abandon_on_cancel=True)
        except (StoreDown, WorkspaceError) as error:
            self.complaint = f"the ledger could not be copied: {error}"
            log.warning("%s", self.complaint)
            return True
        self._took, self.complaint = time.monotonic() - began, None
        await self._ledger.note(_LAST, standing)
        return True

    async def _standing(self) -> str:
        """What changes when anything does that is worth a copy."""
        status = await self._ledger.status()
        counts = (status.jobs, status.outputs, status.attempts, status.cost, status.unsettled)
        return json.dumps([self._store, *counts], sort_keys=True)

    async def _mark(self) -> str:
        mark = await self._ledger.get_note(_MARK)
        if mark is None:
            mark = secrets.token_hex(3)
            await self._ledger.note(_MARK, mark)
        return mark

    def _make(self, mark: str) -> None:
        stem = f"{safe_name(self._workspace.resolve().name)}-{mark}"
        name = f"{stem}-{datetime.fromtimestamp(self._now(), UTC):%Y%m%dT%H%M%SZ}.sqlite"
        size = (self._workspace / LEDGER).stat().st_size
        if shutil.disk_usage(self._workspace).free < 2 * size:
            raise WorkspaceError("there is no room on the disk for a copy of it")
        aside = self._workspace / INCOMING / f"{LEDGER}{TOLD}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        remove(aside)
        try:
            copy_ledger(self._workspace, aside)
            store = bucket(self._store)
            store.upload(f"{FOLDER}/{name}", aside)
            ours = re.compile(re.escape(f"{FOLDER}/{stem}-") + r"\d{8}T\d{6}Z\.sqlite")
            for old in sorted(path for path, _ in store.below(FOLDER) if ours.fullmatch(path))[:-KEPT]:
                store.remove(old)
        finally:
            remove(aside)
