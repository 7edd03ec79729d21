"""The `output` section end to end on real files: names, words in and beside images, look-alikes, verify."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from batchgen.errors import LinkDead, ManifestError
from batchgen.events import Saved
from batchgen.images.looks import difference_hash
from batchgen.images.remarks import NEAR, bits_apart
from batchgen.images.settle import settle_spool
from batchgen.images.stored import DataUrls
from batchgen.ledger.kept import SavedFile
from batchgen.ledger.store import Ledger
from batchgen.manifest.load import open_manifest
from batchgen.model import Download, Entry, Json, OutputRules
from batchgen.storage.disk import Disk
from batchgen.verify import Comparison, compare_files
from tests.integration.ledger_builders import NOW, clock, delivered, due, entry, start

TOLD: dict[str, Json] = {"job": "cat", "prompt": "a cat", "model": "m", "task_id": "task_1", "host": "cdn.example"}
BOTH = OutputRules(embed=True, sidecar=True)


def painted(format: str = "PNG", side: int = 64, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").rotate(30).resize((side, side)).convert(mode).save(file, format)
    return file.getvalue()


def settled(workspace: Path, data: bytes, rules: OutputRules, target: str = "images/cat") -> Saved:
    """An inline image carried to its place."""
    spool = workspace / "images" / ".incoming" / "a1-0"
    spool.parent.mkdir(parents=True, exist_ok=True)
    spool.write_bytes(data)
    return settle_spool(workspace, work(rules, target))


def work(rules: OutputRules, target: str = "images/cat") -> Download:
    return Download(
        output_id=1,
        job_id="cat",
        provider="p",
        position=0,
        urls=(),
        spool="images/.incoming/a1-0",
        target=target,
        rules=rules,
        about=TOLD,
    )


async def verified(workspace: Path, *saved: Saved) -> Comparison:
    async def files() -> AsyncIterator[SavedFile]:
        for one in saved:
            yield SavedFile(one.path, one.sha256, one.bytes, "cat")

    return await compare_files(workspace, files())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
async def test_the_recorded_hash_is_that_of_the_file_with_its_words_in_it(tmp_path: Path, format: str) -> None:
    data = painted(format)
    saved = settled(tmp_path, data, BOTH)
    written = (tmp_path / saved.path).read_bytes()
    assert (saved.sha256, saved.bytes) == (hashlib.sha256(written).hexdigest(), len(written))
    assert saved.came == hashlib.sha256(data).hexdigest() != saved.sha256
    assert b"task_1" in written
    assert (await verified(tmp_path, saved)) == Comparison(
        checked=1, missing=(), changed=(), unknown=(), leftovers=()
    )


def test_a_sidecar_tells_all_of_the_image(tmp_path: Path) -> None:
    saved = settled(tmp_path, painted(), OutputRules(sidecar=True))
    told = json.loads((tmp_path / "images" / "cat.png.json").read_text())
    assert told == {
        **TOLD,
        "path": "images/cat.png",
        "sha256": saved.sha256,
        "bytes": saved.bytes,
        "width": 64,
        "height": 64,
        "format": "png",
    }


def test_an_image_that_takes_no_words_is_kept_as_it_came_with_a_warning(tmp_path: Path) -> None:
    data = painted("GIF")
    saved = settled(tmp_path, data, BOTH)
    assert (tmp_path / saved.path).read_bytes() == data
    assert saved.warnings == ("nothing is embedded: nothing can be written into GIF files",)


@pytest.mark.parametrize("rules", [OutputRules(), BOTH])
@pytest.mark.parametrize("target", ["images/cat", "images/<sha256>", "images/<ext>/a-<sha256>"])
def test_a_run_that_died_between_file_and_ledger_finds_its_file_again(
    tmp_path: Path, rules: OutputRules, target: str
) -> None:
    first = settled(tmp_path, painted(), rules, target)
    assert not (tmp_path / "images" / ".incoming" / "a1-0").exists()
    again = settle_spool(tmp_path, work(rules, target))
    assert (again.path, again.sha256) == (first.path, first.sha256)
    # A run that died earlier still has the spooled file, and makes no second one of it.
    assert settled(tmp_path, painted(), rules, target).path == first.path


def test_another_file_is_not_taken_for_the_lost_one(tmp_path: Path) -> None:
    settled(tmp_path, painted(), OutputRules(), "images/dog-<sha256>")
    with pytest.raises(LinkDead):
        settle_spool(tmp_path, work(OutputRules(), "images/cat-<sha256>"))


async def test_a_sidecar_or_reference_with_other_content_is_changed_and_one_without_image_is_nobodys(
    tmp_path: Path,
) -> None:
    saved = settled(tmp_path, painted(), OutputRules(sidecar=True))
    (tmp_path / "images" / "cat.png.json").write_text('{"sha256": "00"}')
    (tmp_path / "images" / "dog.png.json").write_text("{}")
    references = tmp_path / "images" / ".references"
    references.mkdir()
    (references / f"{hashlib.sha256(b'fine').hexdigest()}.png").write_bytes(b"fine")
    (references / f"{'0' * 64}.png").write_bytes(b"other")
    found = await verified(tmp_path, saved)
    assert found.changed == (f"images/.references/{'0' * 64}.png", "images/cat.png.json")
    assert (found.unknown, found.leftovers) == (("images/dog.png.json",), ())


def test_a_picture_that_was_scaled_and_compressed_keeps_its_look(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(painted())
    (tmp_path / "b.jpg").write_bytes(painted("JPEG", side=200))
    other = Image.linear_gradient("L").rotate(200)
    other.save(tmp_path / "c.png")
    one, near, far = (int(difference_hash(tmp_path / name), 16) for name in ("a.png", "b.jpg", "c.png"))
    assert bits_apart(one, near) <= NEAR < bits_apart(one, far)


async def record(ledger: Ledger, name: str, *files: Saved) -> tuple[str, ...]:
    """One job whose images are these; returns its warnings."""
    await ledger.generated(await start(ledger, name), delivered(len(files)), NOW, None)
    for output, file in zip(sorted(await due(ledger, name), key=lambda one: one.position), files, strict=True):
        await ledger.saved(output.output_id, file, NOW)
    job = await ledger.reader.job(name)
    assert job is not None
    return job.warnings


def a_file(name: str, *, look: str | None = None, warnings: tuple[str, ...] = ()) -> Saved:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Saved(
        path=f"images/{name}.png",
        sha256=digest,
        bytes=1,
        width=1,
        height=1,
        format="png",
        look=look,
        warnings=warnings,
    )


async def test_the_same_bytes_and_a_near_look_are_remarked_and_survive_a_sync(tmp_path: Path) -> None:
    jobs = [entry("a"), entry("b", "b"), entry("c", "c", n=2), entry("d", "d")]
    async with Ledger.open(tmp_path, now=clock) as ledger:
        await ledger.sync(jobs)
        assert await record(ledger, "a", a_file("one", look="f00000000000000f")) == ()
        assert await record(ledger, "b", a_file("one")) == ("same bytes as job a image 0",)
        near, far = a_file("two", look="f000000000000008"), a_file("three", look="0123456789abcdef", warnings=("odd",))
        expected = ("image 0: looks like job a image 0", "image 1: odd")
        assert await record(ledger, "c", near, far) == expected
        assert await record(ledger, "d", a_file("four", look="ffffffffffffffff")) == ()
        await ledger.sync([*reversed(jobs)])
        job = await ledger.reader.job("c")
        assert job is not None
        assert job.warnings == expected
        assert await ledger.reader.warned() == 2
        await ledger.sync([entry("c", "another wording")])
        assert await ledger.reader.warned() == 0


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def with_jobs(folder: Path, text: str) -> list[Entry]:
    path = folder / "m.yaml"
    path.write_text(text)
    return list(open_manifest(path).entries())


def test_a_data_url_becomes_a_file_of_the_workspace_and_the_fingerprint_stays(tmp_path: Path) -> None:
    data = painted(mode="RGBA")
    text = f"provider: openai\njobs:\n- {{prompt: x, references: ['{data_url(data)}'], mask: '{data_url(data)}'}}\n"
    (before,) = with_jobs(tmp_path, text)
    urls = DataUrls(tmp_path / "w")
    (after,) = urls.stored([before])
    path = tmp_path / "w" / "images" / ".references" / f"{hashlib.sha256(data).hexdigest()}.png"
    assert path.read_bytes() == data
    assert (after.job.references, after.job.mask) == ((str(path),), str(path))
    assert (after.fingerprint, after.job.id) == (before.fingerprint, before.job.id)
    assert list(urls.stored([after])) == [after]
    urls.prune()
    assert path.exists()
    DataUrls(tmp_path / "w").prune()
    assert not path.exists()


HEAD = "provider: simulator\n"
OUTSIDE = "must be a path below images/, without empty parts, '.' or '..'"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("{path: '{dat}'}", "6: output.path '{dat}' has the unknown placeholder '{dat}', did you mean '{date}'?"),
        ("{path: 'a{b'}", "6: output.path 'a{b' has a single '{': write '{{' for the sign itself"),
        ("{path: '../{id}'}", "6: output.path '../{id}' " + OUTSIDE),
        ("{path: '/tmp/{id}'}", "6: output.path '/tmp/{id}' " + OUTSIDE),
        ("{path: '{id}.png'}", "6: output.path '{id}.png' ends in '.png': write '.{ext}', which the bytes decide"),
        ("{embed: perhaps}", "7: output.embed 'perhaps' is not true or false"),
        ("{pth: x}", "0: unknown key 'pth' in 'output', did you mean 'path'?"),
    ],
)
def test_a_mistake_in_output_is_told_in_one_line(tmp_path: Path, output: str, told: str) -> None:
    with pytest.raises(ManifestError) as raised:
        with_jobs(tmp_path, f"{HEAD}output: {output}\njobs: [{{prompt: x}}]\n")
    assert raised.value.problems[0] == f"{tmp_path}/m.yaml:2:1{told}"


def test_jobs_with_one_file_name_are_told_apart_by_their_place_in_the_manifest(tmp_path: Path) -> None:
    head = f"{HEAD}output: {{path: '{{meta.kind}}.{{ext}}'}}\njobs:\n"
    jobs = "- {id: a, prompt: x, meta: {kind: Tree}}\n- {id: b, prompt: y, meta: {kind: tree}}\n- {id: c, prompt: z}\n"
    found = with_jobs(tmp_path, head + jobs)
    assert [one.apart for one in found] == [False, True, False]
    assert found[0].warnings == ()
    assert found[1].warnings[-1] == "output.path gives an earlier job's file name: the job's id is added to it"
    assert found[2].warnings[-1] == "no meta.kind for output.path: 'none' stands in the file name"
    plain = with_jobs(tmp_path, HEAD + "jobs:\n" + jobs)
    assert [one.fingerprint for one in plain] == [one.fingerprint for one in found]


def test_what_two_images_share_is_written_by_both_at_once_without_harm(tmp_path: Path) -> None:
    """Jobs with the same image have one sidecar where `output.path` is `{sha256}`."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda text: Disk(tmp_path).write("images/same.png.json", text), [b"told"] * 400))
    assert (tmp_path / "images/same.png.json").read_bytes() == b"told"
    assert [path.name for path in (tmp_path / "images/.incoming").iterdir()] == []
