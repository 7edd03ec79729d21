"""The small memory of texts behind the search for duplicate ids."""

from __future__ import annotations

from batchgen.manifest.seen import Seen


def test_every_text_keeps_the_number_it_came_with_first() -> None:
    seen = Seen()
    assert [seen.first(f"job-{number}", number) for number in range(20_000)] == list(range(20_000))
    assert [seen.first(f"job-{number}", 7 << 40) for number in range(20_000)] == list(range(20_000))


def test_a_text_that_is_new_brings_its_own_number() -> None:
    seen = Seen()
    assert (seen.first("a", 3), seen.first("b", 9), seen.first("a", 5), seen.first("", 0)) == (3, 9, 3, 0)
