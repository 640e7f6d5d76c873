"""The choice of a method, against its own model by hand and against what the methods do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwarden.core.errors import UsageError
from qwarden.keys.reconciliation import cascade, efficiency
from qwarden.keys.reconciliation.choose import METHODS, choose, costs


@pytest.mark.parametrize("bits", [10_000, 1_000_000])
@pytest.mark.parametrize("qber", [0.01, 0.03, 0.07])
def test_the_longer_the_way_the_fewer_the_rounds(bits: int, qber: float) -> None:
    ways = [0.0, *np.geomspace(1e-5, 1.0, 40)]
    rounds = [costs(way, qber, bits)[0].rounds for way in ways]
    assert rounds == sorted(rounds, reverse=True)
    assert choose(1.0, qber, bits) == "ldpc"


def test_a_slow_link_takes_the_least_leak() -> None:
    # 1e6 bits at 1 kbit/s take 17 minutes; no reconciliation does.
    best = costs(0.1, 0.03, 1_000_000, sifted_bps=1e3)
    assert best[0].leak_bits == min(cost.leak_bits for cost in best)
    assert best[0].method == "lean"


def test_the_model_by_hand() -> None:
    # At a point of the table: original, n = 1e5, 5 %: f 1.184, 60 rounds; h(0.05) = 0.286397.
    (found,) = (cost for cost in costs(0.02, 0.05, 100_000) if cost.method == "original")
    assert found.leak_bits == pytest.approx(1.184 * 28_639.7, rel=1e-5)
    assert found.seconds == pytest.approx(0.01 + 60 * 0.02005)
    assert found.secret_bits_per_s == pytest.approx((71_360.3 - found.leak_bits) / found.seconds, rel=1e-5)


@pytest.mark.parametrize("method", ["lean", "brisk", "original"])
@pytest.mark.parametrize("qber", [0.01, 0.05])
def test_the_table_is_what_cascade_does(method: str, qber: float) -> None:
    # Between 10,000 and 100,000 bits, so that the interpolation is tried as well.
    bits, runs, leak, rounds = 30_000, 20, 0, 0
    generator = np.random.default_rng(1)
    for run in range(runs):
        right = generator.integers(0, 2, bits, dtype=np.uint8)
        wrong = right ^ (generator.random(bits) < qber).astype(np.uint8)
        done = cascade.locally(right, wrong, qber, seed=run, variant=method)
        leak, rounds = leak + done.leak_bits, rounds + done.rounds
    (expected,) = (cost for cost in costs(0.0, qber, bits) if cost.method == method)
    assert efficiency(leak / runs, bits, qber) == pytest.approx(
        efficiency(expected.leak_bits, bits, qber), abs=0.04
    )
    assert rounds / runs == pytest.approx(expected.rounds, rel=0.3)


def test_every_method_is_one_that_there_is() -> None:
    assert METHODS.keys() - {"ldpc"} <= cascade.VARIANTS.keys()


def test_where_ldpc_is_not_for() -> None:
    assert choose(1.0, 0.105, 1_000_000) != "ldpc"
    # Below its least QBER it discloses as much as there.
    low = {cost.method: cost for cost in costs(0.0, 0.001, 1_000_000)}
    least = {cost.method: cost for cost in costs(0.0, METHODS["ldpc"].least, 1_000_000)}
    assert low["ldpc"].leak_bits == least["ldpc"].leak_bits > 1e6 * 0.0454
    assert choose(0.0, 0.001, 1_000_000) != "ldpc"


def test_nothing_remains_above_eleven_percent_and_the_least_leak_is_chosen() -> None:
    found = costs(0.5, 0.12, 1_000_000)
    assert all(cost.secret_bits_per_s < 0 for cost in found)
    assert found[0].leak_bits == min(cost.leak_bits for cost in found)


@pytest.mark.parametrize(
    ("way", "qber", "bits"),
    [(-1.0, 0.1, 1_000), (math.inf, 0.1, 1_000), (math.nan, 0.1, 1_000), (0.0, 0.5, 1_000), (0.0, 0.1, 0)],
)
def test_arguments_out_of_range(way: float, qber: float, bits: int) -> None:
    with pytest.raises(UsageError):
        choose(way, qber, bits)
