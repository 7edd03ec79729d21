"""`batchgen doctor`: will a run with this provider work? One list of models is asked for; nothing is paid."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import click

from batchgen.cli.colours import say
from batchgen.cli.completing import providers
from batchgen.cli.planning import set_keys
from batchgen.doctor import examine
from batchgen.errors import UsageError
from batchgen.manifest.load import open_manifest
from batchgen.manifest.words import did_you_mean
from batchgen.providers.builtin import BUILTIN


@click.command("doctor")
@click.argument("provider", shell_complete=providers)
@click.option("--manifest", type=click.Path(path_type=Path), help="Where the provider is described, if not built in.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(ctx: click.Context, provider: str, manifest: Path | None, as_json: bool) -> None:
    """Look at key, address, clock and disk for PROVIDER, without paying for anything.

    Exit codes: 0 all is well; 1 something is not, and the line says what to do.
    """
    profiles = dict(BUILTIN)
    if manifest is not None:
        opened = open_manifest(manifest)
        opened.check()  # a job may name a provider that nothing else does
        profiles |= opened.profiles
    if provider not in profiles:
        if Path(provider).is_file():
            raise UsageError(f"'{provider}' is a file; name a provider too: batchgen doctor NAME --manifest {provider}")
        hint = did_you_mean(provider, profiles) or "; see: batchgen providers"
        raise UsageError(f"no provider '{provider}'{hint}")
    profile = profiles[provider]
    if not profile.base_url:
        raise UsageError(f"provider '{provider}' has no base_url: give it one in a manifest, see --manifest")
    found = asyncio.run(examine(profile, set_keys([profile]), Path("out"), time.time()))
    well = all(one.well for one in found)
    if as_json:
        findings = [{"what": one.what, "ok": one.well, "message": one.words} for one in found]
        click.echo(json.dumps({"provider": provider, "ok": well, "findings": findings}, ensure_ascii=False))
    else:
        say("\n".join(f"{'ok ' if one.well else '!! '} {one.what:<8} {one.words}" for one in found))
    ctx.exit(0 if well else 1)
