"""By hand: `python -m tests.bench.memory`. Memory with 64 inline replies of 8 MB in flight, and speed to disk.

The server is a process of its own, so that only batchgen is measured. curl fetches the same files in the
same run, for comparison, where it is installed. Prints a table, then one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from multiprocessing import Process, Queue
from pathlib import Path

from PIL import Image

from batchgen.batch import FetchOptions, fetch_batch
from batchgen.events import Generated, RemoteImage
from batchgen.ledger.store import Ledger
from batchgen.model import Entry, Job
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.stored import dump_profiles

REPLIES, REPLY_MB = 64, 8
FILES, FILE_MB = 256, 1
AT_ONCE = 16
MOST_RSS_MB = 400
LEAST_OF_CURL = 0.5
MB = 1 << 20


def noise(megabytes: int) -> bytes:
    """A PNG of about that size: noise, which no compression makes small."""
    side = int((megabytes * MB / 3) ** 0.5)
    file = BytesIO()
    image = Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side))
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def serve(ports: Queue[int], gather: int) -> None:
    """Answer each POST with an inline image once `gather` of them wait, each GET with a file."""
    asyncio.run(_serve(ports, gather))


async def _serve(ports: Queue[int], gather: int) -> None:
    text = base64.b64encode(noise(REPLY_MB)).decode()
    inline = json.dumps({"created": 1, "data": [{"b64_json": text}]}).encode()
    file, together = noise(FILE_MB), asyncio.Event()
    waiting = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                kind, body = b"image/png", file
                if head.startswith(b"POST"):
                    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    await reader.readexactly(int(length[0].split(b":")[1]))
                    waiting += 1
                    if waiting >= gather:
                        together.set()
                    await together.wait()
                    kind, body = b"application/json", inline
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    ports.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def peak_rss(folder: Path, port: int) -> tuple[float, float]:
    """Peak MB and seconds of `batchgen run` over the inline replies."""
    jobs = "".join(f"  - {{id: job-{number}, prompt: noise {number}}}\n" for number in range(REPLIES))
    limits = f"limits: {{concurrency: {REPLIES}}}"
    provider = f"  bench: {{extends: openai, base_url: 'http://127.0.0.1:{port}/v1', {limits}}}\n"
    (folder / "bench.yaml").write_text(f"provider: bench\nproviders:\n{provider}jobs:\n{jobs}")
    began = time.monotonic()
    run = subprocess.Popen(
        [sys.executable, "-m", "batchgen", "run", "bench.yaml", "--quiet"],
        cwd=folder,
        env={**os.environ, "OPENAI_API_KEY": "sk-bench", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"the run failed with {run.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - began


async def download_seconds(workspace: Path, port: int) -> float:
    """Seconds to fetch, check and record the files of a batch that is generated."""
    jobs = [Job(id=f"f{number}", prompt="x", provider=("openai",), model="m") for number in range(FILES)]
    async with Ledger.open(workspace, now=time.time) as ledger:
        await ledger.sync(Entry(job.id, job.prompt, job, fingerprint=job.id, place="") for job in jobs)
        private = dataclasses.replace(BUILTIN["openai"], allow_private_downloads=True)
        await ledger.note("profiles", dump_profiles({"openai": private}))
        for pending in await ledger.pending("openai", time.time(), FILES, ()):
            attempt = await ledger.begin_attempt(pending.key, "openai", time.time(), pending.job.id)
            image = RemoteImage(url=f"http://127.0.0.1:{port}/{pending.job.id}")
            await ledger.generated(attempt, Generated(images=(image,)), time.time(), None)
    began = time.monotonic()
    report = await fetch_batch(workspace, FetchOptions(concurrency=AT_ONCE))
    if report.exit_code:
        raise SystemExit(f"the fetch failed with {report.exit_code}")
    return time.monotonic() - began


def curl_seconds(folder: Path, port: int) -> tuple[float, float] | None:
    """Seconds that curl takes for the same files, unchecked; and with a sync of each file. None without curl."""
    if not shutil.which("curl"):
        return None
    lines = [f'url = "http://127.0.0.1:{port}/f{number}"\noutput = "{number}.png"\n' for number in range(FILES)]
    (folder / "list").write_text("".join(lines))
    began = time.monotonic()
    command = ["curl", "--silent", "--no-progress-meter", "--parallel", "--parallel-max", str(AT_ONCE)]
    command += ["--noproxy", "*", "--config", "list"]
    subprocess.run(command, cwd=folder, check=True)
    plain = time.monotonic() - began
    for path in folder.glob("*.png"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return plain, time.monotonic() - began


def main() -> None:
    """Measure and print."""
    ports: Queue[int] = Queue()
    server = Process(target=serve, args=(ports, REPLIES), daemon=True)
    server.start()
    port = ports.get()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rss, run = peak_rss(folder, port)
        (folder / "curl").mkdir()
        curl = curl_seconds(folder / "curl", port)
        ours = asyncio.run(download_seconds(folder / "fetch", port))
    server.terminate()
    size = FILES * FILE_MB
    answer = {
        "rss_mb": round(rss),
        "rss_goal_mb": MOST_RSS_MB,
        "run_seconds": round(run, 2),
        "fetch_mb_s": round(size / ours, 1),
        "curl_mb_s": round(size / curl[0], 1) if curl else None,
        "curl_synced_mb_s": round(size / curl[1], 1) if curl else None,
        "of_curl": round(curl[0] / ours, 2) if curl else None,
        "of_curl_synced": round(curl[1] / ours, 2) if curl else None,
        "of_curl_goal": LEAST_OF_CURL,
    }
    print(f"{REPLIES} inline replies of {REPLY_MB} MB   peak {rss:5.0f} MB (goal {MOST_RSS_MB}), {run:.1f} s")
    print(f"{FILES} files of {FILE_MB} MB, fetched   {answer['fetch_mb_s']:>6} MB/s decoded, hashed, synced, recorded")
    print(f"{FILES} files of {FILE_MB} MB, curl      {answer['curl_mb_s'] or '-':>6} MB/s as they come")
    print(f"{'':28}{answer['curl_synced_mb_s'] or '-':>6} MB/s with each file synced, as ours are")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
