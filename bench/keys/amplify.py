"""Privacy amplification, 1e6 -> 5e5 bits: time of ours, and the same product by bitwise operations."""

from __future__ import annotations

import json
import statistics
import time

import numpy as np

from qwarden.keys.amplification import amplify, seed_bits
from qwarden.keys.records import Bits

SEED, BITS, LENGTH, RUNS = 5, 1_000_000, 500_000, 15


def bitwise(key: Bits, seed: Bits, length: int) -> Bits:
    """The xor of the matrix's columns where the key has a 1: no number ever exceeds a byte."""
    n = key.size
    shifted = [np.packbits(np.pad(seed[part:], (0, 8 + part))) for part in range(8)]  # for offsets mod 8
    total = np.zeros(length // 8, dtype=np.uint8)
    for j in np.flatnonzero(key):
        start = n - 1 - int(j)
        total ^= shifted[start % 8][start // 8 : start // 8 + length // 8]
    return np.unpackbits(total)


def main() -> None:
    rng = np.random.default_rng(SEED)
    key = rng.integers(0, 2, BITS, dtype=np.uint8)
    seed = rng.integers(0, 2, seed_bits(LENGTH, BITS), dtype=np.uint8)
    secret = amplify(key, seed, LENGTH)
    if not np.array_equal(secret, bitwise(key, seed, LENGTH)):
        raise SystemExit("the bits differ")
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        amplify(key, seed, LENGTH)
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(times), "runs": RUNS, "seed": SEED}))


if __name__ == "__main__":
    main()
