"""Seals the API keys for one worker, so that whatever carries, keeps or logs them in between holds only ciphertext.

Diffie-Hellman in the 2048-bit group 14 of RFC 3526 (the worker's secret never leaves its memory), a SHAKE-256 key
stream and an HMAC over it. It keeps readers out, not somebody who may start processes in the cluster: that is what
the cluster's own authentication is for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

# RFC 3526 section 3: 2^2048 - 2^1984 - 1 + 2^64 * ([2^1918 pi] + 124476), with the generator 2.
_PRIME: Final = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f"
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b"
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510"
    "15728e5a8aacaa68ffffffffffffffff",
    16,
)
_GENERATOR: Final = 2
_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Sealed:
    """What only the holder of one `Secret` can open."""

    public: int
    text: bytes
    mark: bytes


@dataclass(frozen=True, slots=True)
class Secret:
    """One side's secret number; it is shown nowhere and never sent."""

    _number: int = field(default_factory=lambda: secrets.randbits(512), repr=False)

    @property
    def public(self) -> int:
        """What the other side seals for."""
        return pow(_GENERATOR, self._number, _PRIME)

    def opened(self, sealed: Sealed) -> bytes:
        """What was sealed for this secret. Raises `ValueError` when it was sealed for another, or changed."""
        stream, check = _keys(self._number, sealed.public, len(sealed.text))
        if not hmac.compare_digest(sealed.mark, _mark(check, sealed.text)):
            raise ValueError("the keys were sealed for another worker, or changed on the way")
        return _mixed(sealed.text, stream)


def seal(text: bytes, public: int) -> Sealed:
    """Seal `text` for whoever has the secret of `public`; each time with a fresh secret of our own."""
    own = Secret()
    stream, check = _keys(own._number, public, len(text))
    hidden = _mixed(text, stream)
    return Sealed(own.public, hidden, _mark(check, hidden))


def _keys(number: int, public: int, length: int) -> tuple[bytes, bytes]:
    if not 1 < public < _PRIME - 1:
        raise ValueError("no public number of this group")
    shared = pow(public, number, _PRIME).to_bytes(_BYTES, "big")
    return hashlib.shake_256(b"stream" + shared).digest(length), hashlib.sha256(b"mark" + shared).digest()


def _mark(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _mixed(text: bytes, stream: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))
