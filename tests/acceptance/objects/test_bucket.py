"""A batch whose images go into a bucket: killed and continued, with the store down, and read by every command."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import LONG, Cli, Simulated, listed, numbered, until
from tests.acceptance.objects.conftest import SECRET, Bucket

STORE = "output: {store: 's3://night/first'}\n"

SAVED = "SELECT count(*) FROM outputs WHERE state = 'saved'"


def told(cli: Cli) -> str:
    """Everything that stays on the disk and is text, or may hold one."""
    return "".join(path.read_bytes().decode("latin-1") for path in (cli.folder / "out").rglob("*") if path.is_file())


def test_500_images_killed_in_the_middle_are_all_in_the_bucket_once(
    cli: Cli, provider: Simulated, bucket: Bucket
) -> None:
    jobs = numbered(500)
    with provider("--fault", "rate_limit=3%", "--fault", "async_only=5%") as fake:
        links, inline = listed(jobs[:400], provider="tu-zi"), listed(jobs[400:], provider="modelverse")
        cli.write("night.yaml", fake.section("tu-zi", "modelverse") + STORE + "jobs:\n" + links + inline)
        run = cli.start("run", "night.yaml", "--quiet", "--concurrency", "64")
        until(lambda: cli.count("out/night", SAVED) > 150, run)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=LONG)
        cli.run("run", "night.yaml", "--quiet", "--concurrency", "64")
        cli.run("retry", "night.yaml", "--state", "held")
        cli.run("run", "night.yaml", "--quiet", "--concurrency", "64", code=0)
    assert cli.states("out/night") == {"done": 500}
    assert cli.json("verify", "out/night") == {
        "checked": 500, "missing": [], "changed": [], "unknown": [], "leftovers": [],
    }  # fmt: skip
    outputs = [output for job in cli.jobs("out/night") for output in job["outputs"]]
    assert {output["store"] for output in outputs} == {"s3://night/first"}
    assert {output["path"] for output in outputs} == {f"images/{name}.png" for name in jobs}
    assert SECRET not in told(cli)


def test_a_lost_machine_goes_on_from_the_copy_of_the_ledger_beside_the_images(finished: Cli, bucket: Bucket) -> None:
    cli = finished
    shutil.rmtree(cli.folder / "out")
    (copy,) = (path for path in bucket.paths() if re.fullmatch(r"first/ledger/night-[0-9a-f]{6}-\w+\.sqlite", path))
    (cli.folder / "restored").mkdir()
    (cli.folder / "restored/ledger.db").write_bytes(bucket.content(copy))
    done = cli.run("run", "night.yaml", "--workspace", "restored", code=0)
    assert "to send   0 requests" in done.stderr
    assert cli.json("verify", "restored")["checked"] == 5
    cli.run("verify", "restored", code=0)


def test_a_bucket_that_is_away_for_a_while_costs_no_image_and_ends_no_run(
    cli: Cli, provider: Simulated, bucket: Bucket
) -> None:
    with provider(latency="300ms") as fake:
        cli.write("night.yaml", fake.section("tu-zi") + STORE + "jobs:\n" + listed(numbered(60), provider="tu-zi"))
        run = cli.start("run", "night.yaml", "--concurrency", "4")
        until(lambda: cli.count("out/night", SAVED) > 5, run)
        with fake.asleep():  # no picture comes while the bucket goes away
            bucket.stop()
        until(lambda: "store" in cli.json("status", "out/night"), run)
        said = cli.run("status", "out/night").stdout
        assert f"store     s3://night/first: 127.0.0.1:{bucket.port} can't be reached" in said
        bucket.start()
        done = cli.end(run, 0)
        assert fake.posts == 60
    assert "images wait in the workspace: s3://night/first" in (cli.folder / "out/night/run.log").read_text()
    assert "store" not in cli.json("status", "out/night")
    assert cli.json("verify", "out/night")["checked"] == 60
    assert SECRET not in told(cli) + done.stderr


def test_what_is_wrong_with_a_bucket_is_told_in_one_line_before_anything_is_paid(
    cli: Cli, provider: Simulated, bucket: Bucket
) -> None:
    with provider() as fake:
        cli.write("night.yaml", fake.section("tu-zi") + STORE.replace("//night", "//nightly") + "jobs:\n" + listed("a"))
        done = cli.run("run", "night.yaml", code=4)
        assert done.stderr == (
            "output.store can't be used: s3://nightly/first: there is no such bucket (HTTP 404, NoSuchBucket)\n"
        )
        assert fake.posts == 0
    assert not (cli.folder / "out/night/ledger.db").exists()


@pytest.fixture
def finished(cli: Cli, bucket: Bucket) -> Cli:
    """A finished batch in the bucket: a chain, and pictures with a sidecar."""
    cli.write(
        "night.yaml",
        "provider: fake\nproviders: {fake: {extends: simulator, simulate: {latency: 0.05, image_side: 64}}}\n"
        "output: {store: 's3://night/first', sidecar: true, embed: true}\n"
        "jobs:\n  - {id: cat, prompt: a cat}\n  - {id: hat, prompt: with a hat, after: cat}\n"
        "  - {id: boots, prompt: with boots, after: hat}\n  - {id: dog, prompt: a dog, n: 2}\n",
    )
    cli.run("run", "night.yaml", "--quiet", code=0)
    return cli


def test_every_reading_command_finds_the_images_in_the_bucket(finished: Cli) -> None:
    cli = finished
    assert not list((cli.folder / "out/night/images").glob("*"))[1:]
    assert "s3://night/first/images/cat.png" in cli.run("jobs", "out/night").stdout
    cli.run("verify", "out/night", code=0)
    cli.run("export", "out/night", "set", "--format", "imagefolder", code=0)
    assert sorted(path.name for path in (cli.folder / "set/images").iterdir()) == [
        "boots.png", "cat.png", "dog.png", "dog~1.png", "hat.png",
    ]  # fmt: skip
    cli.run("export", "out/night", "table.jsonl", "--format", "jsonl", code=0)
    rows = [json.loads(line) for line in (cli.folder / "table.jsonl").read_text().splitlines()]
    assert rows[0]["file_name"] == "s3://night/first/images/cat.png"
    cli.run("report", "out/night", code=0)
    page = (cli.folder / "out/night/report.html").read_text()
    assert page.count("data:image/webp") == 5
    assert "s3://night/first/images/cat.png" in page


def test_the_page_of_a_batch_brings_its_pictures_out_of_the_bucket(finished: Cli, bucket: Bucket) -> None:
    with serving(finished) as root:
        for path in ("/picture/cat/0", "/small/cat/0"):
            with urllib.request.urlopen(root + path, timeout=LONG) as reply:
                assert reply.headers["content-type"].startswith("image/")
                assert len(reply.read()) > 100
        bucket.stop()
        with pytest.raises(urllib.error.HTTPError, match="502"):
            urllib.request.urlopen(root + "/picture/dog/0", timeout=LONG)
        bucket.start()


@contextmanager
def serving(cli: Cli) -> Iterator[str]:
    """`batchgen serve` meanwhile."""
    process = cli.start("serve", "out/night", "--port", "0")
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rstrip("/")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONG)


def test_a_rehearsal_leaves_the_bucket_alone(finished: Cli, bucket: Bucket) -> None:
    cli = finished
    bucket.stop()
    cli.run("run", "night.yaml", "--rehearse", "--quiet", code=0)
    assert Path(cli.folder / "out/night.rehearsal/images/cat.png").exists()
    bucket.start()
