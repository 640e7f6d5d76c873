"""Either end of Cascade against a peer that does not keep to the protocol."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.keys.reconciliation import cascade
from qwarden.keys.reconciliation._cascade_wire import varints

N = 1_000


def alice() -> cascade.Alice:
    return cascade.alice(np.random.default_rng(0).integers(0, 2, N, dtype=np.uint8), seed=1)


def opened() -> cascade.Alice:
    """Row 0 and one half are open: 11 bits are told."""
    end = alice()
    end.answer(b"S" + varints(0, 100, 10))
    end.answer(b"S" + varints(5, 0, 1))
    return end


MALFORMED = {
    "nothing": b"",
    "another kind": b"P" + varints(0, 100, 10),
    "a sweep cut short": b"S" + varints(0, 100),
    "a sweep with more": b"S" + varints(0, 100, 10) + b"\0",
    "no blocks": b"S" + varints(0, 100, 0),
    "more blocks than there are": b"S" + varints(0, 100, 11),
    "blocks of no places": b"S" + varints(0, 0, 1),
    "blocks longer than the row": b"S" + varints(0, N + 1, 1),
    "a half out of turn": b"S" + varints(7, 0, 1),
    "three blocks of a half": b"S" + varints(6, 0, 3),
    "a size for a half": b"S" + varints(6, 500, 1),
    "a number of six bytes": b"S" + b"\x80\x80\x80\x80\x80\x01" + varints(100, 1),
    "a number not in its shortest form": b"S" + b"\x80\x00" + varints(100, 1),
    "no ranges": b"L" + varints(0),
    "fewer ranges than told": b"L" + varints(2, 0, 0, 1),
    "more ranges than told": b"L" + varints(1, 0, 0, 1, 0, 1, 1),
    "a range cut short": b"L" + varints(1, 0, 5),
    "a row that is not open": b"L" + varints(1, 1, 0, 10),
    "a half that is not open": b"L" + varints(1, 6, 0, 10),
    "a row that there never is": b"L" + varints(1, 1 << 34, 0, 10),
    "an empty range": b"L" + varints(1, 0, 10, 0),
    "a range beyond the row": b"L" + varints(1, 0, N - 1, 2),
    "a start beyond the row": b"L" + varints(1, 0, 1 << 34, 1),
    "the second range bad": b"L" + varints(2, 0, 0, 10, 0, N, 1),
    "more ranges than there is to tell": b"L" + varints(1 << 30) + varints(0, 0, 1),
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_discloses_nothing_and_changes_nothing(request_: bytes) -> None:
    end, other = opened(), opened()
    with pytest.raises(InputError, match="cascade"):
        end.answer(request_)
    assert end.leak_bits == 11
    for following in (
        b"S" + varints(6, 0, 2),
        b"L" + varints(2, 0, 3, 5, 6, 400, 300),
        b"S" + varints(1, 7, 143),
    ):
        assert end.answer(following) == other.answer(following)
    assert end.leak_bits == other.leak_bits


def test_alice_stops_at_four_times_her_key() -> None:
    end = alice()
    for _ in range(4):
        end.answer(b"S" + varints(0, 1, N))
    assert end.leak_bits == 4 * N
    with pytest.raises(InputError, match="more than 4000"):
        end.answer(b"S" + varints(0, N, 1))
    assert end.leak_bits == 4 * N


def test_an_old_half_is_gone_and_its_place_taken_by_no_mistake() -> None:
    end = alice()
    for half in range(17):
        end.answer(b"S" + varints(5 + half, 0, 2))
    end.answer(b"L" + varints(1, 6, 10, 20))
    with pytest.raises(InputError):
        end.answer(b"L" + varints(1, 5, 10, 20))


def test_a_range_across_the_middle_of_a_half_is_what_it_says() -> None:
    # No honest Bob asks for it; it is a range like any other.
    bits = np.random.default_rng(2).integers(0, 2, N, dtype=np.uint8)
    end = cascade.alice(bits, seed=1)
    end.answer(b"S" + varints(5, 0, 1))
    whole = end.answer(b"L" + varints(1, 5, 0, N))
    assert whole[-1] == bits.sum() % 2
    first, second = (
        end.answer(b"L" + varints(1, 5, start, length)) for start, length in ((0, 300), (300, 700))
    )
    assert whole[-1] == first[-1] ^ second[-1]


ANSWERS = {
    "nothing": lambda good: b"",
    "a request": lambda good: b"S" + good[1:],
    "cut short": lambda good: good[:-1],
    "longer": lambda good: good + b"\0",
    "another count": lambda good: good[:1] + bytes([good[1] - 1]) + good[2:],
    "unused bits set": lambda good: good[:-1] + bytes([good[-1] | 128]),
}


@pytest.mark.parametrize("spoilt", ANSWERS.values(), ids=ANSWERS)
def test_bob_refuses_a_malformed_answer(spoilt) -> None:  # type: ignore[no-untyped-def]
    bits = np.random.default_rng(0).integers(0, 2, N, dtype=np.uint8)
    end, bob = cascade.alice(bits, seed=1), cascade.bob(bits, 0.01, seed=1, variant="original")
    good = end.answer(next(bob))  # 14 blocks: two bits are not used
    with pytest.raises(InputError):
        bob.send(spoilt(good))


@pytest.mark.parametrize("variant", cascade.VARIANTS)
@pytest.mark.parametrize("seed", range(5))
def test_bob_comes_to_an_end_whatever_he_is_told(variant: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    bob = cascade.bob(generator.integers(0, 2, 500, dtype=np.uint8), 0.05, seed=seed, variant=variant)
    alice = cascade.alice(np.zeros(500, np.uint8), seed=seed)
    told, request = 0, next(bob)
    try:
        while True:
            honest = alice.answer(request)
            count = alice.leak_bits - told
            told += count
            head = honest[: len(honest) - (count + 7) // 8]
            lies = np.packbits(generator.integers(0, 2, count, dtype=np.uint8), bitorder="little")
            request = bob.send(head + lies.tobytes())
    except (StopIteration, InputError):
        assert told <= 4 * 500
