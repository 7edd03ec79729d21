"""Manifests as real files: what is read, and that every mistake is told with its place."""

from __future__ import annotations

import base64
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.manifest.load import Manifest, open_manifest
from batchgen.model import Entry, OnUnknown, OutputRules
from batchgen.providers.profile import SIMULATED

Writer: TypeAlias = Callable[[str, str | bytes], Path]

JOBS = Path(__file__).parents[2] / "jobs"


def _png(path: Path, colour: str = "red") -> Path:
    Image.new("RGB", (8, 8), colour).save(path)
    return path


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Write files into the current folder, so that problem lines have short paths."""
    monkeypatch.chdir(tmp_path)

    def put(name: str, text: str | bytes) -> Path:
        data = text.encode() if isinstance(text, str) else text
        Path(name).write_bytes(data)
        return Path(name)

    return put


def _entries(path: Path, provider: str | None = None, model: str | None = None) -> list[Entry]:
    return list(open_manifest(path, provider=provider, model=model).entries())


def _mistakes(path: Path, provider: str | None = None) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        open_manifest(path, provider=provider).check()
    return list(caught.value.problems)


HEAD = "provider: tu-zi\n"


# --- the examples ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.[yj]*")), ids=lambda path: path.name)
def test_every_example_is_right_and_warns_of_nothing(path: Path) -> None:
    entries = _entries(path)
    assert entries
    assert [warning for entry in entries for warning in entry.warnings] == []


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_opens_by_saying_what_it_is_and_how_to_run_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    comments = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert 2 <= len(comments) <= 6
    assert f"batchgen run jobs/{path.name}" in "\n".join(comments)


def test_the_demo_is_simulated_throughout_and_has_one_refusal() -> None:
    manifest = open_manifest(JOBS / "demo.yaml")
    entries = list(manifest.entries())
    assert {profile.base_url for profile in manifest.profiles.values()} == {SIMULATED}
    assert sum(entry.job.n for entry in entries) > 20
    assert ["simulate:refusal" in entry.job.prompt for entry in entries].count(True) == 1


# --- what is read ------------------------------------------------------------------------------


def test_scalars_are_taken_as_written_where_text_is_expected(write: Writer) -> None:
    job = _entries(
        write(
            "a.yaml",
            HEAD
            + "jobs:\n- {id: 012, prompt: no, ratio: 16:9, quality: 1_0, meta: {sku: 012, n: 3, ok: true}}\n",
        )
    )[0].job
    assert (job.id, job.prompt, job.ratio, job.quality) == ("012", "no", "16:9", "1_0")
    assert job.meta == {"sku": "012", "n": 3, "ok": True}


def test_settings_name_and_output_are_read(write: Writer) -> None:
    text = "name: night\nsettings: {patience: 20m, on_unknown: resend, max_attempts: 2}\n"
    text += "output: {path: '{model}/{id}.{ext}', embed: yes}\n"
    manifest = open_manifest(write("a.yaml", text + HEAD + "jobs: [{prompt: x}]\n"))
    assert (manifest.name, manifest.settings.patience, manifest.settings.max_attempts) == ("night", 1200, 2)
    assert manifest.settings.on_unknown is OnUnknown.RESEND
    assert manifest.output == OutputRules(path="{model}/{id}.{ext}", embed=True)


def test_anchors_and_merge_keys_work(write: Writer) -> None:
    text = "jobs:\n- &base {id: a, prompt: x, ratio: 1:1, meta: {k: 1}}\n- {<<: *base, id: b, ratio: 3:2}\n"
    second = _entries(write("a.yaml", HEAD + text))[1].job
    assert (second.id, second.prompt, second.ratio, second.meta) == ("b", "x", "3:2", {"k": 1})


def test_identical_rows_are_separate_jobs_and_order_changes_no_id(write: Writer) -> None:
    one = _entries(write("a.csv", "prompt\ncat\ndog\ncat\ncat\n"), provider="tu-zi")
    two = _entries(write("b.csv", "prompt\ncat\nowl\ncat\ncat\ndog\n"), provider="tu-zi")
    assert {entry.job.id for entry in one} < {entry.job.id for entry in two}
    assert [entry.job.id[-2:] for entry in one[2:]] == ["-2", "-3"]
    assert len({entry.job.id for entry in one}) == 4


def test_provider_and_model_of_the_run_change_what_is_sent_but_no_id(write: Writer) -> None:
    path = write("a.yaml", HEAD + "jobs: [{prompt: x}]\n")
    plain, other = _entries(path)[0], _entries(path, provider="apiyi", model="gpt-image-2-all")[0]
    assert plain.job.id == other.job.id
    assert (other.job.provider, other.job.model) == (("apiyi",), "gpt-image-2-all")
    assert plain.fingerprint != other.fingerprint


def test_the_first_providers_default_model_is_sent_where_none_is_named(write: Writer) -> None:
    assert (
        _entries(write("a.yaml", "jobs: [{prompt: x, provider: [apiqik, tu-zi]}]\n"))[0].job.model
        == "gpt-image-1.5"
    )


def test_profiles_hold_what_is_defined_and_what_is_used(write: Writer) -> None:
    text = "providers: {mine: {extends: apiyi}}\njobs: [{prompt: x, provider: apiqik}]\n"
    manifest = open_manifest(write("a.yaml", text))
    assert manifest.check() == 1
    assert set(manifest.profiles) == {"mine", "apiqik"}


def test_a_matrix_multiplies_every_row_of_a_table_and_stays_in_meta(write: Writer) -> None:
    write("p.csv", "id,prompt,meta.size\na,a {size} {animal},big\n,{animal} {red|blue},\n")
    text = HEAD + "output: {path: '{animal}/{id}'}\nmatrix: {animal: [cat, dog], ratio: [1:1, 3:2]}\njobs: p.csv\n"
    entries = _entries(write("a.yaml", text))
    jobs = [entry.job for entry in entries]
    assert [(job.id, job.prompt, job.ratio) for job in jobs[:4]] == [
        ("a+cat+1x1", "a big cat", "1:1"),
        ("a+cat+3x2", "a big cat", "3:2"),
        ("a+dog+1x1", "a big dog", "1:1"),
        ("a+dog+3x2", "a big dog", "3:2"),
    ]
    assert jobs[0].meta == {"size": "big", "animal": "cat"}
    assert len(jobs) == 12
    assert len({job.id for job in jobs}) == 12
    assert {entry.place for entry in entries} == {"p.csv:2", "p.csv:3"}
    assert {entry.warnings for entry in entries} == {()}


def test_a_matrix_written_as_null_takes_back_the_manifests(write: Writer) -> None:
    text = HEAD + "matrix: {ratio: [1:1, 3:2]}\njobs: [{id: a, prompt: x}, {id: b, prompt: x, matrix: ~}]\n"
    assert [entry.job.id for entry in _entries(write("a.yaml", text))] == ["a+1x1", "a+3x2", "b"]


def test_a_matrix_may_stand_in_defaults_in_jsonl_and_in_a_cell(write: Writer) -> None:
    text = HEAD + "defaults: {id: '{k}', matrix: {k: [1.50, no]}}\njobs: [{prompt: 'x {k}'}]\n"
    assert [entry.job.id for entry in _entries(write("a.yaml", text))] == ["1.50", "no"]
    row = {"prompt": "x {k}", "provider": "tu-zi", "matrix": {"k": ["a", 2]}}
    assert [entry.job.prompt for entry in _entries(write("a.jsonl", json.dumps(row)))] == ["x a", "x 2"]
    path = write("a.csv", 'prompt,matrix\nx {k},"{""k"": [""a"", 2]}"\n')
    assert [entry.job.prompt for entry in _entries(path, provider="tu-zi")] == ["x a", "x 2"]


def test_columns_take_somebody_elses_file_as_it_is(write: Writer) -> None:
    write("p.tsv", '\ufeffPrompt\tCategory\tNote\n"quoted" and 5" tall\tArt\tx\nbond\tArt\t"\n')
    text = HEAD + "jobs: p.tsv\ncolumns: {prompt: Prompt, meta.category: Category}\n"
    entries = _entries(write("a.yaml", text))
    assert [entry.job.prompt for entry in entries] == ['"quoted" and 5" tall', "bond"]
    assert entries[0].job.meta == {"category": "Art"}
    assert [entry.place for entry in entries] == ["p.tsv:2", "p.tsv:3"]


def test_a_csv_row_counts_from_its_first_line(write: Writer) -> None:
    path = write("a.csv", 'prompt,ratio,meta.k\n"two\nlines",1:1,v\n\nlast,3:2,\n')
    entries = _entries(path, provider="tu-zi")
    assert [(entry.job.prompt, entry.place) for entry in entries] == [
        ("two\nlines", "a.csv:2"),
        ("last", "a.csv:5"),
    ]
    assert [dict(entry.job.meta) for entry in entries] == [{"k": "v"}, {}]


def test_a_cell_may_be_longer_than_the_csv_modules_limit(write: Writer) -> None:
    path = write("a.csv", "prompt,provider\n" + "x" * 200_000 + ",tu-zi\n")
    assert len(_entries(path)[0].job.prompt) == 200_000


def test_lists_in_a_cell_are_separated_by_bars(write: Writer) -> None:
    _png(Path("a.png"))
    job = _entries(write("a.csv", "prompt,provider,references\nx,apiyi|tu-zi,a.png | https://h/b.png\n"))[
        0
    ].job
    assert job.provider == ("apiyi", "tu-zi")
    assert job.references == (str(Path("a.png").resolve()), "https://h/b.png")


def test_jsonl_keeps_its_types(write: Writer) -> None:
    row = {"prompt": "x", "provider": ["tu-zi"], "n": 2, "meta": {"deep": [1, None]}, "params": {"seed": 7}}
    job = _entries(write("a.jsonl", json.dumps(row) + "\n\n"))[0].job
    assert (job.n, job.meta, job.params) == (2, {"deep": [1, None]}, {"seed": 7})


def test_a_number_of_a_json_line_is_taken_as_written_where_text_is_expected(write: Writer) -> None:
    rows = '{"id": 1.50, "prompt": 1e3, "n": 2.0, "meta": {"price": 1.50}, "matrix": {"k": [0.10, 0.1, 7]}}\n'
    jobs = [entry.job for entry in _entries(write("a.jsonl", rows), provider="tu-zi")]
    assert [job.id for job in jobs] == ["1.50+0.10", "1.50+0.1", "1.50+7"]
    assert {(job.prompt, job.n, json.dumps(job.meta["price"])) for job in jobs} == {("1e3", 2, "1.5")}


def test_the_digest_follows_the_manifest_and_its_job_file(write: Writer) -> None:
    write("p.csv", "prompt\nx\n")
    path = write("a.yaml", HEAD + "jobs: p.csv\n")
    first = open_manifest(path).digest
    assert open_manifest(path).digest == first
    write("p.csv", "prompt\ny\n")
    assert open_manifest(path).digest != first


def test_a_redrawn_reference_changes_the_request_and_a_moved_one_does_not(write: Writer) -> None:
    _png(Path("a.png"))
    path = write("a.yaml", HEAD + "jobs: [{id: j, prompt: x, references: [a.png]}]\n")
    first = _entries(path)[0]
    Path("sub").mkdir()
    _png(Path("sub/a.png"))
    moved = write("sub/a.yaml", path.read_bytes())
    assert _entries(moved)[0].fingerprint == first.fingerprint
    _png(Path("a.png"), "blue")
    assert _entries(path)[0].fingerprint != first.fingerprint


def test_a_large_table_is_streamed(write: Writer) -> None:
    path = write("a.csv", "prompt,provider\n" + "".join(f"{'word ' * 60}{n},tu-zi\n" for n in range(5000)))
    manifest: Manifest = open_manifest(path)
    manifest.check()  # imports and caches are not what is measured
    tracemalloc.start()
    assert manifest.check() == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_200_000 < path.stat().st_size


# --- mistakes ----------------------------------------------------------------------------------


def test_every_mistake_is_told_at_once_in_the_order_of_the_files(write: Writer) -> None:
    write("b.csv", "prompt,ratio,n\nx,1:1,1\ny,16x9,1\n,3:2,0\n")
    text = "provider: tu-zu\nsettings: {patience: soon}\njobs: b.csv\nproviders:\n  mine: {streem: yes}\n"
    assert _mistakes(write("a.yaml", text)) == [
        "a.yaml:1:11: unknown provider 'tu-zu', did you mean 'tu-zi'?",
        "a.yaml:2:22: patience 'soon' is not a duration such as 90s, 20m or 7d",
        "a.yaml:5:10: unknown key 'streem' in provider 'mine', did you mean 'stream'?",
        "b.csv:3: ratio '16x9' is not W:H",
        "b.csv:4: n '0' must be 1 or more",
        "b.csv:4: job 3 has no prompt",
    ]


JOB_MISTAKES = {
    "- id: cat\n  promt: x": ["a.yaml:4:3: unknown key 'promt' in job 'cat', did you mean 'prompt'?"],
    "- {ratio: 1:1}": ["a.yaml:3:3: job 1 has no prompt"],
    "- prompt: x\n  ratio: 16x9": ["a.yaml:4:10: ratio '16x9' is not W:H"],
    "- {prompt: x, prompt: y}": ["a.yaml:3:15: duplicate key 'prompt', first on line 3: keep one"],
    "- {id: a, prompt: x}\n- {id: a, prompt: y}": ["a.yaml:4:8: duplicate id 'a', first at a.yaml:3:8"],
    "- just text": ["a.yaml:3:3: job 1 must be a mapping with a prompt"],
    "- {prompt: x, provider: apyi}": ["a.yaml:3:25: unknown provider 'apyi', did you mean 'apiyi'?"],
    "- {prompt: x, after: y}": ["a.yaml:3:22: after 'y' is no job of this manifest"],
    "- {id: cat, prompt: x}\n- {prompt: y, after: catt}": [
        "a.yaml:4:22: after 'catt' is no job of this manifest, did you mean 'cat'?"
    ],
    "- {id: a, prompt: x, after: a}": ["a.yaml:3:29: 'after' goes round in a ring: a -> a"],
    "- {id: a, prompt: x, after: c}\n- {id: b, prompt: x, after: a}\n- {id: c, prompt: x, after: b}": [
        "a.yaml:3:29: 'after' goes round in a ring: a -> c -> b -> a"
    ],
    "- {id: a, prompt: x}\n- {prompt: y, after: {id: a, picture: 1}}": [
        "a.yaml:4:22: after has the unknown key 'picture': it takes id and image"
    ],
    "- {id: a, prompt: x}\n- {prompt: y, after: {image: 1}}": [
        "a.yaml:4:22: after names no job: give its id, as in {id: cat, image: 1}"
    ],
    "- {id: a, prompt: x}\n- {prompt: y, after: {id: a, image: -1}}": [
        "a.yaml:4:22: after image '-1' is below 0: the first image is 0"
    ],
    "- {prompt: !!python/name:os.system x}": ["a.yaml:3:12: tag '!!python/name:os.system' is not taken: leave it out"],
    "- {prompt: x, provider: [apiyi, tu-zi], model: {apiyi: m, tuzi: m}}": [
        "a.yaml:3:65: model of unknown provider 'tuzi', did you mean 'tu-zi'?"
    ],
    "- {prompt: x, provider: [tu-zi, openai], model: {openai: gpt-9}}": [
        "a.yaml:3:58: provider 'openai' has no model 'gpt-9'; batchgen providers lists them"
    ],
    "- {prompt: x, model: {tu-zi: ~}}": [
        "a.yaml:3:22: model by provider must name a model for each, as in {apiyi: gpt-image-2, tu-zi: gpt-4o-image}"
    ],
    "- {prompt: x, references: [no.png]}": ["a.yaml:3:28: reference 'no.png' (no such file)"],
    "- {prompt: x, references: ['ftp://host/a.png']}": [
        "a.yaml:3:28: reference 'ftp://host/a.png' is neither a file nor an http(s) address"
    ],
    "- {prompt: x, references: [a.yaml]}": ["a.yaml:3:28: reference 'a.yaml' is not an image"],
    "- {prompt: x, references: ['.']}": ["a.yaml:3:28: reference '.' is a folder"],
    "- {prompt: x, references: ['https://']}": [
        "a.yaml:3:28: reference 'https://' is not a whole http(s) address"
    ],
    "- {prompt: x, references: ['data:image/png;base64,%%%']}": [
        "a.yaml:3:28: reference 'data:image/png;base64,…' holds broken base64"
    ],
    "- {prompt: x, provider: openai, model: gpt-imge-1}": [
        "a.yaml:3:40: provider 'openai' has no model 'gpt-imge-1', did you mean 'gpt-image-1'?"
    ],
    "- {prompt: x, provider: openai-chat, model: flux-kontext-dev}": [
        "a.yaml:3:25: provider 'openai-chat' needs base_url, such as https://host/v1"
    ],
    "- {prompt: x, provider: apiyi, model: flux-kontext-dev}": [
        "a.yaml:3:3: model 'flux-kontext-dev' at apiyi needs a reference image, the job has 0"
    ],
    "- {prompt: *nothing}": [
        "a.yaml:3:12: alias '*nothing' has no finished anchor before it: mark the value with '&nothing' first"
    ],
    "- {id: a, prompt: x, matrix: {n: [1, none]}}": ["a.yaml:3:38: matrix.n.1 'none' is not a whole number"],
    "- {id: a, prompt: '{x|y|x}'}": ["a.yaml:3:19: prompt has the alternative 'x' twice"],
    "- {prompt: x, matrix: {provider: [tu-zi, apyi]}}": [
        "a.yaml:3:34: unknown provider 'apyi', did you mean 'apiyi'?"
    ],
    "- {prompt: x, n: 20000}": ["a.yaml:3:18: n '20000' must be at most 10,000"],
    "- prompt: a: b": [
        "a.yaml:3:12: not YAML: mapping values are not allowed in this context: text with ': ' in it goes in quotes"
    ],
    "- prompt: @a": [
        "a.yaml:3:11: not YAML: found character that cannot start any token: text that begins with %, @ or ` goes "
        "in quotes, and lines are indented with spaces, not tabs"
    ],
    "- prompt: 'bell \x07'": ["a.yaml:3: unreadable as YAML: control characters are not allowed"],
    "- {id: a+1, prompt: x}\n- {id: a, prompt: x, matrix: {n: [1]}}": [
        "a.yaml:4:8: duplicate id 'a+1', first at a.yaml:3:8"
    ],
    "- {id: a, prompt: x, matrix: {k: [a b, a_b]}}": [
        "a.yaml:3:8: duplicate id 'a+a_b', first at a.yaml:3:8"
    ],
    "- id: big\n  prompt: '" + "{a|b|c|d|e|f|g|h|i|j}" * 12 + "'": [
        "a.yaml:4:11: job 'big' makes 1,000,000,000,000 jobs: a manifest may multiply to 10,000,000"
    ],
    "- &a [*a]": ["a.yaml:3:7: alias '*a' has no finished anchor before it: mark the value with '&a' first"],
    "- {prompt: x": [
        "a.yaml:4:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping from line 3 on"
    ],
}


@pytest.mark.parametrize(("jobs", "told"), JOB_MISTAKES.items(), ids=list(JOB_MISTAKES))
def test_a_mistake_in_a_job_is_told_with_line_and_column(write: Writer, jobs: str, told: list[str]) -> None:
    assert _mistakes(write("a.yaml", HEAD + "jobs:\n" + jobs + "\n")) == told


HEAD_MISTAKES = {
    "": ["a.yaml: empty"],
    "# nothing\n": ["a.yaml: empty: a manifest is a mapping with 'jobs' (batchgen init writes one)"],
    "- a\n": ["a.yaml:1:1: a manifest is a mapping with 'jobs' (batchgen init writes one)"],
    "provider: tu-zi\n": ["a.yaml: no 'jobs': a list of jobs, or the path of a CSV, TSV or JSONL file"],
    "job: []\n": ["a.yaml:1:1: unknown key 'job', did you mean 'jobs'?"],
    "!!python/object:os.x\njobs: !!set [{prompt: x, provider: tu-zi}]\n": [
        "a.yaml:1:1: tag '!!python/object:os.x' is not taken: leave it out",
        "a.yaml:2:7: tag '!!set' is not taken: leave it out",
    ],
    "jobs: []\n": ["a.yaml: no jobs in it: it needs one at least"],
    "jobs: {cat: {prompt: x}}\n": ["a.yaml:1:7: jobs must be a list: '- id: cat' instead of 'cat:'"],
    "jobs: {}\n": ["a.yaml:1:7: jobs must be a list, or the path of a CSV, TSV or JSONL file"],
    "jobs: no.csv\n": ["a.yaml:1:7: no.csv: no such file"],
    "jobs: no.txt\n": ["a.yaml:1:7: jobs 'no.txt' is no job file: it must end in .csv, .tsv or .jsonl"],
    "jobs: [{prompt: x, provider: tu-zi}]\nmatrix: {ratio: [1:1, 1to1], animal: cat}\n": [
        "a.yaml:2:23: matrix.ratio.1 '1to1' is not W:H",
        "a.yaml:2:38: matrix.animal must be a list of values",
    ],
    "jobs: [{prompt: x}]\nprovider: tu-zi\noutput: {path: '{promt}-{animal}'}\n": [
        "a.yaml:3:16: output.path '{promt}-{animal}' has the unknown placeholder '{animal}'",
        "a.yaml:3:16: output.path '{promt}-{animal}' has the unknown placeholder '{promt}', did you mean '{prompt}'?",
    ],
    "jobs: [{prompt: x, provider: tu-zi}]\n---\na: b\n": [
        "a.yaml:2:1: a second document ('---'): give it a file of its own"
    ],
    "jobs: [{prompt: x}]\n": [
        "a.yaml:1:8: job 1 has no provider: name one in the manifest, or with --provider"
    ],
    "jobs: [{prompt: x, provider: own}]\nproviders: {own: {base_url: 'http://h/v1'}}\n": [
        "a.yaml:1:8: job 1 has no model"
    ],
    "defaults: {ratios: 1:1}\njobs: [{prompt: x, provider: tu-zi}]\n": [
        "a.yaml:1:12: unknown key 'ratios' in 'defaults', did you mean 'ratio'?"
    ],
    "defaults: {mask: no.png}\njobs: [{prompt: x, provider: openai, references: [a.yaml]}]\n": [
        "a.yaml:1:18: mask 'no.png' (no such file)",
        "a.yaml:2:51: reference 'a.yaml' is not an image",
    ],
    "providers: {a: {extends: b}, b: {extends: a}}\njobs: [{prompt: x, provider: a}]\n": [
        "a.yaml:1:17: provider 'a' extends itself: extends names another",
        "a.yaml:1:34: provider 'b' extends itself: extends names another",
    ],
    "jobs: []\nproviders:\n  apiyi: {base_url: simulator, simulate: {latncy: 1}}\n": [
        "a.yaml:3:32: simulate of provider 'apiyi': unknown key 'latncy', did you mean 'latency'?"
    ],
    "providers: {apiyi: {limits: {concurrency: 0}}}\njobs: [{prompt: x, provider: apiyi}]\n": [
        "a.yaml:1:43: limits.concurrency '0' must be 1 or more"
    ],
}


@pytest.mark.parametrize(("text", "told"), HEAD_MISTAKES.items(), ids=list(HEAD_MISTAKES))
def test_a_mistake_in_the_head_is_told_with_its_place(write: Writer, text: str, told: list[str]) -> None:
    assert _mistakes(write("a.yaml", text)) == told


def test_each_provider_of_a_list_has_the_model_that_is_named_for_it_else_its_own_default(write: Writer) -> None:
    jobs = {
        "model: {apiyi: one, tu-zi: two}": ("one", "two"),
        "model: {tu-zi: two}": ("gpt-image-2-vip", "two"),
        "model: one": ("one", "one"),
        "ratio: '1:1'": ("gpt-image-2-vip", "gpt-image-1-vip"),
    }
    for key, models in jobs.items():
        path = write("a.yaml", f"provider: [apiyi, tu-zi]\njobs:\n- {{prompt: x, {key}}}\n")
        (entry,) = open_manifest(path).entries()
        assert tuple(entry.job.at(name).model for name in entry.job.provider) == models
        (entry,) = open_manifest(path, model="other").entries()
        assert (entry.job.model, entry.job.models) == ("other", {})
        (entry,) = open_manifest(path, provider="tu-zi").entries()
        assert (entry.job.model, entry.job.models) == (models[1], {})


def test_a_model_of_a_matrix_takes_the_place_of_those_by_provider(write: Writer) -> None:
    text = "provider: [apiyi, tu-zi]\ndefaults: {model: {apiyi: one, tu-zi: two}}\nmatrix: {model: [three, four]}\n"
    entries = open_manifest(write("a.yaml", f"{text}jobs: [{{id: a, prompt: x}}]\n")).entries()
    assert [(entry.job.model, entry.job.models) for entry in entries] == [("three", {}), ("four", {})]


def test_one_mistake_of_the_defaults_is_told_once_for_all_jobs(write: Writer) -> None:
    jobs = "jobs:\n" + "- {prompt: x}\n" * 50
    assert len(_mistakes(write("a.yaml", "provider: nobody\ndefaults: {references: [no.png]}\n" + jobs))) == 2


TABLE_MISTAKES = {
    ("a.csv", "promt\nx\n"): ["a.csv:1: unknown column 'promt', did you mean 'prompt'?"],
    ("a.csv", "prompt,zzz\nx,y\n"): [
        "a.csv:1: unknown column 'zzz': columns of your own are named meta.NAME, "
        "or left out by 'columns' in a YAML manifest"
    ],
    ("a.csv", "ratio,quality\n1:1,x\n2:3,y\n"): ["a.csv:1: no column 'prompt'"],
    ("a.csv", "prompt,,prompt\nx,y,z\n"): [
        "a.csv:1: column 'prompt' is there twice: keep one",
        "a.csv:1: column 2 has no name: name it, or take its cells out",
    ],
    ("a.csv", "prompt\na cat, black\n"): [
        "a.csv:2: 2 cells where the header has 1: quote a cell that has a comma in it"
    ],
    ("a.csv", 'prompt\n"one\ntwo"\n"never closed\nx\n'): [
        "a.csv:4: a quote that is opened here is never closed"
    ],
    ("a.csv", "prompt;ratio\nx;1:1\n"): [
        "a.csv:1: the columns are separated by ';': commas belong into a .csv, tabs into a .tsv"
    ],
    ("a.tsv", "prompt,ratio\nx,1:1\n"): [
        "a.tsv:1: the columns are separated by ',': commas belong into a .csv, tabs into a .tsv"
    ],
    ("a.csv", "prompt\n"): ["a.csv: no jobs in it: it needs one at least"],
    ("a.csv", "\n\n"): ["a.csv: empty: the first line names the columns"],
    ("a.csv", "prompt,params\nx,{}\ny,[1]\n"): ["a.csv:3: params is not a JSON object: it must be {…}"],
    ("a.csv", "id,prompt\na,x\nb,y\na,z\n"): ["a.csv:4: duplicate id 'a', first at a.csv:2"],
    ("a.jsonl", '{"prompt": "x"}\n[1]\n{"a": 1, "a": 2}\n{"prompt": NaN}\n{oops\n'): [
        "a.jsonl:2: not a JSON object: it must be {…}",
        "a.jsonl:3: not a JSON object: key 'a' is there twice",
        "a.jsonl:4: not a JSON object: NaN is no JSON",
        "a.jsonl:5: not a JSON object: Expecting property name enclosed in double quotes (character 2)",
    ],
    ("a.jsonl", '{"prompt": "x", "ratoi": "1:1"}\n'): [
        "a.jsonl:1: unknown key 'ratoi' in job 1, did you mean 'ratio'?"
    ],
    ("a.jsonl", "[" * 200_000 + "\n"): ["a.jsonl:1: not a JSON object: nested too deep"],
    ("a.jsonl", '{"prompt": "x", "params": {"k": 1e999}}\n{"prompt": ' + "1" * 5000 + "}\n"): [
        "a.jsonl:1: not a JSON object: 1e999 is more than a number can be",
        "a.jsonl:2: not a JSON object: a number of 5,000 digits: write it as text, in quotes",
    ],
    ("a.tsv", "prompt\tn\nx\t1\ty\n"): ["a.tsv:2: 3 cells where the header has 2"],
    ("a.txt", "prompt\n"): ["a.txt: a manifest ends in .yaml, .csv, .tsv or .jsonl"],
}


@pytest.mark.parametrize(
    ("file", "told"), TABLE_MISTAKES.items(), ids=[str(key)[:60] for key in TABLE_MISTAKES]
)
def test_a_mistake_in_a_table_is_told_with_its_line(
    write: Writer, file: tuple[str, str], told: list[str]
) -> None:
    assert sorted(_mistakes(write(*file), provider="tu-zi")) == sorted(told)


def test_a_column_that_does_not_exist_is_told_in_the_manifest(write: Writer) -> None:
    write("p.csv", "Prompt,Ratio\nx,1:1\n")
    text = HEAD + "jobs: p.csv\ncolumns:\n  prompt: Promt\n  ratoi: Ratio\n"
    assert _mistakes(write("a.yaml", text)) == [
        "a.yaml:4:11: no column 'Promt' in p.csv, did you mean 'Prompt'?",
        "a.yaml:5:3: unknown key 'ratoi' in 'columns', did you mean 'ratio'?",
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"prompt\nx\n\xff\xfe\n", "a.csv:3: not UTF-8 text: save it as UTF-8"),
        (b"prompt\nx\x00y\n", "a.csv:2: not a text file, as it has NUL bytes: save it as UTF-8 text"),
        ("prompt\nx\n".encode("utf-16"), "a.csv:1: not UTF-8 text but UTF-16: save it as UTF-8"),
        (b"prompt\nab\xe4\xb8", "a.csv:2: not UTF-8 text: it ends in the middle of a character"),
        (b"", "a.csv: empty"),
    ],
)
def test_a_file_that_is_no_text_is_told_in_one_line(write: Writer, data: bytes, told: str) -> None:
    assert _mistakes(write("a.csv", data)) == [told]


def test_a_missing_file_and_a_folder_are_told_in_one_line(write: Writer) -> None:
    assert _mistakes(Path("no.yaml")) == ["no.yaml: no such file"]
    write("cats.yaml", "jobs: []\n")
    assert _mistakes(Path("cat.yaml")) == ["cat.yaml: no such file, did you mean 'cats.yaml'?"]
    Path("d.yaml").mkdir()
    assert _mistakes(Path("d.yaml")) == ["d.yaml: is a folder: give the YAML, CSV, TSV or JSONL file in it"]


def test_a_pipe_or_a_device_is_told_in_one_line_and_not_read_without_end(write: Writer) -> None:
    os.mkfifo("pipe.yaml")
    assert _mistakes(Path("pipe.yaml")) == [
        "pipe.yaml: is a device or a pipe: it is read more than once, so save it as a file"
    ]
    references = HEAD + "jobs:\n- {prompt: x, references: [/dev/zero, pipe.yaml]}\n"
    assert _mistakes(write("a.yaml", references)) == [
        "a.yaml:3:28: reference '/dev/zero' can't be read (a device or a pipe, not a file)",
        "a.yaml:3:39: reference 'pipe.yaml' can't be read (a device or a pipe, not a file)",
    ]


def test_a_picture_too_large_to_be_read_is_told_without_reading_it(write: Writer) -> None:
    with Path("huge.png").open("wb") as file:
        file.truncate(100_000_001)
    assert _mistakes(write("a.yaml", HEAD + "jobs:\n- {prompt: x, references: [huge.png]}\n")) == [
        "a.yaml:3:28: reference 'huge.png' can't be read (larger than 100,000,000 bytes)"
    ]


@pytest.mark.parametrize("bracket", ["[", "{a: "])
def test_deep_nesting_is_refused_and_not_recursed_into(write: Writer, bracket: str) -> None:
    (told,) = _mistakes(write("a.yaml", HEAD + "jobs: [{prompt: x, meta: " + bracket * 200_000))
    assert told.endswith("nested more than 50 deep") or "not YAML" in told


def test_an_alias_bomb_is_refused(write: Writer) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = HEAD + "defaults:\n  meta:\n" + "".join(f"    {level}\n" for level in levels) + "jobs: [{prompt: x}]\n"
    assert "aliases stand for too many values" in _mistakes(write("a.yaml", text))[0]


def test_a_mask_must_be_a_png(write: Writer) -> None:
    Image.new("RGB", (8, 8)).save("m.jpg")
    _png(Path("a.png"))
    text = "provider: openai\njobs:\n- {prompt: x, references: [a.png], mask: m.jpg}\n"
    assert _mistakes(write("a.yaml", text)) == ["a.yaml:3:42: mask 'm.jpg' is not a PNG"]


def test_a_data_url_is_looked_at_like_a_file(write: Writer) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    good = base64.b64encode(buffer.getvalue()).decode()
    bad = base64.b64encode(b"no picture").decode()
    rows = [{"prompt": "x", "references": [f"data:image/png;base64,{data}"]} for data in (good, bad)]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert _mistakes(path, "apiyi") == ["a.jsonl:2: reference 'data:image/png;base64,…' is not an image"]


def test_an_unknown_provider_of_the_command_line_is_told_once(write: Writer) -> None:
    path = write("a.csv", "prompt\nx\ny\n")
    assert _mistakes(path, "tu-zu") == ["--provider: unknown provider 'tu-zu', did you mean 'tu-zi'?"]


def test_a_table_without_any_provider_is_told_once(write: Writer) -> None:
    told = ["a.csv:1: no column 'provider': name one in the manifest, or with --provider"]
    assert _mistakes(write("a.csv", "prompt\nx\ny\n")) == told


def test_after_the_first_mistake_nothing_more_is_yielded(write: Writer) -> None:
    manifest = open_manifest(write("a.csv", "prompt,n\na,1\nb,0\nc,1\n"), provider="tu-zi")
    entries = manifest.entries()
    assert next(entries).job.prompt == "a"
    with pytest.raises(ManifestError):
        next(entries)


def test_what_a_large_picture_is_shrunk_to_is_part_of_its_job_and_no_other_setting_is(tmp_path: Path) -> None:
    Image.effect_noise((400, 300), 50).save(tmp_path / "large.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")

    def read(setting: str) -> list[Entry]:
        path = tmp_path / "m.yaml"
        path.write_text(
            f"providers: {{p: {{base_url: simulator{setting}}}}}\nprovider: p\ndefaults: {{model: m}}\n"
            "jobs: [{prompt: a, references: [large.png]}, {prompt: b, references: [small.png]}]\n"
        )
        return _entries(path)

    plain = read("")
    shrunk = read(", references: {max_side: 100}")
    assert shrunk[0].fingerprint != plain[0].fingerprint
    assert [entry.job.id for entry in shrunk] == [entry.job.id for entry in plain]
    assert shrunk[1].fingerprint == plain[1].fingerprint
    # Bounds that change nothing of what is sent change no job.
    assert read(", references: {max_side: 400}") == plain
    assert read(", references: {max_side: 100, max_bytes: 900000}") == shrunk


def test_a_reference_larger_than_its_provider_advises_is_warned_of_until_it_is_shrunk(write: Writer) -> None:
    advised = 1_500_000
    small = _png(Path("small.png")).read_bytes()
    write("large.png", small + bytes(advised + 1 - len(small)))
    write("fair.png", small + bytes(advised - len(small)))

    def warnings(provider: str, picture: str, more: str = "") -> list[str]:
        text = f"provider: {provider}\n{more}jobs: [{{prompt: a, references: [{picture}]}}]\n"
        return [warning for entry in _entries(write("m.yaml", text)) for warning in entry.warnings]

    assert warnings("apiyi", "large.png") == [
        "reference 'large.png' has 1,500,001 bytes, and apiyi advises 1,500,000 at most: "
        "'references: {max_bytes: 1500000}' there shrinks it"
    ]
    assert warnings("apiyi", "fair.png") == []
    assert warnings("tu-zi", "large.png") == []
    assert warnings("apiyi", "large.png", "providers: {apiyi: {references: {max_bytes: 1500000}}}\n") == []
