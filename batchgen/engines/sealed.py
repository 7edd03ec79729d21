"""Seals the API keys for one worker, so that whatever carries, keeps or logs them in between holds only ciphertext.

libsodium's sealed boxes; a worker's secret key never leaves its memory. It keeps readers out, not somebody who may
start processes in the cluster: that is what the cluster's own authentication is for.
"""

from __future__ import annotations


class Secret:
    """The secret key of one worker; it is shown nowhere and never sent."""

    def __init__(self) -> None:
        from nacl.public import PrivateKey  # late: of the extra `ray`

        self._key = PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """What the other side seals for."""
        return bytes(self._key.public_key)

    def opened(self, sealed: bytes) -> bytes:
        """What was sealed for this secret. Raises `ValueError` when it was sealed for another, or changed."""
        from nacl.exceptions import CryptoError
        from nacl.public import SealedBox

        try:
            return SealedBox(self._key).decrypt(sealed)
        except CryptoError as error:
            raise ValueError("the keys were sealed for another worker, or changed on the way") from error


def seal(text: bytes, public: bytes) -> bytes:
    """Seal `text` for whoever has the secret of `public`, anew each time."""
    from nacl.public import PublicKey, SealedBox

    return SealedBox(PublicKey(public)).encrypt(text)
