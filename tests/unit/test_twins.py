"""A rehearsal's providers: like the real ones, faster, with a night's faults, and out of reach of any network."""

from __future__ import annotations

from base64 import b64decode

import pytest

from batchgen.images.fitting import fitted
from batchgen.model import Endpoint, Entry, Job
from batchgen.providers.builtin import BUILTIN
from batchgen.providers.keys import needs_key
from batchgen.providers.prices import Price
from batchgen.providers.profile import SIMULATED, Bounds, Limits, Profile
from batchgen.providers.twins import SPEED, STAND_IN, TYPICAL_SECONDS, Night, twin, without_links
from batchgen.simulator.settings import parse_settings

REAL = Profile(
    name="gate",
    base_url="https://gate.example/v1",
    api_key_env=("GATE_KEY",),
    endpoint=Endpoint.IMAGES,
    limits=Limits(requests_per_minute=30, concurrency=4),
    prices={"m": Price(per_image=30_000)},
    dialect="modelverse",
)


@pytest.mark.parametrize("night", Night)
def test_a_twin_keeps_what_the_provider_is_and_needs_no_key(night: Night) -> None:
    played = twin(REAL, night)
    assert (played.base_url, needs_key(played)) == (SIMULATED, False)
    kept = ("name", "dialect", "endpoint", "prices", "models", "task_url", "link_ttl", "stream")
    assert [getattr(played, name) for name in kept] == [getattr(REAL, name) for name in kept]


def test_a_twin_is_faster_and_takes_more_a_minute_by_the_same_measure() -> None:
    played = twin(REAL, Night.ORDINARY)
    assert played.limits == Limits(requests_per_minute=30 * SPEED, concurrency=4)
    settings = parse_settings(played.simulate)
    assert settings.latency * SPEED == TYPICAL_SECONDS
    assert (settings.rpm, settings.concurrency) == (30 * SPEED, 4)


@pytest.mark.parametrize("profile", [one for one in BUILTIN.values() if one.base_url], ids=lambda one: one.name)
def test_the_simulator_understands_every_twin(profile: Profile) -> None:
    ordinary, bad = (parse_settings(twin(profile, night).simulate) for night in Night)
    assert set(ordinary.faults) <= set(bad.faults) | {"file_404_first"}


def test_a_provider_that_is_simulated_already_plays_itself() -> None:
    mine = Profile(name="s", base_url=SIMULATED, simulate={"latency": 3})
    assert twin(mine, Night.BAD) is mine


def test_references_that_are_links_give_way_to_a_picture_and_say_so() -> None:
    job = Job(id="j", prompt="p", provider=("gate",), model="m", references=("/a.png", "HTTPS://x.example/b.png"))
    entry = without_links(Entry(job.id, job.prompt, job, fingerprint="f", place="a.yaml:1", warnings=("first",)))
    assert entry.job.references == ("/a.png", STAND_IN)
    assert len(entry.warnings) == 2
    grey = fitted(b64decode(STAND_IN.partition(",")[2]), Bounds(10_000))
    assert (grey.format, grey.size) == ("png", (64, 64))
    bare = Job(id="j", prompt="p", provider=("gate",), model="m")
    plain = Entry(bare.id, bare.prompt, bare, fingerprint="f", place="a.yaml:1")
    assert without_links(plain) is plain


@pytest.mark.parametrize(
    ("reference", "mask", "stands"),
    [
        ("https://x.example/a.png", "/m.png", STAND_IN),
        ("https://x.example/a.png", "https://x.example/m.png", STAND_IN),
        ("/a.png", "https://x.example/m.png", None),
        ("/a.png", "/m.png", "/m.png"),
    ],
)
def test_a_mask_is_as_large_as_what_stands_for_its_reference(reference: str, mask: str, stands: str | None) -> None:
    job = Job(id="j", prompt="p", provider=("gate",), model="m", references=(reference,), mask=mask)
    assert without_links(Entry(job.id, job.prompt, job, fingerprint="f", place="a.yaml:1")).job.mask == stands
