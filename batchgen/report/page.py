"""The page itself: head, summary, charts, reasons, pictures, as pieces of text that are written one after the other."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from batchgen.ledger.records import RunRecord
from batchgen.model import END_STATES, JobState, OutputState
from batchgen.report.charts import charts
from batchgen.report.gather import Facts, Maker
from batchgen.report.markup import number, period, seconds, size, table, text
from batchgen.report.reasons import reasons
from batchgen.report.sheet import Source, sheet
from batchgen.report.times import axis, quantile
from batchgen.summary import Commands, counted

STYLE: Final = files("batchgen.report").joinpath("style.css").read_text(encoding="utf-8")

_PARTS: Final = (("summary", "Summary"), ("time", "Over time"), ("left", "Not done"), ("pictures", "Pictures"))
# What is there first, what is on its way next, what needs somebody last.
_BEFORE: Final = (JobState.DONE, JobState.GENERATED, JobState.RUNNING, JobState.PENDING)
_SHOWN: Final = (*_BEFORE, *(state for state in JobState if state not in _BEFORE))


@dataclass(frozen=True, slots=True)
class Subject:
    """What the page is about. `chosen` are the words of `--where`, for a page about a part of the batch."""

    name: str
    facts: Facts
    run: RunRecord | None
    commands: Commands
    chosen: tuple[str, ...] = ()

    @property
    def going(self) -> bool:
        """Whether a run is at work."""
        return self.run is not None and self.run.alive


def policy(style: str) -> str:
    """The strictest policy with which the page still shows itself: its own style, pictures in it or beside it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    own = f"style-src 'sha256-{digest}'; img-src 'self' file: data:"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def page(subject: Subject, source: Source) -> Iterator[str]:
    """The whole HTML document."""
    facts = subject.facts
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy(STYLE))}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<title>{text(subject.name)} – batchgen</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body>"
    )
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _PARTS)
    yield f'<a class="skip" href="#pictures">To the pictures</a>\n<nav aria-label="Parts of the page">{links}</nav>'
    yield "\n<main>"
    yield from _summary(subject)
    yield f'\n<section id="time"><h2>Over time</h2>{charts(facts.timeline)}</section>'
    yield '\n<section id="left"><h2>Not done, and why</h2>'
    yield from reasons(facts, subject.commands, going=subject.going)
    yield f'</section>\n<section id="pictures"><h2>Pictures{_by(facts)}</h2>'
    yield from sheet(facts, source)
    yield "</section>\n</main>\n<footer>Made by batchgen from its ledger. Nothing here comes from elsewhere.</footer>"
    yield "</body></html>\n"


def _by(facts: Facts) -> str:
    return f" <small>by {text(' × '.join(facts.group_by))}</small>" if facts.group_by else ""


def _summary(subject: Subject) -> Iterator[str]:
    facts = subject.facts
    yield f'<section id="summary"><header><h1>{text(subject.name)}</h1>{_badge(subject)}</header>'
    if subject.chosen:
        yield f'<p class="quiet">Only jobs with {text(" and ".join(subject.chosen))}.</p>'
    yield f'<p class="quiet">{text(_when(facts))}</p>'
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _figures(facts))
    yield f'<dl class="figures">{figures}</dl>{_progress(facts)}'
    if facts.makers:
        rows = [_maker(provider, model, maker) for (provider, model), maker in facts.makers.items()]
        heads = ("Model", "Provider", "Jobs", "Pictures", "Attempts", "Failed", "Half within", "Cost")
        yield table(heads, rows, "By model and provider")
    yield "</section>"


def _badge(subject: Subject) -> str:
    states, run = subject.facts.states, subject.run
    ended = sum(states[state] for state in END_STATES)
    if subject.going:
        return '<span class="badge going">running</span>'
    if not states.total():
        return '<span class="badge">empty</span>'
    if states[JobState.DONE] == states.total():
        return '<span class="badge good">all done</span>'
    if ended == states.total():
        return f'<span class="badge bad">{states.total() - states[JobState.DONE]:,} not done</span>'
    why = f": {text(run.reason)}" if run is not None and run.reason else ""
    return f'<span class="badge">stopped{why}</span>'


def _when(facts: Facts) -> str:
    line = facts.timeline
    found = axis(line.saved, line.answered, *line.errors.values())
    if found is None:
        return "Nothing has been sent yet."
    busy = sum(one.end - one.start for one in found.bins)
    return f"{period(found.start, found.end)}, {seconds(busy)} of work."


def _figures(facts: Facts) -> Iterator[tuple[str, str]]:
    images = facts.outputs[OutputState.SAVED]
    yield "pictures on disk", f"{images:,}<small>{size(facts.bytes)}</small>"
    yield "jobs done", f"{facts.states[JobState.DONE]:,}<small>of {facts.jobs:,}</small>"
    failed = sum(len(times) for times in facts.timeline.errors.values())
    share = f"{failed / facts.attempts:.0%} failed" if facts.attempts else "none yet"
    yield "attempts", f"{facts.attempts:,}<small>{share}</small>"
    half = quantile(facts.timeline.seconds, 0.5)
    slow = quantile(facts.timeline.seconds, 0.9)
    if half is not None and slow is not None:
        yield "half of the answers within", f"{seconds(half)}<small>nine in ten within {seconds(slow)}</small>"
    if facts.cost is not None:
        each = f"{number(facts.cost / images)} a picture" if images else "by the price list"
        yield "cost", f"{facts.cost:,.2f}<small>{each}</small>"


def _progress(facts: Facts) -> str:
    total = facts.jobs
    if not total:
        return ""
    bars, keys, left = "", "", 0.0
    for state in _SHOWN:
        count = facts.states[state]
        if count:
            width = 1000 * count / total
            place = f'x="{left:.2f}" width="{width:.2f}" height="10"'
            bars += f'<rect class="{state}" {place}><title>{count:,} {state}</title></rect>'
            keys += f'<li><i class="key {state}"></i>{count:,} {state}</li>'
            left += width
    words = text(", ".join(f"{facts.states[state]} {state}" for state in _SHOWN if facts.states[state]))
    view = 'viewBox="0 0 1000 10" preserveAspectRatio="none"'
    return f'<svg class="bar" {view} role="img" aria-label="{words}">{bars}</svg><ul class="legend">{keys}</ul>'


def _maker(provider: str, model: str, maker: Maker) -> list[str]:
    half = quantile(maker.seconds, 0.5)
    counts = [f"{count:,}" for count in (maker.jobs, maker.images, maker.attempts, maker.failed)]
    took = seconds(half) if half is not None else "–"
    cost = f"{maker.cost:,.2f}" if maker.cost is not None else "–"
    return [text(model), text(provider), *counts, took, cost]


def told(facts: Facts) -> str:
    """A line for the terminal."""
    return f"{counted(facts.outputs[OutputState.SAVED], 'picture')} of {counted(facts.jobs, 'job')}"
