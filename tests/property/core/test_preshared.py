"""Two ends that draw and fetch in any order: keys agree, and no byte is in two keys."""

from __future__ import annotations

import random
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.core.errors import KeyExhausted
from qwarden.core.keysupplies.preshared import PreSharedPool
from qwarden.core.keysupply import Key

STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.booleans()), max_size=12)


@settings(max_examples=15)
@given(STEPS, st.randoms(use_true_random=False))
def test_keys_agree_and_no_byte_is_in_two(steps: list[tuple[bool, int, bool]], order: random.Random) -> None:
    material = random.Random(4).randbytes(400)
    with tempfile.TemporaryDirectory() as home:
        ends = (PreSharedPool(f"{home}/a", "a"), PreSharedPool(f"{home}/b", "b"))
        names = ("a", "b")
        for end, peer in zip(ends, names[::-1], strict=True):
            end.add(peer, material)
        drawn: list[tuple[int, Key]] = []
        for who, size, restart in steps:
            left = ends[who].available(names[not who])
            try:
                drawn.append((who, ends[who].draw(8 * size, "test", names[not who])))
            except KeyExhausted:
                assert left < 8 * size
            else:
                assert ends[who].available(names[not who]) == left - 8 * size
            if restart:
                ends = (PreSharedPool(f"{home}/a", "a"), PreSharedPool(f"{home}/b", "b"))
        order.shuffle(drawn)
        for who, key in drawn:
            assert ends[not who].fetch(key.id, "test", names[who]) == key
    used: set[int] = set()
    for _, key in drawn:
        first, size = map(int, key.id.split(".")[1:])
        assert key.material == material[first : first + size]
        assert used.isdisjoint(range(first, first + size))
        used |= set(range(first, first + size))
