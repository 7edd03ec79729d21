"""The head of a manifest: every section but the jobs, checked, and where the jobs come from.

A section with a mistake is reported and left out, so that the rest can still be checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from batchgen.manifest.files import survey
from batchgen.manifest.problems import Fatal, Origin, Place, Problems
from batchgen.manifest.row import Row
from batchgen.manifest.schema import FREE_KEYS, JOB_KEYS, Head
from batchgen.manifest.sources import Source, table_source, yaml_source
from batchgen.manifest.tables import SUFFIXES, Columns, is_column
from batchgen.manifest.wording import head_problem
from batchgen.manifest.words import did_you_mean, nearest, shortened
from batchgen.manifest.yaml_nodes import Node, Pair, locate, read_parts, value_of

YAML_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(slots=True)
class Written:
    """A head as read.

    `broken` names the providers that are left out; `digests` are of the file, then of the job file beside it.
    """

    origin: Origin
    root: Node
    head: Head
    source: Source
    digests: dict[Path, str]
    broken: frozenset[str] = frozenset()

    def place(self, *loc: str | int, on_key: bool = False) -> Place:
        """Where the value (or its key) at `loc` stands; the file alone when the head has no such thing."""
        line, column = locate(self.root, loc, on_key) if loc[0] in (self.root.pairs or ()) else (0, 0)
        return self.origin.at(line, column)


def read_head(path: Path, problems: Problems) -> Written:
    """Read the head of a YAML manifest; a CSV, TSV or JSONL file has an empty one.

    Mistakes go to the collector. Raises Fatal where nothing more can be read.
    """
    origin = Origin(str(path))
    digests = {path: survey(path, origin)}
    suffix = path.suffix.lower()
    root = Node("map", 1, 1, pairs={})
    if suffix in SUFFIXES:
        return Written(origin, root, Head(), table_source(path, origin, None), digests)
    if suffix not in YAML_SUFFIXES:
        raise Fatal(origin.at(), "a manifest ends in .yaml, .csv, .tsv or .jsonl")
    pairs: dict[str, Pair] = {}
    for part in read_parts(path, origin, "jobs", problems):
        if not part.item:
            pairs[part.key.text] = Pair(part.key, part.value)
    jobs = pairs.pop("jobs", None)
    root.pairs = pairs
    written = Written(origin, root, Head(), _no_rows, digests)
    _validate(written, problems)
    if jobs is not None:
        _find_jobs(written, jobs.value, path, problems)
    elif not any(nearest(name, ("jobs",)) for name in pairs):
        text = "no 'jobs': a list of jobs, or the path of a CSV, TSV or JSONL file"
        problems.add(origin.at(), text)
    return written


def _no_rows(_: Problems) -> Iterator[Row]:
    return iter(())


def _validate(written: Written, problems: Problems) -> None:
    values = value_of(written.root, FREE_KEYS)
    assert isinstance(values, dict)  # the root is a map node
    # A section that is there but empty (`settings:`) counts as left out.
    values = {key: value for key, value in values.items() if value is not None}
    try:
        written.head = Head.model_validate(values)
        return
    except ValidationError as error:
        errors = error.errors(include_url=False)
    broken = set()
    for found in errors:
        unknown = found["type"] == "extra_forbidden"
        problems.add(written.place(*found["loc"], on_key=unknown), head_problem(found))
        providers = values.get("providers")
        if found["loc"][0] == "providers" and isinstance(providers, dict) and len(found["loc"]) > 1:
            name = str(found["loc"][1])
            broken.add(name)
            values["providers"] = {key: value for key, value in providers.items() if key != name}
        else:
            values.pop(str(found["loc"][0]), None)
    written.broken = frozenset(broken)
    written.head = Head.model_validate(values)


def _find_jobs(written: Written, node: Node, path: Path, problems: Problems) -> None:
    if node.kind == "list":
        written.source = yaml_source(path, written.origin)
        if written.head.columns:
            text = "'columns' is for a job file, not for a list of jobs"
            problems.add(written.place("columns", on_key=True), text)
        return
    place = written.origin.at(node.line, node.column)
    file = path.parent / node.text
    if node.kind == "map" and node.pairs:
        first = next(iter(node.pairs))
        problems.add(place, f"jobs must be a list: '- id: {shortened(first, 30)}' instead of '{shortened(first, 30)}:'")
    elif node.kind != "scalar" or not node.text.strip():
        problems.add(place, "jobs must be a list, or the path of a CSV, TSV or JSONL file")
    elif file.suffix.lower() not in SUFFIXES:
        text = f"jobs '{node.text}' is no job file: it must end in .csv, .tsv or .jsonl"
        problems.add(place, text)
    else:
        _open_job_file(written, file, place, problems)


def _open_job_file(written: Written, file: Path, place: Place, problems: Problems) -> None:
    origin = Origin(str(file), order=1)
    try:
        written.digests[file] = survey(file, origin)
    except Fatal as fatal:
        # A whole file's trouble is told where the file is named, else in the file itself.
        told = (fatal.place, fatal.text) if fatal.place.line else (place, f"{file}: {fatal.text}")
        problems.add(*told)
        return
    written.source = table_source(file, origin, _columns(written, problems))


def _columns(written: Written, problems: Problems) -> Columns | None:
    if not written.head.columns:
        return None
    names: dict[str, str] = {}
    places: dict[str, Place] = {}
    for key, name in written.head.columns.items():
        if not is_column(key):
            text = f"unknown key '{key}' in 'columns'{did_you_mean(key, JOB_KEYS)}"
            problems.add(written.place("columns", key, on_key=True), text)
        elif name is None:
            problems.add(written.place("columns", key), f"columns.{key} names no column")
        else:
            names[key] = name
            places[key] = written.place("columns", key)
    return Columns(names, places)
