"""`batchgen providers`: what each profile is, and whether its key variable is set. Never the key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click

from batchgen.answers import provider_answer
from batchgen.manifest.load import open_manifest
from batchgen.model import Json
from batchgen.progress import duration
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.profile import SIMULATED, Profile


@click.command("providers")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(manifest: Path | None, as_json: bool) -> None:
    """List the built-in profiles, and those of MANIFEST if one is given.

    For each: endpoint, models with their ratios, limits, link lifetime, and whether the environment
    variable with its key is set.
    """
    profiles: Mapping[str, Profile] = BUILTIN
    if manifest is not None:
        opened = open_manifest(manifest)
        opened.check()  # a job may name a provider that nothing else does
        profiles = {**BUILTIN, **opened.profiles}
    if as_json:
        answer: dict[str, Json] = {
            name: provider_answer(profile, _key_set(profile)) for name, profile in profiles.items()
        }
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_text(profile) for profile in profiles.values()))


def _key_set(profile: Profile) -> bool | None:
    """None where no key is needed."""
    if not profile.api_key_env:
        return None
    return any(os.environ.get(name) for name in profile.api_key_env)


def _text(profile: Profile) -> str:
    address = "the simulator, started by the run" if profile.base_url == SIMULATED else profile.base_url
    lines = [
        profile.name,
        f"  address  {address or '(base_url: give it in the manifest)'}",
        f"  endpoint {profile.endpoint}{', streamed' if profile.stream else ''}",
        f"  key      {_key_text(profile)}",
        f"  limits   {_limits_text(profile)}",
        f"  links    live {duration(profile.link_ttl)}, unless they say otherwise",
    ]
    if profile.default_model:
        lines.append(f"  default  {profile.default_model}")
    lines += [
        f"  model    {rule.pattern}: {', '.join(rule.ratios) or 'any ratio'}" for rule in profile.models
    ]
    lines += [f"  price    {model}: {price.words()}" for model, price in profile.prices.items()]
    return "\n".join(lines)


def _key_text(profile: Profile) -> str:
    if not profile.api_key_env:
        return "none needed"
    return ", ".join(
        f"{name} ({'set' if os.environ.get(name) else 'not set'})" for name in profile.api_key_env
    )


def _limits_text(profile: Profile) -> str:
    limits = profile.limits
    known = (
        (limits.requests_per_minute, "requests/min"),
        (limits.images_per_minute, "images/min"),
        (limits.concurrency, "at once"),
    )
    return ", ".join(f"{number:g} {unit}" for number, unit in known if number is not None) or "not stated"
