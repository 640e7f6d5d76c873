"""Verification: a short hash says whether reconciliation has left both ends with the same key.

The hash is GHASH under a public random point, cut to as many bits as the wanted certainty needs. Different
keys of m blocks of 16 bytes agree in t bits of it with a chance of at most (m + 1) 2^-t, because every
difference of full hashes has at most (m + 1) 2^-128.

Source: Stinson, DCC 4 (1994), theorem 3.2 (almost universal hashing); McGrew and Viega, "The security and
performance of GCM", INDOCRYPT 2004, lemma 2 (GHASH is almost xor-universal).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qwarden.core.crypto.ghash import BLOCK, ghash
from qwarden.core.errors import UsageError
from qwarden.keys.records import Bits

POINT_BYTES: Final = BLOCK
"""Public random bytes that choose the hash; drawn after reconciliation is over."""


def hash_bits(key_bits: int, eps_cor: float) -> int:
    """Return how many bits of hash make the keys equal but for a chance of `eps_cor`: a multiple of 8.

    Raises
    ------
    UsageError
        128 bits are not enough.

    Examples
    --------
    >>> hash_bits(1_000_000, 1e-15)
    64
    """
    blocks = -(-key_bits // (8 * BLOCK)) + 1
    bits = 8 * math.ceil(math.log2(blocks / eps_cor) / 8)
    if bits > 8 * BLOCK:
        raise UsageError(f"eps_cor {eps_cor:g} asks for a hash of {bits} bits; there are {8 * BLOCK}")
    return bits


def key_hash(key: Bits, point: bytes, bits: int) -> bytes:
    """Return the first `bits` of the key's hash, as bytes.

    Parameters
    ----------
    key : uint8 (n,) of 0 and 1.
    point : `POINT_BYTES` public random bytes, new for each block.
    bits : see `hash_bits`.
    """
    return ghash(point, np.packbits(key).tobytes())[: bits // 8]
