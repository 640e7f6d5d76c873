"""GHASH: a polynomial over GF(2^128), evaluated at a secret point. A universal hash, compiled.

Two different messages of at most n blocks (the length block counted) have hashes that differ by a given
value for at most n of the 2^128 keys: the difference of their polynomials has no more roots. That is all a
one-time tag needs of it.

The product with the key is a sum over all 128 multiples of the key by powers of x, each masked by one bit
of the other factor: no branch and no address depends on a secret, so timing tells nothing.

Source: NIST SP 800-38D sections 6.3 and 6.4; McGrew and Viega, "The Security and Performance of the
Galois/Counter Mode of Operation", 2004, lemma 2 (the number of roots).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled

BLOCK: Final = 16
"""Bytes of a block, of the key and of the hash."""

_ZERO, _ONE, _TOP = np.uint64(0), np.uint64(1), np.uint64(63)
_REDUCE: Final = np.uint64(0xE100000000000000)  # x^128 = x^7 + x^2 + x + 1; the first bit is the lowest power

Words = npt.NDArray[np.uint64]


def ghash(key: bytes, message: bytes) -> bytes:
    """Hash `message` under `key`.

    It is GHASH with the message in the place of the ciphertext and no associated data: the message is padded
    with zeros to whole blocks, and a block with its length follows.

    Parameters
    ----------
    key : 16 bytes, uniformly random and secret.
    message : any number of bytes.

    Returns
    -------
    bytes
        16 bytes. Without a pad over them they give the key away.

    Examples
    --------
    Test case 2 of McGrew and Viega, appendix B.

    >>> key = bytes.fromhex("66e94bd4ef8a2c3b884cfa59ca342b2e")
    >>> ghash(key, bytes.fromhex("0388dace60b6a392f328c2b971b2fe78")).hex()
    'f38cbb1ad69223dcc3457ae5b6b0f885'
    """
    if len(key) != BLOCK:
        raise ValueError(f"a hash key of {len(key)} bytes, expected {BLOCK}")
    padding = bytes(-len(message) % BLOCK + BLOCK // 2)
    padded = b"".join((message, padding, (8 * len(message)).to_bytes(BLOCK // 2, "big")))
    return _evaluate(_multiples(_words(key)), _words(padded)).astype(">u8").tobytes()


def _words(data: bytes) -> Words:
    return np.frombuffer(data, ">u8").astype(np.uint64)


@compiled
def _multiples(key: Words) -> Words:
    """Return key * x^i for i = 0 ... 127, shape (2, 128): high words, low words."""
    table = np.empty((2, 128), np.uint64)
    high, low = key[0], key[1]
    for power in range(128):
        table[0, power], table[1, power] = high, low
        fallen = _ZERO - (low & _ONE)
        low = (low >> _ONE) | (high << _TOP)
        high = (high >> _ONE) ^ (fallen & _REDUCE)
    return table


@compiled
def _evaluate(table: Words, words: Words) -> Words:
    """Run Horner's rule over blocks of two words each."""
    high, low = _ZERO, _ZERO
    for block in range(words.size // 2):
        first, second = high ^ words[2 * block], low ^ words[2 * block + 1]
        high, low = _ZERO, _ZERO
        for bit in range(64):
            in_first = _ZERO - ((first >> np.uint64(63 - bit)) & _ONE)
            in_second = _ZERO - ((second >> np.uint64(63 - bit)) & _ONE)
            high ^= (table[0, bit] & in_first) ^ (table[0, bit + 64] & in_second)
            low ^= (table[1, bit] & in_first) ^ (table[1, bit + 64] & in_second)
    return np.array([high, low], np.uint64)
