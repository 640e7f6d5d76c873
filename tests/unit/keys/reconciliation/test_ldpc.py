"""One round trip: codes against sparse matrices, the decoder against sums over all words, leaks recounted."""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from qwarden.core.errors import UsageError
from qwarden.keys.finite_key import binary_entropy
from qwarden.keys.reconciliation import Reconciled, _ldpc_loops, efficiency, ldpc, pump
from qwarden.keys.reconciliation.codes import DESIGNS, STEPS, Code, code, column_degrees
from qwarden.keys.records import Bits


def matrix(made: Code) -> csr_matrix:
    """The parity-check matrix as the module's text says it: check t hangs on place t + shift."""
    rows = np.repeat(np.arange(made.start.size - 1), np.diff(made.start))
    t = np.arange(made.lifting)
    checks = (rows[:, None] * made.lifting + t).ravel()
    places = (made.column[:, None] * made.lifting + (t + made.shift[:, None]) % made.lifting).ravel()
    shape = ((made.start.size - 1) * made.lifting, made.columns * made.lifting)
    return csr_matrix((np.ones(checks.size, np.int64), (checks, places)), shape=shape)


def keys(bits: int, qber: float, seed: int = 0) -> tuple[Bits, Bits]:
    generator = np.random.default_rng([seed, bits])
    right = generator.integers(0, 2, bits, dtype=np.uint8)
    return right, right ^ (generator.random(bits) < qber).astype(np.uint8)


def overheard(right: Bits, wrong: Bits, qber: float) -> tuple[Reconciled, list[bytes], int]:
    """Pump by hand; return what came of it, every answer, and Alice's own count."""
    his, hers, answers = ldpc.bob(wrong, qber, seed=9), ldpc.alice(right, seed=9), []
    request = next(his)
    while True:
        answers.append(hers.answer(request))
        try:
            request = his.send(answers[-1])
        except StopIteration as stop:
            return stop.value, answers, hers.leak_bits


@pytest.mark.parametrize(("columns", "rows", "lifting"), [(256, 60, 128), (512, 48, 256), (320, 140, 64)])
def test_no_two_places_share_two_checks(columns: int, rows: int, lifting: int) -> None:
    made = code(columns, rows, lifting)
    mother = matrix(made)[: rows * lifting]
    assert mother.max() == 1
    # Place 0 of each column stands for all: the code is quasi-cyclic.
    common = (mother.T[::lifting] @ mother).tolil()
    common[np.arange(columns), np.arange(columns) * lifting] = 0
    assert common.tocsr().max() == 1


@pytest.mark.parametrize(
    ("columns", "rows"), [(64, 4), (64, 5), (64, 64), (80, 9), (272, 24), (512, 40), (512, 512)]
)
def test_degrees_are_those_of_the_design_and_checks_equally_wide(columns: int, rows: int) -> None:
    made = code(columns, rows, 16)
    widths = np.diff(made.start)
    assert widths.size == rows + STEPS * made.step
    assert widths.min() >= 2
    # No row meets a column twice: the layers of the decoder would step on each other.
    met = np.repeat(np.arange(widths.size), widths) * columns + made.column
    assert np.unique(met).size == met.size
    if rows > 8:  # below, rows are full before all columns have what they want
        assert np.ptp(widths[:rows]) <= 1
        degree = np.bincount(made.column[: made.start[rows]], minlength=columns)
        assert np.array_equal(degree, column_degrees(columns, rows))


@pytest.mark.parametrize(("ratio", "edges"), DESIGNS)
def test_a_design_keeps_within_what_theory_allows(ratio: float, edges: dict[int, float]) -> None:
    assert sum(edges.values()) == pytest.approx(1, abs=0.02)
    width = 1 / ratio / sum(share / degree for degree, share in edges.items())
    # The QBER whose entropy is the ratio less a gap: Gallager's bound on checks of that width holds there,
    # and columns of degree 2 are below the stability condition, lambda_2 (d - 1) 2 sqrt(q (1 - q)) < 1.
    q = next(q for q in np.linspace(0.2, 0.001, 4000) if binary_entropy(q) <= ratio / 1.045)
    odd = (1 - (1 - 2 * q) ** width) / 2
    assert ratio * binary_entropy(odd) > binary_entropy(q)
    assert edges[2] * (width - 1) * 2 * math.sqrt(q * (1 - q)) < 0.7


def test_both_ends_of_all_versions_make_the_same_code() -> None:
    found = hashlib.sha256()
    for shape in ((272, 30, 32), (512, 60, 64)):
        made = code(*shape)
        for part in (made.column, made.shift, made.start):
            found.update(np.ascontiguousarray(part, "<i4").tobytes())
    assert found.hexdigest() == "c4096f7ee2cc24f362a8b6f9b6fd30436e6953f2679c68ccd2f67da7476be7ad"


def test_syndromes_are_products_with_the_matrix() -> None:
    made = code(80, 20, 32)
    place = np.random.default_rng(1).integers(0, 2, (80, 32), dtype=np.uint8)
    expected = (matrix(made) @ place.ravel() % 2).reshape(-1, 32)
    for first, last in ((0, 20), (20, 23), (7, 31)):
        found = np.empty((last - first, 32), np.uint8)
        _ldpc_loops.syndrome(place, made.column, made.shift, made.start, first, found)
        assert np.array_equal(found, expected[first:last])


@pytest.mark.parametrize("odd", [0, 1])
def test_one_check_by_summing_over_all_words(odd: int) -> None:
    width, lifting = 6, 16
    belief = np.random.default_rng(2).normal(0, 3, (width, lifting)).astype(np.float32)
    shift = np.array([0, 3, 15, 7, 7, 1], np.int32)
    exact = np.empty((width, lifting))
    for t in range(lifting):
        at = (t + shift) % lifting
        ways = np.zeros((width, 2))
        for word in itertools.product((0, 1), repeat=width):
            if sum(word) % 2 == odd:
                weight = math.exp(
                    -sum(b for b, bit in zip(belief[range(width), at], word, strict=True) if bit)
                )
                ways[range(width), word] += weight
        exact[range(width), at] = np.log(ways[:, 0] / ways[:, 1])
    parity = np.full((1, lifting), odd, np.uint8)
    start = np.array([0, width], np.int32)
    _ldpc_loops.decode(belief, np.arange(width, dtype=np.int32), shift, start, parity, 1)
    # The bend is a fit: within 0.03 at each of the joints of a check.
    assert np.abs(belief - exact).max() < 0.1


@pytest.mark.parametrize("bits", [64, 65, 1000, 12_345, 262_144, 262_145, 1_000_000])
def test_frames_hold_every_bit_once(bits: int) -> None:
    ends = ldpc._Frames(np.zeros(bits, np.uint8), 3, "bits")
    cut, sizes = ends.cut, []
    for frame in range(cut.frames):
        order = ends.order(frame)
        sizes.append(order.size)
        assert ends.held(frame).sum() == order.size
    assert np.ptp(sizes) <= 1
    assert max(sizes) == cut.longest <= ldpc.FRAME
    whole = np.concatenate([ends.order(frame) for frame in range(cut.frames)])
    assert np.array_equal(np.sort(whole), np.arange(bits))


@pytest.mark.parametrize("qber", [0.01, 0.04, 0.07])
def test_one_round_trip_near_the_limit(qber: float) -> None:
    right, wrong = keys(250_000, qber)
    done, answers, told = overheard(right, wrong, qber)
    assert np.array_equal(done.bits, right)
    assert done.corrected == np.count_nonzero(right != wrong)
    assert done.rounds == len(answers) == 1
    # The bytes hold checks and nothing else.
    assert done.leak_bits == told == 8 * len(answers[0])
    assert 1 < efficiency(done.leak_bits, right.size, qber) < 1.15


@pytest.mark.parametrize("bits", [64, 500, 5_000, 40_000])
def test_small_blocks_come_through_too(bits: int) -> None:
    for seed in range(5):
        right, wrong = keys(bits, 0.03, seed)
        done = pump(ldpc.bob(wrong, 0.03, seed=seed), ldpc.alice(right, seed=seed))
        assert np.array_equal(done.bits, right)


def test_an_estimate_too_low_costs_rounds_and_every_bit_of_them_counts() -> None:
    right, wrong = keys(300_000, 0.023)
    done, answers, told = overheard(right, wrong, 0.02)
    assert np.array_equal(done.bits, right)
    assert 1 < done.rounds == len(answers)
    assert done.leak_bits == told == 8 * sum(map(len, answers))


def test_frames_that_never_decode_stay_as_they_were_and_the_leak_ends() -> None:
    right, wrong = keys(20_000, 0.3)
    done, answers, told = overheard(right, wrong, 0.02)
    assert np.array_equal(done.bits, wrong)
    assert done.corrected == 0
    assert done.leak_bits == told == 8 * sum(map(len, answers))
    assert len(answers) == 1 + STEPS
    assert told <= 2.2 * 8 * len(answers[0])


def test_nobodys_bits_are_written_to() -> None:
    right, wrong = keys(3_000, 0.02)
    for bits in (right, wrong):
        bits.setflags(write=False)
    done = pump(ldpc.bob(wrong, 0.02, seed=1), ldpc.alice(right, seed=1))
    assert done.bits.flags.owndata
    assert not np.shares_memory(done.bits, wrong)
    assert done.bits.dtype == np.uint8


def test_more_errors_ask_for_more_and_longer_frames_for_less_a_bit() -> None:
    cut = ldpc.layout(250_000)
    rows = [ldpc.rows_for(qber, cut) for qber in np.linspace(0, 0.49, 50)]
    assert rows == sorted(rows)
    leaks = []
    for bits in (1_000, 10_000, 100_000, 250_000):
        cut = ldpc.layout(bits)
        leaks.append(ldpc.rows_for(0.03, cut) * cut.lifting / bits)
    assert leaks == sorted(leaks, reverse=True)


@pytest.mark.parametrize(
    ("bits", "qber", "seed"),
    [(63, 0.1, 1), (100, -0.1, 1), (100, 0.5, 1), (100, math.nan, 1), (100, 0.1, -1), (100, 0.1, 1 << 64)],
)
def test_arguments_out_of_range(bits: int, qber: float, seed: int) -> None:
    with pytest.raises(UsageError):
        ldpc.bob(np.zeros(bits, np.uint8), qber, seed=seed)
