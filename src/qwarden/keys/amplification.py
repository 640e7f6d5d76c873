"""Privacy amplification: a shorter key of which Eve knows nothing, by a Toeplitz matrix over GF(2).

The matrix is chosen by public random bits after everything else has been said, and its hash is two-universal,
so the leftover-hash lemma turns the bound of `finite_key` into secret bits. The product is a convolution,
computed by FFT in double precision; each sum is a whole number, of which the parity is wanted, so the result
is exact as long as the rounding error stays below a half. `rounding_bound` says beforehand that it does, with
millions to spare, and each product is looked at before it is believed.

Source: Krawczyk, CRYPTO 1994, section 3.2 (Toeplitz matrices are two-universal); Tomamichel, Schaffner,
Smith, Renner, IEEE Trans. Inf. Theory 57, 5524 (2011) (leftover hashing against quantum side information).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft

from qwarden.core.errors import UsageError
from qwarden.keys.records import Bits

COLUMNS: Final = 1 << 22
"""Bits of the key taken at a time: bounds memory and keeps the rounding error small."""

UNIT: Final = 2.0**-53


def seed_bits(length: int, key_bits: int) -> int:
    """Return how many public random bits choose a matrix of `length` rows and `key_bits` columns."""
    return length + key_bits - 1


def amplify(key: Bits, seed: Bits, length: int) -> Bits:
    """Return `length` secret bits of a reconciled key.

    y_i = sum_j seed[i - j + n - 1] key_j mod 2, for n bits of key.

    Parameters
    ----------
    key : uint8 (n,), the same at both ends.
    seed : uint8 (length + n - 1,), public, uniformly random, never used for another block.

    Raises
    ------
    UsageError
        The seed has another length, or more bits are asked for than the key has.

    Examples
    --------
    >>> import numpy as np
    >>> amplify(np.array([1, 0, 1], np.uint8), np.array([1, 1, 0, 1], np.uint8), 2)
    array([1, 0], dtype=uint8)
    """
    n = key.size
    if not 0 <= length <= n:
        raise UsageError(f"{length} bits asked of a key of {n}")
    if length and seed.size != seed_bits(length, n):
        raise UsageError(f"a seed of {seed.size} bits, expected {seed_bits(length, n)}")
    secret = np.zeros(length, dtype=np.uint8)
    for start in range(0, n if length else 0, COLUMNS):
        piece = key[start : start + COLUMNS]
        # Column j of row i takes seed[i - j + n - 1]; of this piece's columns that is one window.
        end = n - start
        window = seed[end - piece.size : end - 1 + length]
        secret ^= _parities(piece, window, length)
    return secret


def rounding_bound(key_norm: float, seed_norm: float, size: int) -> float:
    """Return the most by which a sum may come out wrong.

    Parameters
    ----------
    key_norm, seed_norm : Euclidean lengths of the two vectors.
    size : of the transform; the bound is taken at the next power of two.

    Source: Percival, Math. Comp. 72, 387 (2003), theorem 5.1, for transforms whose roots of unity are rounded
    correctly. It is proved for radix 2; ours are of mixed radix, which do fewer operations.
    """
    levels = math.ceil(math.log2(max(2, size)))
    growth = (1 + UNIT) ** (6 * levels) * (1 + UNIT * math.sqrt(5)) ** (3 * levels + 1)
    return key_norm * seed_norm * (growth - 1)


def _parities(key: Bits, window: Bits, length: int) -> Bits:
    """Multiply one piece: `window` holds key.size + length - 1 bits of the seed."""
    size = fft.next_fast_len(window.size, real=True)
    bound = rounding_bound(math.sqrt(int(key.sum())), math.sqrt(int(window.sum())), size)
    if bound >= 0.25:
        raise UsageError(f"{key.size} bits at a time are too many: rounding may reach {bound:.2f}")
    # What wraps around falls before the first sum that is wanted: a transform of the window's size is enough.
    sums = fft.irfft(fft.rfft(window, size) * fft.rfft(key, size), size)[key.size - 1 : key.size - 1 + length]
    whole: npt.NDArray[np.float64] = np.rint(sums)
    if sums.size and float(np.abs(sums - whole).max()) > 0.25:
        raise ArithmeticError("the transform rounded worse than is proved possible")
    return (whole.astype(np.int64) & 1).astype(np.uint8)
