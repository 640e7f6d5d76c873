from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz

from qwarden.core.errors import UsageError
from qwarden.keys import amplification
from qwarden.keys.amplification import amplify, rounding_bound, seed_bits
from qwarden.keys.records import Bits
from qwarden.keys.verification import POINT_BYTES, hash_bits, key_hash


def by_matrix(key: Bits, seed: Bits, length: int) -> Bits:
    n = key.size
    matrix = toeplitz(seed[n - 1 :], seed[n - 1 :: -1])
    assert matrix.shape == (length, n)
    return (matrix.astype(int) @ key % 2).astype(np.uint8)


@pytest.mark.parametrize(("n", "length"), [(1, 1), (5, 3), (64, 64), (1000, 1), (1777, 903)])
def test_it_is_the_product_with_the_matrix(n: int, length: int) -> None:
    rng = np.random.default_rng(n)
    key, seed = rng.integers(0, 2, n, np.uint8), rng.integers(0, 2, seed_bits(length, n), np.uint8)
    assert np.array_equal(amplify(key, seed, length), by_matrix(key, seed, length))


def test_a_key_taken_in_pieces_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    key, seed = rng.integers(0, 2, 1000, np.uint8), rng.integers(0, 2, seed_bits(300, 1000), np.uint8)
    whole = amplify(key, seed, 300)
    monkeypatch.setattr(amplification, "COLUMNS", 137)
    assert np.array_equal(amplify(key, seed, 300), whole)


def test_the_rounding_error_keeps_its_bound() -> None:
    rng = np.random.default_rng(2)
    for size in (1 << 10, 1 << 15, 1 << 19):
        a, b = rng.integers(0, 2, size), rng.integers(0, 2, size)
        sums = np.fft.irfft(np.fft.rfft(a, 2 * size) * np.fft.rfft(b, 2 * size), 2 * size)
        worst = float(np.abs(sums - np.rint(sums)).max())
        bound = rounding_bound(np.sqrt(a.sum()), np.sqrt(b.sum()), 2 * size)
        assert 0 < worst < bound < 1e-3


def test_nothing_and_too_much() -> None:
    key = np.ones(8, np.uint8)
    assert amplify(key, np.zeros(0, np.uint8), 0).size == 0
    with pytest.raises(UsageError, match="9 bits asked of a key of 8"):
        amplify(key, np.zeros(16, np.uint8), 9)
    with pytest.raises(UsageError, match="expected 11"):
        amplify(key, np.zeros(10, np.uint8), 4)


def test_different_keys_have_different_hashes() -> None:
    rng = np.random.default_rng(3)
    key = rng.integers(0, 2, 100_000, np.uint8)
    bits = hash_bits(key.size, 1e-15)
    point = bytes(rng.integers(0, 256, POINT_BYTES, np.uint8))
    other = key.copy()
    other[777] ^= 1
    assert len(key_hash(key, point, bits)) == bits // 8
    assert key_hash(key, point, bits) == key_hash(key.copy(), point, bits)
    assert key_hash(key, point, bits) != key_hash(other, point, bits)


def test_short_hashes_collide_as_often_as_is_proved() -> None:
    rng = np.random.default_rng(4)
    key = rng.integers(0, 2, 1000, np.uint8)
    other = rng.integers(0, 2, 1000, np.uint8)
    points = [bytes(rng.integers(0, 256, POINT_BYTES, np.uint8)) for _ in range(4000)]
    same = sum(key_hash(key, p, 8) == key_hash(other, p, 8) for p in points)
    # 8 blocks and that of the length: at most 9 in 256, and no fewer than about one.
    assert 4 <= same <= 4000 * 9 / 256


def test_a_hash_beyond_128_bits_is_refused() -> None:
    with pytest.raises(UsageError, match="hash of"):
        hash_bits(1_000_000, 1e-38)
