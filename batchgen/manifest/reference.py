"""What every key of a manifest means: the text behind the JSON Schema and `jobs/README.md`. Data only.

A key of `schema.py` without an entry here, or the other way round, is found by tests/test_reference.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Key(NamedTuple):
    """One key: what it takes, what holds without it, what it means. Texts are Markdown."""

    kind: str
    default: str
    meaning: str


MANIFEST: Final[Mapping[str, Key]] = {
    "jobs": Key("list, or a path", "required", "The jobs, or a CSV, TSV or JSONL file with one a row."),
    "name": Key("text", "the file's name", "What the batch is called."),
    "provider": Key("name, or a list", "", "Who makes the images, for every job that does not say otherwise."),
    "defaults": Key("mapping", "", "Any key of a job; holds for every job that does not say otherwise."),
    "matrix": Key("mapping", "", "Lists that multiply every job, those of a job file too."),
    "providers": Key("mapping", "", "Changes a built-in profile, or makes one of your own, by name."),
    "settings": Key("mapping", "", "How the run goes about its work."),
    "output": Key("mapping", "", "How files are named, and what is told in and beside them."),
    "columns": Key(
        "mapping",
        "",
        "For a job file: job key (or `meta.NAME`) to the header of its column. Columns not named here are left out.",
    ),
}

JOB: Final[Mapping[str, Key]] = {
    "id": Key(
        "text",
        "from the content",
        "A stable name, one line. `{name}` is filled in. A matrix and alternatives put their values behind it.",
    ),
    "prompt": Key("text", "required", "What is to be seen. `{name}` is filled in, `{a|b}` are alternatives."),
    "provider": Key("name, or a list", "the manifest's", "Who makes it."),
    "model": Key(
        "text, or mapping",
        "the provider's",
        "The model, as the provider calls it; by provider too: `{apiyi: gpt-image-2, tu-zi: gpt-4o-image}`.",
    ),
    "ratio": Key("W:H", "", "`16:9`, `1:1`: turned into the provider's own size, field or words."),
    "size": Key("WxH, 1K, 2K, 4K, auto", "", "Pixels; wins over `ratio`."),
    "quality": Key("text", "", "As the provider documents it."),
    "output_format": Key("text", "", "`png`, `jpeg` or `webp`, where the provider takes it."),
    "output_compression": Key("0 to 100", "", "As the provider documents it; it is passed on as written."),
    "background": Key("text", "", "`transparent`, `opaque` or `auto`, where the provider takes it."),
    "n": Key("1 to 10,000", "1", "How many images; as many requests as the provider needs for them."),
    "references": Key(
        "text, or a list",
        "",
        "Files (relative to the manifest), links or data URLs; in CSV separated by `|`. `{name}` is filled in.",
    ),
    "mask": Key(
        "text",
        "",
        "A PNG with alpha, as large as the first reference: a file, link or data URL. `{name}` is filled in.",
    ),
    "after": Key("id, or mapping", "", "The job whose image this one edits. `{name}` is filled in."),
    "meta": Key("mapping", "", "Anything of yours, carried to the ledger and the exports; in CSV columns `meta.NAME`."),
    "params": Key("mapping", "", "Further fields for the provider, passed as they are."),
    "matrix": Key("mapping", "", "Lists that multiply this job, beside the manifest's; `~`: neither."),
}

PARENT: Final[Mapping[str, Key]] = {
    "id": Key("id", "required", "The job whose image this one edits."),
    "image": Key("number", "0", "Which of its images; the first is 0. In a CSV the column `after.image`."),
}

MATRIX: Final[Mapping[str, Key]] = {
    "zip": Key("true or false", "false", "Go through the lists together instead of in every combination."),
    **{
        key: Key("list", "", f"Sets `{key}` of the job to each of these in turn.")
        for key in JOB
        if key not in ("id", "matrix", "meta", "params")
    },
    "meta": Key("list of mappings", "", "Each is joined to the job's `meta`."),
    "params": Key("list of mappings", "", "Each is joined to the job's `params`."),
}

PROVIDER: Final[Mapping[str, Key]] = {
    "extends": Key("name", "itself, or `openai-chat`", "The profile that holds for whatever is not written here."),
    "base_url": Key("http(s) address", "the profile's", "The API's address, or `simulator` for its simulated twin."),
    "api_key_env": Key(
        "name, or a list",
        "the profile's",
        "The environment variables with its keys; never a key itself. Several share the load, and a key that is bad or "
        "spent is left out.",
    ),
    "endpoint": Key("chat or images", "the profile's", "Which of its doors requests go through."),
    "stream": Key("true or false", "the profile's", "Whether a chat reply is asked for as a stream."),
    "timeout": Key("duration", "5m", "How long a reply may be silent before the request counts as cut."),
    "link_ttl": Key("duration", "the profile's", "How long its links live where they don't say so themselves."),
    "limits": Key("mapping", "", "What it allows."),
    "references": Key("mapping", "", "Shrink larger references to this; without it, too large is a mistake."),
    "prices": Key("mapping", "the profile's", "By model, or `gpt-image-*`, `*`: a number for an image, or a mapping."),
    "task_url": Key("http(s) address", "the profile's", "Where a task is asked for, with `{task_id}` in it."),
    "allow_private_downloads": Key("true or false", "false", "Take images from private and local addresses too."),
    "simulate": Key("mapping", "", "How its simulated twin behaves; needs `base_url: simulator`."),
}

LIMITS: Final[Mapping[str, Key]] = {
    "requests_per_minute": Key("number", "the profile's", "Requests a minute."),
    "images_per_minute": Key("number", "the profile's", "Images a minute."),
    "concurrency": Key("number", "learned", "Requests at once."),
}

REFERENCES: Final[Mapping[str, Key]] = {
    "max_bytes": Key("number", "what the provider takes", "Bytes of one."),
    "max_side": Key("number", "", "Pixels of its longer side."),
}

PRICE: Final[Mapping[str, Key]] = {
    "per_image": Key("number", "", "An image that no variant fits."),
    "variants": Key("mapping", "", "By quality, size or both: `{low: 0.01, high 1024x1024: 0.17}`."),
    "tokens": Key("mapping", "", "A million tokens of its usage: `{input: 5, image_input: 10, output: 40}`."),
}

SETTINGS: Final[Mapping[str, Key]] = {
    "max_attempts": Key("number", "6", "Tries of a job before it counts as failed."),
    "on_unknown": Key("hold or resend", "hold", "What becomes of a request that was cut and may have been billed."),
    "max_cost": Key("number", "", "What all runs of the batch together may cost, in the currency of the prices."),
    "concurrency": Key("number", "each provider's", "Requests at once, over all providers."),
    "patience": Key("duration", "30m", "How long a provider may be down before the run leaves."),
    "task_patience": Key("duration", "30m", "How long a known task may still take, and an answer that comes in drips."),
    "max_image_bytes": Key("number", "67108864", "A larger image is cut off."),
}

OUTPUT: Final[Mapping[str, Key]] = {
    "path": Key(
        "text",
        "`{id}`, made safe",
        "A template below `images/`: `{id}`, `{model}` and the other job keys, `{position}`, `{date}`, `{sha256}`, "
        "`{ext}`, `{meta.NAME}`, or `{NAME}` alone.",
    ),
    "embed": Key("true or false", "false", "Prompt, model, provider and ids go into the file; the pixels stay."),
    "sidecar": Key("true or false", "false", "`cat.png.json` beside `cat.png`, with all that is known."),
    "near_duplicates": Key("true or false", "false", "Remark images that look like an earlier one."),
    "store": Key(
        "address",
        "the workspace",
        "Put the images into a bucket: `s3://bucket/prefix`, `gs://`, `az://`, or `file:///folder`. Extra `objects`.",
    ),
}

SIMULATE: Final[Mapping[str, Key]] = {
    "latency": Key("duration", "0.3", "How long a picture takes."),
    "faults": Key("mapping", "", "`{rate_limit: 5%, refusal: 2x}`; all: `batchgen simulate --list-faults`."),
    "seed": Key("number", "0", "Another one draws other pictures and other faults."),
    "image_side": Key("number", "512", "The longer side in pixels at most; 0: the size that was asked for."),
    "link_ttl": Key("duration", "the profile's", "How long links live."),
    "rpm": Key("number", "", "Requests a minute that it takes; more are answered with 429."),
    "concurrency": Key("number", "", "Requests at once that it takes; more are answered with 429."),
    "honour_idempotency": Key("true or false", "false", "A request sent again with its key brings the same task."),
}

SECTIONS: Final[Mapping[str, Mapping[str, Key]]] = {
    "ManifestSchema": MANIFEST,
    "JobRow": JOB,
    "Parent": PARENT,
    "MatrixSection": MATRIX,
    "ProviderSection": PROVIDER,
    "LimitsSection": LIMITS,
    "ReferencesSection": REFERENCES,
    "Price": PRICE,
    "SettingsSection": SETTINGS,
    "OutputSection": OUTPUT,
    "SimulatorSettings": SIMULATE,
}
"""By the name of the model that reads them."""
