"""What is not done and why, in plain words, each with the command that deals with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from batchgen.model import JobState
from batchgen.report.gather import Facts, Reason
from batchgen.report.markup import text
from batchgen.summary import Commands, counted

WORDS: Final[Mapping[str, str]] = {
    "rate_limit": "The provider's limit a minute was reached.",
    "saturated": "The provider was overloaded.",
    "no_channel": "The provider had no channel for this model: an outage, or a model name it does not know.",
    "server_error": "The provider answered with an error of its own.",
    "connection": "The provider could not be reached; nothing was sent and nothing was billed.",
    "empty_reply": "The provider answered with nothing.",
    "no_image": "The answer had words in it and no picture.",
    "upstream_limit": "The provider's own account was at its limit.",
    "download": "The picture was made, and its download broke.",
    "not_there_yet": "The picture was announced, and its file never appeared.",
    "interrupted": "The answer was cut off. The provider may have gone on and billed it.",
    "unfinished": "The provider had begun and brought no picture in time.",
    "task_unknown": "The provider no longer knows its own task.",
    "unreadable": "The answer came whole and could not be read; it was billed.",
    "refused": "The provider's content policy turned the prompt or its pictures down.",
    "bad_request": "The provider will never take this request as it is.",
    "unknown_model": "The provider has no such model, or not for this key.",
    "store": "The object store of the images could not be reached, or refused.",
    "reference_lost": "A reference is a link, and its host did not give the picture.",
    "reference_unread": "The provider could not fetch a reference from its link.",
    "bad_reference": "A reference picture is missing, unreadable or not taken by the provider.",
    "task_failed": "The provider began and then gave up.",
    "link_dead": "The link died before the picture was saved.",
    "bad_image": "What was downloaded is no whole picture.",
    "blocked": "The link leads to an address that may not be fetched.",
    "bad_key": "The provider does not take the key.",
    "quota": "The account has no money left.",
    "not_allowed": "The provider has barred the account or this address.",
    "wrong_address": "The base URL is not one that this provider has.",
}
"""What each kind of error means to somebody who did not write the program."""

_STATES: Final[Mapping[JobState, str]] = {
    JobState.FAILED: "failed",
    JobState.REFUSED: "refused",
    JobState.HELD: "held back, perhaps billed",
    JobState.EXPIRED: "expired: the link died before the picture was saved",
    JobState.CANCELLED: "cancelled",
    JobState.GENERATED: "made, and not yet on disk",
    JobState.RUNNING: "on their way",
    JobState.PENDING: "not sent yet",
}
_ORDER: Final = tuple(_STATES)
_WAITING: Final = frozenset({JobState.PENDING, JobState.RUNNING, JobState.GENERATED})


def reasons(facts: Facts, commands: Commands, *, going: bool) -> Iterator[str]:
    """A block for each state and kind of reason, the worst state first, the largest kind before the others.

    `going`: a run is at work, which takes care of what only waits.
    """
    found = sorted(
        facts.reasons.items(), key=lambda item: (_ORDER.index(item[0][0]), -item[1].count, item[0][1], item[0][2])
    )
    if not found:
        yield '<p class="quiet">Every job is done.</p>' if facts.jobs else '<p class="quiet">There are no jobs yet.</p>'
    for (state, kind, way), reason in found:
        advice = _as_code(commands.advice(state, way, kind))
        if going and state in _WAITING:
            advice = "The run that is going on takes care of them."
        yield _block(state, kind, reason, advice, f"batchgen jobs {commands.workspace}")


def _block(state: JobState, kind: str, reason: Reason, advice: str, listing: str) -> str:
    again = state is JobState.PENDING and kind
    title = f"{reason.count:,} {'to be tried again' if again else _STATES[state]}"
    label = f' <code class="kind">{text(kind)}</code>' if kind else ""
    words = f"<p>{text(WORDS.get(kind, ''))}</p>" if kind in WORDS else ""
    # Those who only wait need no list of names.
    rows = "" if state in _WAITING and not kind else "".join(_named(kind, *one) for one in reason.named)
    more = reason.count - len(reason.named)
    only = f" --error {kind}" if kind else ""
    rest = f"{listing} --state {state}{only}"
    left = f"<li>and {more:,} more: <code>{text(rest)}</code></li>" if rows and more else ""
    opened = " open" if reason.count <= 5 else ""
    summary = f"<summary>{counted(reason.count, 'job')} by name</summary>"
    names = f"<details{opened}>{summary}<ul>{rows}{left}</ul></details>" if rows else ""
    head = f'<h3>{title}{label}</h3>{words}<p class="advice">{advice}</p>'
    return f'<article class="reason {state}">{head}{names}</article>'


def _named(kind: str, job_id: str, prompt: str, why: str) -> str:
    message = text(why.removeprefix(f"{kind}: "))
    return f'<li><b>{text(job_id)}</b> <span>{message}</span> <q>{text(prompt)}</q></li>'


def _as_code(advice: str) -> str:
    """Advice ends in a command, after a colon unless it is nothing else."""
    words, _, command = advice.rpartition(": ")
    said = f"{text(words[:1].upper() + words[1:])}: " if words else ""
    return f"{said}<code>{text(command)}</code>"
