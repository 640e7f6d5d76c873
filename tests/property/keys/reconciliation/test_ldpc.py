"""What the one round trip promises for any key, any errors, any estimate, any bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import InputError
from qwarden.keys.reconciliation import ldpc, pump
from qwarden.keys.reconciliation.codes import STEPS
from qwarden.keys.records import Bits

Seeds = st.integers(0, 2**64 - 1)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Bits, Bits]:
    """A key, and the same with at most a tenth of its bits wrong, wherever they stand."""
    n = draw(st.integers(64, 900))
    right = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8) & np.uint8(1)
    wrong = right.copy()
    for place in draw(st.sets(st.integers(0, n - 1), max_size=n // 10)):
        wrong[place] ^= 1
    return right, wrong


@settings(max_examples=60, deadline=None)
@given(pair=pairs(), qber=st.sampled_from((0.0, 0.01, 0.05, 0.11, 0.3)), seed=Seeds)
def test_both_ends_count_alike_and_what_comes_has_alices_checks(
    pair: tuple[Bits, Bits], qber: float, seed: int
) -> None:
    right, wrong = pair
    alice = ldpc.alice(right, seed=seed)
    done = pump(ldpc.bob(wrong, qber, seed=seed), alice)
    assert done.leak_bits == alice.leak_bits
    assert 1 <= done.rounds <= 1 + STEPS
    assert done.corrected == np.count_nonzero(done.bits != wrong)
    if done.corrected:
        # He changed nothing but to agree with all that Alice has told.
        again = ldpc.alice(done.bits, seed=seed)
        same = pump(ldpc.bob(wrong, qber, seed=seed), again)
        assert np.array_equal(same.bits, done.bits)
        assert again.leak_bits == alice.leak_bits


@settings(deadline=None)
@given(junk=st.binary(max_size=12))
def test_any_bytes_are_refused_or_counted(junk: bytes) -> None:
    for before in ((), (b"C\0\x08",)):
        alice = ldpc.alice(np.ones(200, np.uint8), seed=1)
        for request in before:
            alice.answer(request)
        told = alice.leak_bits
        for request in (junk, b"C" + junk, b"E" + junk):
            try:
                reply = alice.answer(request)
            except InputError:
                assert alice.leak_bits == told
            else:
                assert alice.leak_bits == told + 8 * len(reply)
                told = alice.leak_bits
