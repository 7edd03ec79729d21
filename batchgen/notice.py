"""Tells others how a run ended: a webhook gets JSON, any other address goes through apprise.

An address is a secret (whoever has it can post there): it is never printed, logged or stored, only its host.
A notice that can't be delivered is one line of complaint and harms nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import anyio

from batchgen.answers import status_answer
from batchgen.codecs.base import Call
from batchgen.errors import JobError, UsageError
from batchgen.model import JobState, Json
from batchgen.sinks import Report
from batchgen.stop import INTERRUPTED
from batchgen.summary import Commands, counts, link_warning
from batchgen.transport import Head, Transport

PATIENCE: Final = 20.0
"""Seconds that all tries of one notice may take: the run is over, and somebody waits for the prompt."""

_PAUSES: Final = (1.0, 3.0)
"""Seconds before the second and the third try."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: a line, a few lines, and for webhooks all of it as values."""

    title: str
    text: str
    values: dict[str, Json]


def ended(name: str, report: Report, commands: Commands) -> Notice:
    """The notice of a run that came to its end, or was stopped early."""
    done = report.status.jobs.get(JobState.DONE, 0)
    total = sum(report.status.jobs.values())
    early = report.reason or ("interrupted" if report.exit_code == INTERRUPTED else None)
    title = f"batchgen: {name} {'stopped early' if early else 'ended'}, {done} of {total} jobs done"
    lines = [f"stopped: {early}"] if early else []
    lines.append(f"jobs: {counts(report.status.jobs, JobState)}")
    if warning := link_warning(report.status, commands):
        lines.append(f"links: {warning}")
    values: dict[str, Json] = {
        "event": "stopped" if early else "ended",
        "batch": name,
        "workspace": commands.workspace,
        "exit_code": report.exit_code,
        "reason": early,
        "run": {
            "seconds": round(report.run_seconds, 1),
            "requests": report.requests,
            "images": report.images,
            "cost": report.cost,
        },
        "status": status_answer(report.status),
    }
    return _notice(title, lines, values)


def links_die(name: str, report: Report, commands: Commands) -> Notice | None:
    """The notice that images are not on disk and their links die within a day; None when there are none."""
    warning = link_warning(report.status, commands)
    if warning is None:
        return None
    values: dict[str, Json] = {
        "event": "links_expiring",
        "batch": name,
        "workspace": commands.workspace,
        "status": status_answer(report.status),
    }
    return _notice(f"batchgen: links of {name} are about to die", [warning], values)


def broken(name: str, error: Exception, commands: Commands) -> Notice:
    """The notice of a run that an error ended."""
    values: dict[str, Json] = {"event": "stopped", "batch": name, "workspace": commands.workspace, "reason": str(error)}
    return _notice(f"batchgen: {name} stopped on an error", [str(error)], values)


def _notice(title: str, lines: Sequence[str], values: dict[str, Json]) -> Notice:
    text = "\n".join(lines)
    # `text` is what Slack, Mattermost and Google Chat show of a webhook.
    return Notice(title, text, {**values, "text": f"{title}\n{text}"})


class Messenger:
    """Delivers notices to some addresses. Raises `UsageError` for one that can never work."""

    def __init__(self, addresses: Sequence[str]) -> None:
        addresses = [one.strip() for one in addresses]
        self._webhooks = [one for one in addresses if _is_webhook(one)]
        others = [one for one in addresses if one not in self._webhooks]
        self._apprise = _apprise(others) if others else None

    async def tell(self, notice: Notice) -> list[str]:
        """Deliver to all; returns a line for each address where that failed."""
        complaints = [await self._post(address, notice) for address in self._webhooks]
        if self._apprise is not None:
            complaints.append(await _through(self._apprise, notice))
        return [line for line in complaints if line is not None]

    async def _post(self, address: str, notice: Notice) -> str | None:
        host = urlsplit(address).hostname or "nowhere"
        body = json.dumps(notice.values, ensure_ascii=False).encode()
        call = Call(method="POST", url=address, body=body, content_type="application/json")
        trouble = f"no answer within {PATIENCE:g} s"
        with anyio.move_on_after(PATIENCE):
            async with Transport() as transport:
                for pause in (*_PAUSES, None):
                    try:
                        status = await _status(transport, call)
                    except JobError as error:
                        trouble = error.message
                    else:
                        if status < 300:
                            return None
                        trouble = f"HTTP {status}"
                        if status < 500 and status != 429:
                            break  # it will say the same again
                    if pause is None:
                        break
                    await anyio.sleep(pause)
        return f"the notice to {host} was not delivered: {trouble}"


def _is_webhook(address: str) -> bool:
    """Whether it is posted to here, and not through apprise. Raises `UsageError` for what is no address."""
    scheme, separator, _ = address.partition("://")
    if not address:
        raise UsageError("--notify has no address: give one, such as https://host/hook, or leave --notify out")
    if not separator:
        raise UsageError(
            "--notify takes an address that begins with https:// (a webhook) or the scheme of a service that apprise "
            "knows, such as mailto://; this one has no '://'"
        )
    if scheme.lower() not in ("http", "https"):
        return False
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"--notify: no usable host and port follow {scheme}://; write it as in https://host/hook")
    return True


async def _through(apprise: Any, notice: Notice) -> str | None:  # Any: apprise has no types
    told = False
    with anyio.move_on_after(PATIENCE):
        told = await apprise.async_notify(title=notice.title, body=notice.text) or False
    return None if told else "a notice was not delivered; `apprise -v -b test ADDRESS` says why"


async def _status(transport: Transport, call: Call) -> int:
    async with aclosing(transport.send(call, timeout=PATIENCE)) as reply:
        head = await anext(reply)
    assert isinstance(head, Head), "a reply begins with its head"
    return head.status


def _apprise(addresses: Sequence[str]) -> Any:  # Any: apprise has no types
    try:
        import apprise  # an extra
    except ImportError as error:
        raise UsageError(
            "--notify with an address that is not http(s) needs the extra 'notify': pip install 'batchgen[notify]'"
        ) from error
    messenger = apprise.Apprise()
    for address in addresses:
        if not messenger.add(address):
            scheme = address.partition("://")[0]
            raise UsageError(f"--notify: apprise does not take this address ({scheme}://…); see its list of services")
    return messenger
