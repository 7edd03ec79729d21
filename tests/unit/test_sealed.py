"""Keys sealed for a worker: only that worker opens them, and what carries them holds nothing of them."""

from __future__ import annotations

import pytest

from batchgen.engines.sealed import Secret, seal

KEYS = b'{"tu-zi": {"TUZI_API_KEY": "sk-4f9a1c7e2b"}}'


def test_what_is_sealed_for_a_secret_is_opened_by_it_and_holds_no_key_on_the_way() -> None:
    secret = Secret()
    carried = seal(KEYS, secret.public)
    assert b"sk-4f9a1c7e2b" not in carried
    assert secret.opened(carried) == KEYS


def test_the_same_keys_are_never_sealed_alike() -> None:
    public = Secret().public
    assert seal(KEYS, public) != seal(KEYS, public)


def test_another_secret_and_a_changed_text_are_refused() -> None:
    secret = Secret()
    sealed = seal(KEYS, secret.public)
    with pytest.raises(ValueError, match="another worker"):
        Secret().opened(sealed)
    with pytest.raises(ValueError, match="changed"):
        secret.opened(bytes([sealed[0] ^ 1]) + sealed[1:])


def test_a_secret_is_not_shown() -> None:
    secret = Secret()
    assert bytes(secret._key).hex() not in repr(secret) + repr(vars(secret))
