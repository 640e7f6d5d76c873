"""Signatures and key exchange that withstand quantum computers.

One parameter set of each, of NIST's security category 3. Keys are kept as their seeds, from which
everything else is made; whoever stores one wraps it (`core.crypto.wrapping`).

Source: FIPS 204 (ML-DSA-65), FIPS 203 (ML-KEM-768).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from qwarden.core.errors import InputError

MLDSA_PUBLIC_BYTES: Final = 1952
MLDSA_SIGNATURE_BYTES: Final = 3309
MLKEM_PUBLIC_BYTES: Final = 1184
MLKEM_CIPHERTEXT_BYTES: Final = 1088


@dataclass(frozen=True, slots=True)
class MLDSAKey:
    """A private ML-DSA-65 key; printing it shows nothing.

    Examples
    --------
    >>> key = MLDSAKey.generate()
    >>> signature = key.sign(b"accept", context=b"vote")
    >>> mldsa_verify(key.public, signature, b"accept", context=b"vote")
    True
    >>> mldsa_verify(key.public, signature, b"accept", context=b"veto")
    False
    """

    _private: MLDSA65PrivateKey

    @classmethod
    def generate(cls) -> MLDSAKey:
        """Make a new key from the operating system's randomness."""
        return cls(MLDSA65PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> MLDSAKey:
        """Make the key of a seed (FIPS 204, algorithm 6); ValueError if it is not 32 bytes."""
        return cls(MLDSA65PrivateKey.from_seed_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The 32 bytes it is made from: as secret as the key."""
        return self._private.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The public key, 1,952 bytes."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """Return the signature of `message`, 3,309 bytes (FIPS 204, algorithm 2, hedged).

        Parameters
        ----------
        context : at most 255 bytes that say what the signature is for; it holds in no other context.
        """
        return self._private.sign(message, context)

    def __repr__(self) -> str:
        return "MLDSAKey(...)"


def mldsa_verify(public: bytes, signature: bytes, message: bytes, context: bytes = b"") -> bool:
    """Say whether `signature` over `message` in `context` was made by the owner of `public`.

    A signature of the wrong length and a wrong signature are both simply False.

    Raises
    ------
    InputError
        `public` is no ML-DSA-65 key.

    Source: FIPS 204, algorithm 3.
    """
    try:
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message, context)
    except InvalidSignature:
        return False
    except ValueError as error:
        raise InputError("ML-DSA-65 public key", str(error)) from error
    return True


class Encapsulated(NamedTuple):
    """A fresh shared secret (32 bytes), and the ciphertext (1,088 bytes) that brings it to the other side."""

    secret: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class MLKEMKey:
    """A private ML-KEM-768 key; printing it shows nothing.

    Examples
    --------
    >>> key = MLKEMKey.generate()
    >>> secret, ciphertext = mlkem_encapsulate(key.public)
    >>> key.decapsulate(ciphertext) == secret
    True
    """

    _private: MLKEM768PrivateKey

    @classmethod
    def generate(cls) -> MLKEMKey:
        """Make a new key from the operating system's randomness."""
        return cls(MLKEM768PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> MLKEMKey:
        """Make the key of a seed d || z (FIPS 203, algorithm 16); ValueError if it is not 64 bytes."""
        return cls(MLKEM768PrivateKey.from_seed_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The 64 bytes it is made from: as secret as the key."""
        return self._private.private_bytes_raw()

    @property
    def public(self) -> bytes:
        """The public key, 1,184 bytes."""
        return self._private.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the shared secret, 32 bytes.

        A ciphertext that was changed gives another secret, not an error (FIPS 203, algorithm 18): that both
        sides hold the same one shows when it is used.

        Raises
        ------
        InputError
            The ciphertext is not 1,088 bytes.
        """
        try:
            return self._private.decapsulate(ciphertext)
        except ValueError as error:
            raise InputError("ML-KEM-768 ciphertext", str(error)) from error

    def __repr__(self) -> str:
        return "MLKEMKey(...)"


def mlkem_encapsulate(public: bytes) -> Encapsulated:
    """Make a secret for the owner of `public`.

    Raises
    ------
    InputError
        `public` is no ML-KEM-768 key (its length or a coefficient is out of range).

    Source: FIPS 203, algorithm 17 and the check of section 7.2.
    """
    try:
        return Encapsulated(*MLKEM768PublicKey.from_public_bytes(public).encapsulate())
    except ValueError as error:
        raise InputError("ML-KEM-768 public key", str(error)) from error
