"""`batchgen init`: a commented starter manifest that runs as it is, with the simulated provider."""

from __future__ import annotations

from pathlib import Path

import click

from batchgen.errors import UsageError

STARTER = """\
# yaml-language-server: $schema=batchgen.schema.json
# (editors complete and check the keys once there is: batchgen schema > batchgen.schema.json)
#
# A batch of images for batchgen. As it stands it runs without a key, against the simulated provider:
#
#   batchgen plan jobs.yaml      what would be done; sends nothing
#   batchgen run jobs.yaml       do it; run again to continue after a crash or a Ctrl-C
#   batchgen run jobs.yaml --rehearse    play it through first with simulated providers; costs nothing
#   batchgen status jobs.yaml    how it stands; the images are in out/jobs/images
#
# For a real provider, change the next line to tu-zi, apiyi, apiqik, modelverse or openai
# (`batchgen providers` lists them), and export its key, for example: export TUZI_API_KEY=...
provider: simulator

# Holds for every job that does not say otherwise.
defaults:
  ratio: "1:1"

settings:
  max_attempts: 6     # tries for each job before it counts as failed
  on_unknown: hold    # a request was cut and may have been billed: hold the job, or resend it
  # max_cost: 5       # all runs together never cost more; the model then needs its price, see below

# Uncomment to change a provider, or to make one of your own from a built-in profile.
# providers:
#   tu-zi:
#     limits: {requests_per_minute: 60, concurrency: 8}
#     prices: {gpt-image-1-vip: 0.03}    # an image
#   my-gateway:
#     extends: openai-chat
#     base_url: https://gateway.example/v1
#     api_key_env: MY_GATEWAY_KEY        # the name of a variable, never the key itself

jobs:
  # An id keeps a job's place when its text changes. Without one it is made from the content.
  - id: lighthouse
    prompt: A lighthouse on a cliff at dawn, watercolour
    ratio: 16:9

  - id: cat
    prompt: A ginger cat asleep on a stack of books, soft light
    n: 2              # two images of the same job

  # A matrix multiplies a job, here by two; {a|b} in a prompt does so too. Add a value later: only its jobs are sent.
  - id: mug
    prompt: A mug with a {animal} on it, studio light
    matrix: {animal: [fox, heron]}

  # meta is yours: it is carried along to the ledger and the exports.
  - id: poster
    prompt: A minimal travel poster for Lisbon
    ratio: 2:3
    meta: {city: Lisbon}
"""


@click.command("init")
@click.argument("manifest", default="jobs.yaml", type=click.Path(path_type=Path, allow_dash=True))
def command(manifest: Path) -> None:
    """Write a commented starter manifest to MANIFEST (default jobs.yaml), or to stdout for `-`.

    An existing file is never overwritten. The starter runs as it is, without a key.
    """
    if str(manifest) == "-":
        click.echo(STARTER, nl=False)
        return
    try:
        with manifest.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        raise UsageError(f"{manifest} exists; give another name, it will not be overwritten") from None
    except OSError as error:
        raise UsageError(f"{manifest} can't be written: {error.strerror}") from error
    click.echo(f"wrote {manifest}; next: batchgen plan {manifest} && batchgen run {manifest}", err=True)
