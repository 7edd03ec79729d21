"""Bad input, as users make it: one clear line for each mistake, exit code 2, and nothing made or sent."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.conftest import ROOT, Cli

HEAD = "provider: simulator\n"


def _lines(cli: Cli, manifest: str, *words: str) -> list[str]:
    """What `run` says about a manifest with mistakes."""
    said = cli.run("run", manifest, *words, code=2).stderr
    assert not (cli.folder / "out").exists()
    return said.splitlines()


def test_a_missing_file_is_one_line(cli: Cli) -> None:
    assert _lines(cli, "nowhere.yaml") == ["nowhere.yaml: no such file"]


def test_a_folder_is_no_manifest(cli: Cli) -> None:
    (cli.folder / "pictures").mkdir()
    assert _lines(cli, "pictures") == ["pictures: is a folder: give the YAML, CSV, TSV or JSONL file in it"]


def test_a_missing_job_file_is_named_where_the_manifest_names_it(cli: Cli) -> None:
    cli.write("m.yaml", f"{HEAD}jobs: rows.csv\n")
    assert _lines(cli, "m.yaml") == ["m.yaml:2:7: rows.csv: no such file"]


def test_an_unknown_model_of_a_strict_provider_is_named_with_a_suggestion(cli: Cli) -> None:
    cli.write("m.yaml", "provider: openai\njobs:\n  - {id: cat, prompt: a cat, model: gpt-imag-1}\n")
    (line,) = _lines(cli, "m.yaml")
    assert line == "m.yaml:3:37: provider 'openai' has no model 'gpt-imag-1', did you mean 'gpt-image-1'?"


@pytest.mark.parametrize("ratio", ["16x9", "wide", "0:1", "1:0", "'-1:2'", "'1:2:3'"])
def test_a_ratio_that_is_none_is_named_with_its_place(cli: Cli, ratio: str) -> None:
    cli.write("m.yaml", f"{HEAD}jobs:\n  - id: cat\n    prompt: a cat\n    ratio: {ratio}\n")
    (line,) = _lines(cli, "m.yaml")
    bare = ratio.strip("'")
    assert line == f"m.yaml:5:12: ratio '{bare}' is not W:H"


def test_a_ratio_in_a_table_is_named_with_the_line_of_its_row(cli: Cli) -> None:
    cli.write("rows.csv", 'prompt,ratio\n"a cat\nasleep",1:1\na boat,16x9\n')
    cli.write("m.yaml", f"{HEAD}jobs: rows.csv\n")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("rows.csv:4: ratio '16x9' is not W:H")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("notes.txt", "is not an image"),
        ("gone.png", "no such file"),
        ("torn.png", "is a damaged image"),
        (".", "is a folder"),
    ],
)
def test_a_reference_that_is_no_image_is_named_before_anything_is_sent(
    cli: Cli, file: str, says: str
) -> None:
    cli.write("notes.txt", "not a picture")
    whole = (ROOT / "jobs/assets/lighthouse.png").read_bytes()
    (cli.folder / "torn.png").write_bytes(whole[:-100])
    cli.write("m.yaml", f"{HEAD}jobs:\n  - {{id: cat, prompt: a cat, references: ['{file}']}}\n")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("m.yaml:3:")
    assert f"'{file}'" in line
    assert says in line


def test_a_mask_must_be_a_png(cli: Cli) -> None:
    (cli.folder / "cat.jpg").write_bytes((ROOT / "jobs/assets/cat.jpg").read_bytes())
    cli.write(
        "m.yaml", f"{HEAD}jobs:\n  - {{id: cat, prompt: a cat, references: [cat.jpg], mask: cat.jpg}}\n"
    )
    assert any("mask 'cat.jpg' is not a PNG" in line for line in _lines(cli, "m.yaml"))


def test_a_csv_with_a_wrong_column_says_which_and_what_was_meant(cli: Cli) -> None:
    cli.write("rows.csv", "prompt,raito\na cat,1:1\na boat,1:1\n")
    cli.write("m.yaml", f"{HEAD}jobs: rows.csv\n")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("rows.csv:1: ")
    assert "'raito'" in line
    assert "did you mean 'ratio'?" in line


def test_a_columns_mapping_to_a_column_that_is_not_there_is_named(cli: Cli) -> None:
    cli.write("rows.csv", "Text,Shape\na cat,1:1\n")
    cli.write("m.yaml", f"{HEAD}jobs: rows.csv\ncolumns: {{prompt: Prompt, ratio: Shape}}\n")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("m.yaml:3:")
    assert "'Prompt'" in line


def test_a_csv_without_a_prompt_column_is_told_once_and_not_for_every_row(cli: Cli) -> None:
    cli.write("rows.csv", "ratio\n1:1\n3:2\n")
    assert _lines(cli, "rows.csv", "--provider", "simulator") == ["rows.csv:1: no column 'prompt'"]


def test_an_id_that_comes_twice_is_named_with_both_places(cli: Cli) -> None:
    cli.write("m.yaml", f"{HEAD}jobs:\n  - {{id: cat, prompt: a}}\n  - {{id: cat, prompt: b}}\n")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("m.yaml:4:")
    assert "'cat'" in line
    assert "3" in line


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(cli: Cli) -> None:
    cli.write(
        "m.yaml",
        "provder: simulator\n"
        "settings: {max_attempts: many}\n"
        "defaults: {raito: 1:1}\n"
        "jobs:\n"
        "  - {id: a, promt: x}\n"
        "  - {id: b, prompt: y, n: 0}\n"
        "  - {id: c, prompt: z, references: [gone.png]}\n",
    )
    lines = _lines(cli, "m.yaml")
    assert cli.run("plan", "m.yaml", code=2).stderr.splitlines() == lines
    places = [int(line.split(":")[1]) for line in lines]
    assert places == sorted(places)
    assert {1, 2, 3, 5, 6, 7} <= set(places)
    assert "did you mean 'provider'?" in lines[0]


@pytest.mark.parametrize(
    "text",
    ["", "jobs: []\n", "provider: simulator\n", "just words\n", "jobs: {a: b}\n", "jobs: [\n", "\t- a\n"],
)
def test_a_file_that_holds_no_jobs_is_one_line(cli: Cli, text: str) -> None:
    cli.write("m.yaml", text)
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("m.yaml:")


def test_a_file_of_another_encoding_is_named_as_such(cli: Cli) -> None:
    (cli.folder / "m.yaml").write_bytes("provider: simulator\njobs:\n  - prompt: Käse\n".encode("latin-1"))
    assert _lines(cli, "m.yaml") == ["m.yaml:3: not UTF-8 text: save it as UTF-8"]


def test_a_key_written_into_a_manifest_is_refused_and_not_repeated(cli: Cli) -> None:
    cli.write(
        "m.yaml", f"{HEAD}providers: {{tu-zi: {{api_key: sk-very-secret}}}}\njobs: [{{prompt: a cat}}]\n"
    )
    (line,) = _lines(cli, "m.yaml")
    assert "api_key_env" in line
    assert "sk-very-secret" not in line


def _painted(path: Path, size: tuple[int, int], mode: str = "RGB") -> None:
    # Noise: a picture of one colour would be a small file.
    bands = len(Image.new(mode, (1, 1)).getbands())
    Image.frombytes(mode, size, random.Random(1).randbytes(size[0] * size[1] * bands)).save(path)


def test_pictures_that_the_provider_will_not_take_are_named_all_at_once(cli: Cli) -> None:
    _painted(cli.folder / "large.png", (400, 400))
    _painted(cli.folder / "small.png", (64, 64))
    _painted(cli.folder / "opaque.png", (64, 64))
    _painted(cli.folder / "mask.png", (32, 64), "RGBA")
    (cli.folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    lines = (
        "providers:\n"
        "  p: {extends: modelverse, base_url: simulator, references: {max_bytes: 100}}\n"
        "  q: {extends: modelverse, base_url: simulator}\n"
        "provider: q\n"
        "defaults: {model: dall-e-2}\n"
        "jobs:\n"
        "  - {prompt: a, references: [large.png], provider: p}\n"
        "  - {prompt: b, references: [small.png], mask: opaque.png}\n"
        "  - {prompt: c, references: [small.png], mask: mask.png}\n"
        "  - {prompt: d, references: [photo.heic]}\n"
        "  - {prompt: e, params: {image: ['data:image/png;base64,iVBORw0KGgo=']}}\n"
        "  - {prompt: f, meta: {thumb: 'data:image/png;base64,iVBORw0KGgo='}}\n"
    )
    cli.write("m.yaml", lines)
    assert _lines(cli, "m.yaml") == [
        "m.yaml:7:30: reference 'large.png' can't be made as small as 100 bytes",
        "m.yaml:8:48: mask 'opaque.png' has no alpha channel: a mask is transparent where the picture is to change",
        "m.yaml:9:48: mask 'mask.png' has 32x64 pixels, the first reference 64x64: they must be alike",
        "m.yaml:10:30: reference 'photo.heic' is a HEIC photo, which nobody here can read: save it as JPEG",
        "m.yaml:11:25: params.image.0 holds a picture: give it in 'references', as a file, a link or a data URL",
        "m.yaml:12:23: meta.thumb holds a picture: give it in 'references', as a file, a link or a data URL",
    ]


def test_a_picture_larger_than_the_provider_takes_is_a_mistake_until_it_may_be_shrunk(cli: Cli) -> None:
    _painted(cli.folder / "large.png", (1900, 1900))
    text = (
        "providers:\n"
        "  mine: {extends: apiyi, base_url: simulator%s}\n"
        "provider: mine\n"
        "jobs:\n"
        "  - {prompt: a, references: [large.png]}\n"
    )
    cli.write("m.yaml", text % "")
    (line,) = _lines(cli, "m.yaml")
    assert line.startswith("m.yaml:5:30: reference 'large.png' has 10,8")
    assert line.endswith(
        " bytes, more than the 10,000,000 allowed by mine: 'references: {max_bytes: 10000000}' there shrinks it"
    )
    cli.write("m.yaml", text % ", references: {max_bytes: 500000}")
    assert cli.json("plan", "m.yaml")["jobs"]["new"] == 1


def test_a_mistake_in_the_references_of_a_provider_is_named(cli: Cli) -> None:
    cli.write("m.yaml", f"{HEAD}providers: {{simulator: {{references: {{max_sides: 9}}}}}}\njobs: [{{prompt: a}}]\n")
    (line,) = _lines(cli, "m.yaml")
    assert "unknown key 'max_sides' in references of provider 'simulator', did you mean 'max_side'?" in line


BOMB = "".join(f"  a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12))

DEEP = "nested more than 50 deep"
MANY = "a manifest may multiply to 10,000,000"
HOSTILE = {
    "brackets.yaml": (f"{HEAD}jobs: {'[' * 200_000}", f"2:57: {DEEP}"),
    "braces.yaml": (f"{HEAD}jobs:\n- prompt: x\n  meta: {'{a: ' * 200_000}", f"4:201: {DEEP}"),
    "dashes.yaml": (f"{HEAD}jobs:\n{'- ' * 200_000}x\n", f"3:101: {DEEP}"),
    "bomb.yaml": (f"{HEAD}meta:\n  a0: &a0 [x]\n{BOMB}jobs: []\n", "10:27: aliases stand for too many values"),
    "tag.yaml": (f"{HEAD}jobs: [{{prompt: !!python/name:os.system x}}]\n", "2:17: tag '!!python/name:os.system'"),
    "twice.yaml": (f"{HEAD}jobs: [{{prompt: x, prompt: y}}]\n", "2:20: duplicate key 'prompt', first on line 2"),
    "binary.yaml": ("\x89PNG\r\n\x1a\n\x00\x00", "3: not a text file, as it has NUL bytes"),
    "deep.csv": (
        f"prompt,provider\n{'{a|' * 200_000},simulator\n{'{a|' * 30}b{'}' * 30},simulator\n",
        "3: prompt has alternatives nested more than 20 deep",
    ),
    "deep.jsonl": ('{"prompt": "x", "meta": ' + '{"a": ' * 200_000 + "\n", "1: not a JSON object: nested too deep"),
    "much.yaml": (
        f"{HEAD}jobs: [{{prompt: '{'{a|b|c|d}' * 9000}'}}]\n",
        f"2:17: job 1 makes about 10^5418 jobs: {MANY}",
    ),
    "many.yaml": (f"{HEAD}jobs: [{{prompt: x, n: 1000000000000}}]\n", "2:23: n '1000000000000' must be at most 10,000"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(cli: Cli, name: str) -> None:
    text, says = HOSTILE[name]
    cli.write(name, text)
    (line,) = _lines(cli, name)
    assert line.startswith(f"{name}:{says}")
    assert len(line) < 150
