"""Who edits whose image in a manifest: unknown parents, rings, and fingerprints that follow the parent's."""

from __future__ import annotations

from batchgen.manifest.lineage import Lineage, Outline
from batchgen.model import Job


def job(name: str, after: str | None = None, *, n: int = 1, image: int = 0) -> Job:
    return Job(id=name, prompt="x", provider=("p",), model="m", n=n, after=after, after_image=image)


def own(word: str) -> str:
    """A fingerprint as jobs have it: 32 hex characters."""
    return word.encode().hex().ljust(32, "0")


def lineage(*jobs: Job, changed: str = "") -> Lineage:
    words = {one.id: own(one.id + "!" if one.id == changed else one.id) for one in jobs}
    return Lineage(Outline(one.id, one.after, one.n, words[one.id]) for one in jobs)


CHAIN = (job("rain", "hat"), job("hat", "cat"), job("cat"), job("dog"))


def test_a_fingerprint_changes_with_every_job_before_it_and_with_none_behind_it() -> None:
    before, after = lineage(*CHAIN), lineage(*CHAIN, changed="hat")
    changed = [one.id for one in CHAIN if before.fingerprint(one.id) != after.fingerprint(one.id)]
    assert changed == ["rain", "hat"]
    assert before.fingerprint("cat") == own("cat")


def test_a_fingerprint_does_not_depend_on_the_order_of_the_manifest() -> None:
    there, back = lineage(*CHAIN), lineage(*reversed(CHAIN))
    assert [there.fingerprint(one.id) for one in CHAIN] == [back.fingerprint(one.id) for one in CHAIN]


def test_a_parent_that_is_no_job_is_told_with_the_nearest_that_is() -> None:
    assert lineage(*CHAIN).problem(CHAIN[0]) is None
    wrong = job("x", "hatt")
    told = lineage(*CHAIN, wrong).problem(wrong)
    assert told == "after 'hatt' is no job of this manifest, did you mean 'hat'?"


def test_a_ring_is_told_once_and_leads_nowhere() -> None:
    jobs = (job("tail", "a"), job("a", "c"), job("b", "a"), job("c", "b"))
    found = lineage(*jobs)
    assert [found.problem(one) for one in jobs] == ["'after' goes round in a ring: a -> c -> b -> a", None, None, None]
    assert all(found.fingerprint(one.id) for one in jobs)


def test_a_long_ring_is_told_in_one_line() -> None:
    jobs = [job(str(number), str((number + 1) % 100_000)) for number in range(100_000)]
    told = lineage(*jobs).problem(jobs[0])
    assert told == "'after' goes round in a ring: 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> …"


def test_a_long_chain_is_gone_through_once() -> None:
    jobs = [job("0"), *(job(str(number), str(number - 1)) for number in range(1, 100_000))]
    found = lineage(*reversed(jobs))
    assert [found.problem(one) for one in reversed(jobs[1:])] == [None] * 99_999
    assert len({found.fingerprint(one.id) for one in jobs}) == 100_000


def test_an_image_that_the_parent_does_not_ask_for_is_warned_of() -> None:
    child, far = job("b", "a", image=1), job("c", "a", image=2)
    found = lineage(job("a", n=2), child, far)
    assert found.warning(child) is None
    told = found.warning(far)
    assert told == "after: image 2 of 'a' may not be there: it asks for 2, and they count from 0"


def test_a_parent_that_the_matrix_does_not_multiply_is_found_as_written() -> None:
    base, cat = Outline("base", None, 1, own("base")), Outline("hat+cat", "base+cat", 1, own("hat"), parent="base")
    assert Lineage([base, cat]).parent("hat+cat") == "base"
    each = Outline("base+cat", None, 1, own("each"))
    assert Lineage([base, each, cat]).parent("hat+cat") == "base+cat"
    assert Lineage([cat]).parent("hat+cat") == "base+cat"
