"""Manifests that nobody would think of: what the plan takes, the run does; order decides nothing; counts are true."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from batchgen.batch import RunOptions, run_batch
from batchgen.cli.planning import Limits, make_plan
from batchgen.errors import ManifestError
from batchgen.manifest.load import open_manifest
from batchgen.manifest.matrix import Axis, axes_of
from batchgen.manifest.prompts import PromptMistake, parse
from batchgen.manifest.variants import Variants
from batchgen.model import Entry, Job, OutputState
from batchgen.stop import StopSignal

QUICK = {"latency": 0, "image_side": 16}
PROVIDERS = ("tu-zi", "apiyi", "modelverse", "openai", "openai-chat")

# Words with everything that has a meaning somewhere on the way: braces, bars, path and shell signs, other scripts.
words = st.text("ab {}|\\/:.+~\"'\n%é猫🐈𝔸", max_size=12)
names = st.sampled_from(["animal", "mood", "ratio", "size_", "名"])
blanks = names.map("{{{}}}".format)
prompts = st.recursive(
    words | blanks,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map("".join)
    | st.lists(inner, min_size=2, max_size=3, unique=True).map(lambda branches: "{" + "|".join(branches) + "}"),
    max_leaves=8,
)
lists = st.lists(words, min_size=1, max_size=3, unique=True)
free = st.dictionaries(names.filter(lambda name: name != "ratio"), lists, max_size=2)
keyed = st.fixed_dictionaries(
    {},
    optional={
        "ratio": st.lists(st.sampled_from(["1:1", "3:2", None]), min_size=1, max_size=2, unique=True),
        "n": st.just([1, 2]),
        "params": st.just([{"seed": 1}, {"seed": 2}]),
    },
)
matrices = st.builds(lambda one, two, zipped: one | two | zipped, free, keyed, st.sampled_from([{}, {"zip": True}]))
providers = st.sampled_from(PROVIDERS)
jobs = st.fixed_dictionaries(
    {"prompt": prompts},
    optional={
        "id": words,
        "provider": providers | st.lists(providers, min_size=1, max_size=2, unique=True),
        "model": st.sampled_from(["gpt-image-1", "gpt-4o-image"]),
        "ratio": st.sampled_from(["1:1", "16:9", "7:1"]),
        "size": st.sampled_from(["1024x1024", "auto", "2K"]),
        "n": st.integers(1, 3),
        "quality": words,
        "output_format": st.sampled_from(["png", "webp", "jpeg"]),
        "meta": st.dictionaries(names, words | st.integers() | st.lists(words, max_size=2), max_size=2),
        "params": st.dictionaries(words, st.integers(), max_size=1),
        "matrix": matrices | st.none(),
    },
)
templates = st.lists(
    words | st.sampled_from(["{id}", "{prompt}", "{position}", "{meta.mood}", "{animal}", "{sha256}", "{date}", "/"]),
    min_size=1,
    max_size=4,
).map("".join)
flags = st.booleans()
manifests = st.fixed_dictionaries(
    {"jobs": st.lists(jobs, min_size=1, max_size=3), "provider": st.just("tu-zi")},
    optional={
        "matrix": matrices,
        "defaults": st.fixed_dictionaries({"meta": st.dictionaries(names, words, max_size=2)}),
        "output": st.fixed_dictionaries({"path": templates}, optional={"embed": flags, "sidecar": flags}),
    },
)


def _entries(folder: Path, manifest: dict[str, Any]) -> list[Entry]:
    """The jobs as the plan sees them. Raises ManifestError."""
    twins = {name: {"base_url": "simulator", "simulate": QUICK} for name in PROVIDERS}
    path = folder / "m.yaml"
    path.write_text(json.dumps({**manifest, "providers": twins}, ensure_ascii=False), encoding="utf-8")
    return list(open_manifest(path).entries())


def _accepted(folder: Path, manifest: dict[str, Any]) -> list[Entry]:
    """The jobs of a manifest that has no mistake and is not too long to be run here."""
    entries: list[Entry] = []
    lines: tuple[str, ...] = ()
    try:
        entries = _entries(folder, manifest)
    except ManifestError as mistake:
        event("refused")
        lines = mistake.problems
    assert all("\n" not in line for line in lines)
    assume(not lines)
    assume(len(entries) <= 40)
    return entries


# Runs are slow to shrink, and every failure is told in full.
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(manifests)
def test_what_the_plan_takes_the_run_never_rejects_and_sends_no_more_than_planned(manifest: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = _accepted(folder, manifest)
        asyncio.run(_run_as_planned(folder, entries))


async def _run_as_planned(folder: Path, entries: Sequence[Entry]) -> None:
    manifest, workspace = open_manifest(folder / "m.yaml"), folder / "out"
    plan = await make_plan(manifest, workspace, Limits())
    assert plan.jobs.new == len(entries)
    report = await run_batch(open_manifest(folder / "m.yaml"), RunOptions(workspace=workspace, stop=StopSignal()))
    assert report.exit_code in (0, 1), report.reason
    again = await make_plan(open_manifest(folder / "m.yaml"), workspace, Limits())
    assert (again.jobs.unchanged, again.requests) == (len(entries), 0)
    if report.exit_code == 0:  # 1: the provider did not take a quality or a field of somebody's invention
        assert report.requests <= plan.requests  # some providers bring more than they are asked for
        images = [path for path in (workspace / "images").rglob("*") if path.is_file() and path.suffix != ".json"]
        assert report.status.outputs[OutputState.SAVED] >= plan.images
        # What is named by its content is one file for all images with these bytes.
        assert len(images) >= (min(1, plan.images) if "{sha256" in (manifest.output.path or "") else plan.images)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(manifests, st.randoms(use_true_random=False))
def test_no_id_and_no_request_depends_on_any_order(manifest: dict[str, Any], random: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = {(entry.job.id, entry.fingerprint) for entry in _accepted(folder, manifest)}
        mixed = json.loads(json.dumps(manifest))
        random.shuffle(mixed["jobs"])
        for section in (mixed, *mixed["jobs"]):
            _shuffle(section, random)
        after = {(entry.job.id, entry.fingerprint) for entry in _entries(folder, mixed)}
    assert after == before


def _shuffle(section: dict[str, Any], random: Any) -> None:
    """The keys of a matrix and, where they are not tied together, the values of each of its lists."""
    matrix = section.get("matrix")
    if not matrix:
        return
    keys = list(matrix)
    random.shuffle(keys)
    section["matrix"] = {key: matrix[key] for key in keys}
    if "zip" not in matrix:
        for values in matrix.values():
            random.shuffle(values)


axes = free.map(lambda lists: axes_of(lists, False))


@given(prompts | st.text("{}|a\" "), axes, axes)
def test_the_count_is_the_number_of_jobs(prompt: str, top: tuple[Axis, ...], own: tuple[Axis, ...]) -> None:
    job = Job(id="x", prompt=prompt, provider=("p",), model="m")
    try:
        variants = Variants(job, top, own)
    except PromptMistake:
        assume(False)
    assume(variants.count <= 2000)
    assert sum(1 for _ in variants) == variants.count


@given(st.text("{}|ab\" \n", max_size=40))
def test_any_text_is_sent_as_it_is_once_its_braces_are_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    prompt = parse(doubled)
    assert prompt.count == 1
    assert prompt.pick(0).filled({})[0] == (text if "{" in text else doubled)
