"""Either end of the one round trip against a peer that does not keep to the protocol."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from qwarden.core.errors import InputError
from qwarden.keys.reconciliation import ldpc
from qwarden.keys.reconciliation.codes import STEPS

N = 600_000
"""Three frames of 416 columns."""


@pytest.fixture(scope="module")
def key() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, N, dtype=np.uint8)


def first(rows: int) -> bytes:
    return b"C" + struct.pack(">H", rows)


def more(*frames: int) -> bytes:
    return b"E" + struct.pack(f">{len(frames)}I", *frames)


BEFORE = {
    "nothing": b"",
    "a kind alone": b"C",
    "another kind": b"S" + struct.pack(">H", 50),
    "cut short": first(50)[:-1],
    "with more": first(50) + b"\0",
    "too few rows": first(ldpc.ROWS_LEAST - 1),
    "more rows than columns": first(417),
    "an extension of nothing": more(0),
}
AFTER = {
    "nothing": b"",
    "the code again": first(16),
    "no frames": b"E",
    "cut short": more(0, 1)[:-1],
    "a frame that there is not": more(0, 3),
    "one twice": more(1, 1),
    "not in order": more(1, 0),
}


@pytest.mark.parametrize("request_", BEFORE.values(), ids=BEFORE)
def test_a_malformed_first_request_discloses_nothing(request_: bytes, key: np.ndarray) -> None:
    end = ldpc.alice(key, seed=1)
    with pytest.raises(InputError, match="ldpc"):
        end.answer(request_)
    assert end.leak_bits == 0
    assert 8 * len(end.answer(first(16))) == end.leak_bits == 3 * 16 * 512


def test_a_malformed_later_request_changes_nothing(key: np.ndarray) -> None:
    end, other = ldpc.alice(key, seed=1), ldpc.alice(key, seed=1)
    for alice in (end, other):
        alice.answer(first(16))
    told = end.leak_bits
    for request in AFTER.values():
        with pytest.raises(InputError, match="ldpc"):
            end.answer(request)
        assert end.leak_bits == told
    assert end.answer(more(0, 2)) == other.answer(more(0, 2))
    with pytest.raises(InputError, match="not asked of before"):
        end.answer(more(1))
    for _ in range(STEPS - 1):
        end.answer(more(2))
    told = end.leak_bits
    with pytest.raises(InputError, match="all extensions"):
        end.answer(more(2))
    assert end.leak_bits == told == (3 * 16 + 2 * 2 + (STEPS - 1) * 2) * 512


@pytest.mark.parametrize("change", [lambda a: b"", lambda a: a[:-1], lambda a: a + b"\0"])
def test_bob_refuses_an_answer_of_another_size(change: object, key: np.ndarray) -> None:
    assert callable(change)
    his = ldpc.bob(key, 0.001, seed=1)
    answer = ldpc.alice(key, seed=1).answer(next(his))
    with pytest.raises(InputError, match="ldpc"):
        his.send(change(answer))


def test_lies_come_to_an_end_and_leave_bob_his_key() -> None:
    mine = np.zeros(5_000, np.uint8)
    his, hers = ldpc.bob(mine, 0.02, seed=1), ldpc.alice(mine, seed=1)
    generator, request = np.random.default_rng(1), next(his)
    for _ in range(STEPS):
        request = his.send(generator.bytes(len(hers.answer(request))))
    lie = generator.bytes(len(hers.answer(request)))
    with pytest.raises(StopIteration) as stop:
        his.send(lie)
    assert np.array_equal(stop.value.value.bits, mine)
