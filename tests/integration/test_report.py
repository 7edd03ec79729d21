"""The report, on real workspaces: one file that shows everything and asks nobody for anything."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from anyio import to_thread
from click.testing import CliRunner, Result
from PIL import Image

from batchgen.cli import main
from batchgen.errors import BadRequest, Refused
from batchgen.images.thumbnails import FOLDER, SIDE, thumbnail
from batchgen.ledger.reader import Reader
from batchgen.ledger.records import Filter
from batchgen.model import JobState
from batchgen.report.gather import Facts
from batchgen.report.page import Subject
from batchgen.report.write import write_report
from batchgen.summary import Commands
from batchgen.verify import compare_files
from tests.integration.finished import Made, finished

SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "img", "link", "line", "path", "rect"}


class Page(HTMLParser):
    """What a browser would see: tags, addresses, words, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.policy = ""
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in found if name.startswith("on") or name == "style"]
        self.addresses += [found[name] or "" for name in ("src", "href") if name in found]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Four jobs that are done, one failed, one refused, one pending; hostile words everywhere."""
    return finished(
        tmp_path / "cats",
        Made(id="one", prompt=SCRIPT, meta={"style": "oil"}, cost=0.5),
        Made(id="two", colours=("red", "blue"), model="n", meta={"style": "ink"}),
        Made(id="three", model=SCRIPT, ratio="16:9", meta={"style": SCRIPT}),
        Made(id="four", model="n", ratio="16:9", path="deep/er name#1"),
        Made(id="bad", error=BadRequest(f"no such size {SCRIPT}"), state=JobState.FAILED),
        Made(id="no", prompt="something rude", error=Refused("policy"), state=JobState.REFUSED),
        Made(id="later", state=JobState.PENDING),
    )


def report(workspace: Path, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["report", str(workspace), *words])
    assert done.exit_code == code, done.output
    return done


def shown(workspace: Path) -> Page:
    return Page((workspace / "report.html").read_text(encoding="utf-8"))


def test_one_file_holds_everything_and_names_no_outside_address(workspace: Path) -> None:
    report(workspace)
    page = shown(workspace)
    assert page.tags.count("img") == 5
    assert all(address.startswith(("data:", "#", "./images/")) for address in page.addresses)
    assert "://" not in re.sub(r"data:[^\"']*", "", (workspace / "report.html").read_text(encoding="utf-8"))
    originals = [unquote(address) for address in page.addresses if address.startswith("./images/")]
    assert all((workspace / path).is_file() for path in originals)


def test_no_word_of_a_manifest_or_a_provider_becomes_markup(workspace: Path) -> None:
    report(workspace, "--group-by", "model,meta.style")
    page = shown(workspace)
    assert "script" not in page.tags
    assert page.words.count(SCRIPT) >= 3


def test_the_policy_allows_its_own_style_and_pictures_and_no_script(workspace: Path) -> None:
    report(workspace)
    policy = shown(workspace).policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert "unsafe" not in policy


def test_what_failed_is_told_with_its_reason_and_the_command_that_helps(workspace: Path) -> None:
    report(workspace)
    words = shown(workspace).words
    assert "The provider will never take this request as it is." in words
    assert "no such size" in words
    assert f"batchgen retry {workspace} --state refused --error refused" in words
    assert "1 not sent yet" in words


def test_the_numbers_are_those_of_the_ledger(workspace: Path) -> None:
    told = json.loads(report(workspace, "--json").stdout)
    assert (told["pictures"], told["lost"], told["beside"]) == (5, 0, False)
    words = shown(workspace).words
    for part in ("4of 7", "5", "0.50", "33% failed"):
        assert part in words


@pytest.mark.parametrize(
    ("keys", "tables", "headings"),
    [("model", 1, 3), ("model,ratio", 2, 0), ("model,ratio,meta.style", 4, 3), ("id,prompt,model", 5, 4)],
)
def test_pictures_are_grouped_and_two_keys_make_a_grid(
    workspace: Path, keys: str, tables: int, headings: int
) -> None:
    report(workspace, "--group-by", keys)
    html = (workspace / "report.html").read_text(encoding="utf-8")
    assert html.count("<table") == tables
    assert html.count('<h3 class="group">') == headings
    assert shown(workspace).tags.count("img") == 5


def test_a_cell_of_a_grid_shows_eight_pictures_and_counts_the_others(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", *(Made(id=f"job-{n}", meta={"style": "oil"}) for n in range(20)))
    told = json.loads(report(workspace, "--group-by", "model,meta.style", "--json").stdout)
    assert told["pictures"] == 8
    page = shown(workspace)
    assert page.tags.count("img") == 8
    assert "and 12 more" in page.words
    report(workspace, "--group-by", "id,ratio,model")
    assert shown(workspace).tags.count("img") == 20


def test_a_grid_of_too_many_columns_becomes_sheets_below_each_other(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", *(Made(id=f"job-{n}", meta={"style": n}) for n in range(13)))
    report(workspace, "--group-by", "model,meta.style")
    page = shown(workspace)
    assert page.tags.count("table") == 1
    assert page.tags.count("h3") == 4 + 13
    assert page.tags.count("img") == 13


def test_where_makes_a_page_about_a_part(workspace: Path) -> None:
    report(workspace, "--where", "model=n", "--where", "ratio=16:9")
    page = shown(workspace)
    assert page.tags.count("img") == 1
    assert "Only jobs with model=n and ratio=16:9." in page.words


def test_an_unknown_key_is_one_line(workspace: Path) -> None:
    assert "did you mean 'model'?" in report(workspace, "--group-by", "modle", code=2).stderr


def test_a_batch_without_jobs_and_one_that_has_not_begun_have_a_page_too(tmp_path: Path) -> None:
    report(finished(tmp_path / "none"))
    assert "There are no jobs yet." in shown(tmp_path / "none").words
    report(finished(tmp_path / "new", Made(id="a", state=JobState.PENDING)))
    words = shown(tmp_path / "new").words
    assert "Nothing has been sent yet." in words
    assert "No picture is on disk yet." in words


def test_a_picture_that_is_gone_is_said_and_leaves_the_rest_whole(workspace: Path) -> None:
    (workspace / "images/one.png").unlink()
    done = report(workspace)
    assert "1 picture not on disk any more" in done.stderr
    page = shown(workspace)
    assert page.tags.count("img") == 4
    assert "not on disk any more" in page.words


def test_pictures_too_many_for_one_file_go_beside_it_and_come_back(workspace: Path) -> None:
    async def read() -> Facts:
        facts = Facts([], [], (), 0.0)
        async with Reader.open(workspace) as reader:
            async for record in reader.jobs(Filter()):
                facts.add(record)
        return facts

    subject = Subject("cats", asyncio.run(read()), None, Commands(str(workspace)))
    (workspace / "report").mkdir()
    (workspace / "report/thesis.txt").write_text("years of work")
    written = write_report(workspace, subject, lambda number: None, most_inline=10)
    assert written.beside
    pictures = [address for address in shown(workspace).addresses if address.startswith("./report/")]
    assert len(pictures) == 5
    assert all((workspace / address).is_file() for address in pictures)
    assert not write_report(workspace, subject, lambda number: None).beside
    assert [path.name for path in (workspace / "report").iterdir()] == ["thesis.txt"]
    assert all(address.startswith(("data:", "#", "./images")) for address in shown(workspace).addresses)


async def test_verify_takes_neither_the_page_nor_its_small_pictures_for_strangers(tmp_path: Path) -> None:
    workspace = await to_thread.run_sync(lambda: finished(tmp_path / "w", Made(id="one"), Made(id="two")))
    await to_thread.run_sync(lambda: report(workspace))
    async with Reader.open(workspace) as reader:
        assert (await compare_files(workspace, reader.files())).clean


def test_the_same_ledger_gives_the_same_page(workspace: Path) -> None:
    report(workspace)
    before = (workspace / "report.html").read_bytes()
    report(workspace)
    assert (workspace / "report.html").read_bytes() == before


def test_a_thumbnail_is_made_once_small_and_whole(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", Made(id="big", size=(1000, 500)))
    first = thumbnail(workspace, "images/big.png", "ab" * 32)
    assert first is not None
    assert first.is_relative_to(workspace / FOLDER)
    with Image.open(first) as image:
        assert image.size == (SIDE, SIDE // 2)
    made = first.stat().st_mtime_ns
    assert thumbnail(workspace, "images/big.png", "ab" * 32) == first
    assert first.stat().st_mtime_ns == made
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_what_is_no_picture_or_lies_outside_has_no_thumbnail(tmp_path: Path) -> None:
    workspace = finished(tmp_path / "w", Made(id="one"))
    (workspace / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    assert thumbnail(workspace, "images/broken.png", "00" * 32) is None
    assert thumbnail(workspace, "images/gone.png", "11" * 32) is None
    assert thumbnail(workspace, "../secret.png", "22" * 32) is None
