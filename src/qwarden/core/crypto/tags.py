"""One-time authentication tags: no computing power forges them, and each key serves for one message.

tag = GHASH_h(message) xor p, with the tag key h || p of 256 bits. The pad p is uniform and used once, so
the tag tells nothing about h; to put another message under the tag, or to invent a first one, an attacker
must guess a difference of hashes, which succeeds with probability n / 2^128 for messages of n blocks of
16 bytes, the length block counted. See `forging_probability`.

Both halves are used once. Wegman and Carter keep h and renew only p, which halves the consumption; here a
leak of one key shall never touch another message.

Source: Wegman and Carter, "New hash functions and their use in authentication and set equality", JCSS 22
(1981), section 3; Krawczyk, "LFSR-based hashing and authentication", CRYPTO 1994, theorem 1 (a hash whose
differences are hard to guess, under a one-time pad); Stinson, "Universal hashing and authentication codes",
DCC 4 (1994), theorem 3.2 (the same as a bound on substitution); Abidin and Larsson, "Direct proof of
security of Wegman-Carter authentication with partially known key", QIP 13 (2014): a key at distance eps
from uniform, as quantum key distribution gives it, adds eps.
"""

from __future__ import annotations

import hmac
import math
import threading
from typing import Final, NoReturn

from qwarden.core.crypto.ghash import BLOCK, ghash
from qwarden.core.errors import KeyReused

KEY_BITS: Final = 256
"""Key bits one tag uses up: 128 for the hash, 128 for the pad."""

TAG_BITS: Final = 128


def forging_probability(message_bytes: int, key_distance: float = 0.0) -> float:
    """Return the chance that one forged message passes, whatever the attacker's computing power.

    Parameters
    ----------
    message_bytes : length of the longest message that the receiver accepts.
    key_distance : trace distance of the key from a uniform and secret one; 0 for a pre-shared key.

    Examples
    --------
    >>> forging_probability(1 << 20) < 2**-111
    True
    """
    blocks = -(-message_bytes // BLOCK) + 1
    return min(1.0, math.ldexp(blocks, -TAG_BITS) + key_distance)


class TagKey:
    """A key for one tag: it makes one, or checks one, and is gone.

    Checking uses it up too: who may try a second forgery against the same key learns from the first.

    Parameters
    ----------
    material : 32 bytes, uniformly random, known to sender and receiver alone, never used before.

    Raises
    ------
    ValueError
        `material` is not 32 bytes.

    Examples
    --------
    >>> sender, receiver = TagKey(bytes(range(32))), TagKey(bytes(range(32)))
    >>> receiver.verify(b"sifted bits", sender.tag(b"sifted bits"))
    True
    >>> sender.tag(b"more bits")
    Traceback (most recent call last):
    ...
    qwarden.core.errors.KeyReused: this tag key was used before
    """

    def __init__(self, material: bytes) -> None:
        if 8 * len(material) != KEY_BITS:
            raise ValueError(f"a tag key of {len(material)} bytes, expected {KEY_BITS // 8}")
        self._material: bytes | None = bytes(material)
        self._lock = threading.Lock()

    @property
    def used(self) -> bool:
        """Whether it has made or checked its tag."""
        return self._material is None

    def tag(self, message: bytes) -> bytes:
        """Return the tag of `message`, 16 bytes.

        Raises
        ------
        KeyReused
            The key was used before.
        """
        return _tag(self._take(), message)

    def verify(self, message: bytes, tag: bytes) -> bool:
        """Say whether `tag` was made of `message` with the same key.

        Raises
        ------
        KeyReused
            The key was used before.
        """
        return hmac.compare_digest(_tag(self._take(), message), tag)

    def _take(self) -> bytes:
        with self._lock:
            material, self._material = self._material, None
        if material is None:
            raise KeyReused("this tag key was used before")
        return material

    def __reduce__(self) -> NoReturn:
        raise TypeError("a tag key is used once and cannot be copied")  # copy and pickle both ask here


def _tag(material: bytes, message: bytes) -> bytes:
    hashed = int.from_bytes(ghash(material[:BLOCK], message))
    return (hashed ^ int.from_bytes(material[BLOCK:])).to_bytes(BLOCK)
