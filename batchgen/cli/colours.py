"""Colour for people: on a terminal alone, never with NO_COLOR or TERM=dumb, and never the only thing that says it.

Whole lines are painted by how they begin; a text without a terminal goes out as it is.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import click

_RULES = (
    (re.compile(r"\S.*: all \d+ jobs done$"), "green"),
    (re.compile(r"\S.*: \d+ of \d+ jobs done$"), "yellow"),
    (re.compile(r"stopped early: |\d+ (failed|expired)\b|!! "), "red"),
    (re.compile(r"interrupted: |\d+ (refused|held|cancelled|generated|cut|pending)\b|(warnings?|links) "), "yellow"),
    (re.compile(r" +-> "), "cyan"),
    (re.compile(r"ok +\S"), "green"),
)
_STATES = {"done": "green", "failed": "red", "expired": "red", "refused": "yellow", "held": "yellow"}
_COUNT = re.compile(r"\b[1-9]\d* (done|failed|expired|refused|held)\b")
_PLACE = re.compile(r"\S+?:\d+(:\d+)?: ")


def lively(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can move its cursor: for what is drawn over and over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colourful(stream: TextIO) -> bool:
    """Whether what goes there may have colours; see https://no-color.org."""
    return lively(stream) and not os.environ.get("NO_COLOR")


def say(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, painted where that is wanted."""
    stream = sys.stderr if err else sys.stdout
    click.echo("\n".join(map(painted, text.split("\n"))) if colourful(stream) else text, err=err)


def complain(text: str) -> None:
    """Print mistakes on stderr, one a line; the place of each stands out."""
    if colourful(sys.stderr):
        text = "\n".join(map(_placed, text.split("\n")))
    click.echo(text, err=True)


def painted(line: str) -> str:
    """One line in its colours."""
    for rule, colour in _RULES:
        if rule.match(line):
            return click.style(line, fg=colour)
    if line.startswith("jobs "):
        return _COUNT.sub(lambda found: click.style(found[0], fg=_STATES[found[1]]), line)
    return line


def state(word: str, cell: str) -> str:
    """A cell of a table with the state of a job in it, painted where stdout may have colours."""
    return click.style(cell, fg=_STATES.get(word)) if word in _STATES and colourful(sys.stdout) else cell


def _placed(line: str) -> str:
    found = _PLACE.match(line)
    return click.style(found[0], fg="red", bold=True) + line[found.end() :] if found else line
