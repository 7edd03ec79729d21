"""The run log: plain lines in `run.log` of the workspace, without keys and without signed queries."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchgen.codecs.redact import redact, without_keys

RUN_LOG = "run.log"

_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>)]+")


class _Redacting(logging.Formatter):
    """Formats a record, traceback and all, and then takes out what nobody else may read."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return without_keys(redact(_QUERY.sub(r"\1?…", super().format(record))), self._secrets)


class _Log(logging.FileHandler):
    """A log whose own trouble is silent: a full disk is told by the run, once, and not by every line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line; the first one opens the file."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the line is lost."""


@contextmanager
def run_log(workspace: Path, secrets: Collection[str]) -> Iterator[logging.Logger]:
    """Append what the logger `batchgen` is told to the workspace's log, which begins with its first line."""
    handler = _Log(workspace / RUN_LOG, encoding="utf-8", delay=True)
    handler.setFormatter(_Redacting(secrets))
    logger, server = logging.getLogger("batchgen"), logging.getLogger("uvicorn")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    server.addHandler(handler)
    try:
        yield logger
    finally:
        server.removeHandler(handler)
        logger.removeHandler(handler)
        logger.setLevel(level)
        with suppress(OSError):  # the last lines, on a full disk
            handler.close()
