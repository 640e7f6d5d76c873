"""The hash of a flow's ends, equal for both directions.

Seeded afresh for every capture, so that nobody can write a capture whose flows all collide; results
do not depend on the seed.
"""

from __future__ import annotations

import numpy as np

from qwarden.core.compiled import compiled


@compiled
def mix(value: np.uint64) -> np.uint64:
    """Return a bijective mix of 64 bits (the finaliser of MurmurHash3)."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@compiled
def _end(hi: np.uint64, lo: np.uint64, key: int, seed: np.uint64) -> np.uint64:
    return mix(mix(mix(seed ^ lo) ^ hi) ^ np.uint64(key))


@compiled
def hash_ends(
    src_hi: np.uint64,
    src_lo: np.uint64,
    src_key: int,
    dst_hi: np.uint64,
    dst_lo: np.uint64,
    dst_key: int,
    proto: int,
    seed: np.uint64,
) -> int:
    """Return 31 bits, the same when source and destination change places."""
    both = _end(src_hi, src_lo, src_key, seed) + _end(dst_hi, dst_lo, dst_key, seed)
    return int(np.int64(mix(both ^ np.uint64(proto)) >> np.uint64(33)))
