"""Keys sealed for a worker: only that worker opens them, and what carries them holds nothing of them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from batchgen.engines.sealed import Secret, seal

KEYS = b'{"tu-zi": {"TUZI_API_KEY": "sk-4f9a1c7e2b"}}'


def test_what_is_sealed_for_a_secret_is_opened_by_it_and_holds_no_key_on_the_way() -> None:
    secret = Secret()
    carried = pickle.dumps(seal(KEYS, secret.public))
    assert b"sk-4f9a1c7e2b" not in carried
    assert secret.opened(pickle.loads(carried)) == KEYS


def test_the_same_keys_are_never_sealed_alike() -> None:
    public = Secret().public
    assert seal(KEYS, public).text != seal(KEYS, public).text


def test_another_secret_and_a_changed_text_are_refused() -> None:
    secret = Secret()
    sealed = seal(KEYS, secret.public)
    with pytest.raises(ValueError, match="another worker"):
        Secret().opened(sealed)
    with pytest.raises(ValueError, match="changed"):
        secret.opened(replace(sealed, text=bytes([sealed.text[0] ^ 1]) + sealed.text[1:]))


@pytest.mark.parametrize("public", [0, 1, -1])
def test_a_number_that_gives_the_secret_away_is_refused(public: int) -> None:
    with pytest.raises(ValueError, match="no public number"):
        seal(KEYS, public)


def test_a_secret_is_not_shown() -> None:
    assert repr(Secret()) == "Secret()"
