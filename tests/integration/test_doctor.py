"""`doctor` against a real socket: what it sees, what it advises, and that it asks for nothing that is paid."""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchgen.cli import main
from batchgen.doctor import Finding, examine
from batchgen.providers.profile import Profile
from tests.integration.loopback import Answer, Loopback, http, unheard

NOW = 1_800_000_000.0
MODELS = json.dumps({"object": "list", "data": [{"id": "m1"}, {"id": "m2"}]}).encode()
KEYS = {"A_KEY": "sk-a", "B_KEY": "sk-b"}


def profile(port: int, *variables: str, model: str | None = None) -> Profile:
    url = f"http://127.0.0.1:{port}/v1"
    return Profile(name="p", base_url=url, api_key_env=variables, default_model=model)


async def findings(answers: list[Answer], *variables: str, model: str | None = None) -> tuple[list[Finding], Loopback]:
    """What the examination of a provider with these answers brings, without the disk."""
    async with Loopback(answers) as server:
        found = await examine(profile(server.port, *variables, model=model), KEYS, Path(), NOW)
    return [one for one in found if one.what != "disk"], server


def dated(status: int, body: bytes, off: float = 0.0) -> Answer:
    return http(status, body, Date=formatdate(NOW + off, usegmt=True))


async def test_a_provider_in_order_has_its_key_address_and_clock_well_for_one_list_of_models() -> None:
    found, server = await findings([dated(200, MODELS)], "A_KEY", model="m1")
    assert [(one.what, one.well) for one in found] == [("key", True), ("address", True), ("clock", True)]
    assert [server.target(0), server.header(0, "authorization")] == ["/v1/models", "Bearer sk-a"]
    assert len(server.requests) == 1


async def test_each_key_of_a_list_is_tried_and_a_refused_one_is_named_by_its_variable() -> None:
    found, _ = await findings([dated(200, MODELS), dated(401, b"{}")], "A_KEY", "B_KEY")
    keys = [one for one in found if one.what == "key"]
    assert [one.well for one in keys] == [True, False]
    assert keys[1].words.startswith("B_KEY is refused (HTTP 401)")
    assert "sk-b" not in str(found)


async def test_a_missing_key_is_named_by_its_variable() -> None:
    found, _ = await findings([dated(200, MODELS)], "C_KEY")
    assert [one.well for one in found if one.what == "key"] == [False]
    assert "C_KEY" in found[0].words


@pytest.mark.parametrize(
    ("answer", "well", "words"),
    [
        (dated(404, b"not found"), True, "has no list of models"),
        (dated(200, b"<html>welcome</html>"), False, "does base_url end in /v1"),
        (dated(502, b"bad gateway"), False, "HTTP 502"),
        (dated(200, MODELS), True, "'other', the default, is not listed"),
    ],
)
async def test_what_the_address_answers_is_told(answer: Answer, well: bool, words: str) -> None:
    found, _ = await findings([answer], "A_KEY", model="other")
    (address,) = [one for one in found if one.what == "address"]
    assert (address.well, words in address.words) == (well, True), address


async def test_nobody_at_the_address_is_told() -> None:
    with unheard() as port:
        found = await examine(profile(port, "A_KEY"), KEYS, Path(), NOW)
    (address,) = [one for one in found if one.what == "address"]
    assert not address.well
    assert "no connection to 127.0.0.1" in address.words


@pytest.mark.parametrize(("off", "words"), [(-300.0, "300 s ahead of"), (300.0, "300 s behind")])
async def test_a_clock_that_is_wrong_by_minutes_is_told(off: float, words: str) -> None:
    found, _ = await findings([dated(200, MODELS, off)], "A_KEY")
    (clock,) = [one for one in found if one.what == "clock"]
    assert (clock.well, words in clock.words) == (False, True)


def test_the_command_knows_simulated_providers_and_mistyped_names() -> None:
    well = CliRunner().invoke(main, ["doctor", "simulator", "--json"])
    assert (well.exit_code, json.loads(well.stdout)["ok"]) == (0, True)
    wrong = CliRunner().invoke(main, ["doctor", "simulater"])
    assert (wrong.exit_code, "did you mean 'simulator'?" in wrong.output) == (2, True)


def test_a_manifest_in_place_of_a_provider_is_told_where_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("jobs: []")
    told = CliRunner().invoke(main, ["doctor", str(tmp_path / "a.yaml")])
    assert told.exit_code == 2
    assert told.stderr.strip().endswith(f"batchgen doctor NAME --manifest {tmp_path / 'a.yaml'}")
