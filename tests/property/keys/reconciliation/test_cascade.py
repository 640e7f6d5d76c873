"""What Cascade promises for any key, any errors, any estimate, any bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import InputError
from qwarden.keys.reconciliation import cascade, pump
from qwarden.keys.reconciliation._cascade_wire import varints
from qwarden.keys.records import Bits

Variants = st.sampled_from(sorted(cascade.VARIANTS))
Seeds = st.integers(0, 2**64 - 1)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Bits, Bits]:
    """A key, and the same with at most an eighth of its bits wrong, wherever they stand."""
    n = draw(st.integers(64, 700))
    right = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8) & 1
    wrong = right.copy()
    for place in draw(st.sets(st.integers(0, n - 1), max_size=n // 8)):
        wrong[place] ^= 1
    return right, wrong


@settings(max_examples=150)
@given(pair=pairs(), qber=st.floats(0, 0.3), seed=Seeds, variant=Variants)
def test_both_ends_count_alike_and_errors_only_ever_fall_away(
    pair: tuple[Bits, Bits], qber: float, seed: int, variant: str
) -> None:
    right, wrong = pair
    alice = cascade.alice(right, seed=seed)
    try:
        done = pump(cascade.bob(wrong, qber, seed=seed, variant=variant), alice)
    except InputError:
        # An estimate far below many errors: more would be told than Alice gives.
        assert alice.leak_bits <= 4 * right.size
        return
    local = cascade.locally(right, wrong, qber, seed=seed, variant=variant)
    assert np.array_equal(done.bits, local.bits)
    assert done.leak_bits == local.leak_bits == alice.leak_bits <= 4 * right.size
    # Whatever was flipped was wrong, so that no bit that was right is now wrong, and pairs alone can stay.
    left = done.bits != right
    assert not (left & (wrong == right)).any()
    assert done.corrected + np.count_nonzero(left) == np.count_nonzero(wrong != right)
    assert np.count_nonzero(left) % 2 == 0


@given(junk=st.binary(max_size=40))
def test_any_bytes_are_refused_or_counted(junk: bytes) -> None:
    alice = cascade.alice(np.ones(200, np.uint8), seed=1)
    alice.answer(b"S" + varints(0, 20, 10))
    told = alice.leak_bits
    for request in (junk, b"S" + junk, b"L" + junk):
        try:
            reply = alice.answer(request)
        except InputError:
            assert alice.leak_bits == told
            continue
        assert len(reply) >= 2 + (alice.leak_bits - told + 7) // 8
        assert alice.leak_bits > told
        told = alice.leak_bits


@settings(max_examples=60)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), step=st.integers(0, 60), variant=Variants)
def test_a_spoilt_conversation_ends_in_an_error_or_in_agreement_on_what_was_told(
    place: int, byte: int, step: int, variant: str
) -> None:
    generator = np.random.default_rng(7)
    right = generator.integers(0, 2, 400, dtype=np.uint8)
    wrong = right ^ (generator.random(400) < 0.05).astype(np.uint8)
    alice = cascade.alice(right, seed=2)
    bob = cascade.bob(wrong, 0.05, seed=2, variant=variant)
    request, messages = next(bob), 0
    try:
        while True:
            for way in ("there", "back"):
                message = bytearray(request if way == "there" else alice.answer(bytes(request)))
                if messages == step:
                    message[place % len(message)] = byte
                messages += 1
                request = bytes(message)
            request = bob.send(request)
    except StopIteration as stop:
        done = stop.value
    except InputError:
        return
    # A request changed on its way but still well formed, asking as many bits, is answered and counted.
    assert done.leak_bits == alice.leak_bits
