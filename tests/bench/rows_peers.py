"""Rows beside other programs that send many requests: whole processes, in pairs, the same chat requests.

Nothing of them is kept here. They live in an environment of their own that `--peers` names, and the
cookbook's script is the file that `--cookbook` names; README.md says how to get both.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.measure import Cost, run
from tests.bench.product import Bench, Figure, median, run_manifest, states, write_manifest

CURATOR = """
import sys
from bespokelabs import curator
url, jobs = sys.argv[1], int(sys.argv[2])
llm = curator.LLM(model_name="gpt-4o-mini", backend="openai", backend_params={
    "base_url": url, "api_key": "sk-bench", "max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10,
    "max_concurrent_requests": 64, "request_timeout": 60, "max_retries": 1})
answers = llm([f"picture {number} of a grey cat on a red roof at dusk" for number in range(jobs)])
print(len(getattr(answers, "dataset", answers)))
"""
QUIET = {
    "CURATOR_DISABLE_CACHE": "1",
    "CURATOR_VIEWER": "0",
    "TELEMETRY_ENABLED": "0",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
}


def curator(bench: Bench) -> list[Figure]:
    """bespokelabs-curator with its `openai` backend, 64 at once."""
    python = _python(bench)
    jobs = bench.jobs(5000)
    pairs = []
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            ours = _ours(bench, folder, jobs, bench.server.http)
            bench.server.setup(delay=0.0)
            script = folder / "peer.py"
            script.write_text(CURATOR)
            env = {**QUIET, "OPENAI_API_KEY": "sk-bench", "CURATOR_CACHE_DIR": str(folder), "HOME": str(folder)}
            env |= {"TIKTOKEN_CACHE_DIR": _encodings(python), "HF_HUB_OFFLINE": "1"}
            theirs = run([python, str(script), bench.server.http, str(jobs)], folder=folder, env=env)
            assert bench.server.counts()["posts"] >= jobs, "the peer sent too few requests"
        pairs.append((ours, theirs))
    return _figures("beside curator", jobs, pairs, 0.3)


def cookbook(bench: Bench) -> list[Figure]:
    """OpenAI's api_request_parallel_processor.py, over HTTPS because it takes nothing else."""
    python = _python(bench)
    if bench.cookbook is None or bench.server.https is None or bench.server.cert is None:
        raise LookupError("needs --cookbook FILE and an `openssl` command")
    jobs = bench.jobs(5000)
    trust = {"SSL_CERT_FILE": str(bench.server.cert)}
    pairs = []
    for _ in range(bench.repeats):
        with bench.folder() as folder:
            ours = _ours(bench, folder, jobs, bench.server.https, **trust)
            bench.server.setup(delay=0.0)
            with (folder / "requests.jsonl").open("w") as file:
                for number in range(jobs):
                    text = f"picture {number} of a grey cat on a red roof at dusk"
                    message = {"model": "m", "messages": [{"role": "user", "content": text}]}
                    file.write(json.dumps(message) + "\n")
            words = [python, str(bench.cookbook), "--requests_filepath", "requests.jsonl", "--logging_level", "40"]
            words += ["--request_url", f"{bench.server.https}/chat/completions", "--api_key", "sk-bench"]
            words += ["--max_requests_per_minute", "10000000", "--max_tokens_per_minute", "10000000000"]
            env = {**trust, "TIKTOKEN_CACHE_DIR": _encodings(python)}
            theirs = run(words, folder=folder, env=env)
            assert bench.server.counts()["posts"] == jobs, "the peer sent too few requests"
        pairs.append((ours, theirs))
    return _figures("beside the cookbook script", jobs, pairs, 0.5)


def _ours(bench: Bench, folder: Path, jobs: int, url: str, **env: str) -> Cost:
    write_manifest(folder, jobs, url, endpoint="chat")
    bench.server.setup(delay=0.0)
    cost = run_manifest(folder, "--no-download", "--concurrency", "64", env=env)
    assert states(folder) == {"generated": jobs}, states(folder)
    return cost


def _figures(row: str, jobs: int, pairs: list[tuple[Cost, Cost]], target: float) -> list[Figure]:
    wall = [ours.wall / theirs.wall for ours, theirs in pairs]
    cpu = [ours.cpu / theirs.cpu for ours, theirs in pairs]
    mine, other = (median([pair[place].wall for pair in pairs]) for place in (0, 1))
    note = f"{jobs} requests at 64 in flight, no downloads: {mine:.1f} s beside {other:.1f} s"
    rss = (
        f"{median([ours.rss for ours, _ in pairs]):.0f} MB beside {median([theirs.rss for _, theirs in pairs]):.0f} MB"
    )
    return [
        Figure(row, "wall time, of theirs", median(wall), "x", target, note=note),
        Figure(row, "processor time, of theirs", median(cpu), "x", note=rss),
    ]


def _python(bench: Bench) -> str:
    if bench.peers is None:
        raise LookupError("needs --peers VENV")
    return str(bench.peers / "bin/python")


def _encodings(python: str) -> str:
    """Where litellm keeps the token tables, so that nothing is fetched."""
    found = sorted(Path(python).parent.parent.glob("lib/*/site-packages/litellm/litellm_core_utils/tokenizers"))
    return str(found[0]) if found else ""
