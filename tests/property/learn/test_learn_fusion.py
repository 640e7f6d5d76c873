"""Properties of `ConformalFusion` that hold whatever the members are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwarden.learn import ConformalFusion

shapes = st.sampled_from(["normal", "heavy", "ties", "few values", "agreeing", "with unknowns"])
rules = st.sampled_from(["fisher", "tippett"])


def draw(shape: str, n: int, rng: np.random.Generator) -> np.ndarray:
    table = rng.normal(size=(n, 3))
    if shape == "heavy":
        return np.sign(table) * np.abs(table) ** 6
    if shape == "ties":
        return table.round(1)
    if shape == "few values":
        return np.floor(table)
    if shape == "agreeing":
        return np.repeat(table[:, :1], 3, axis=1) + 0.1 * table
    if shape == "with unknowns":
        table[rng.random(table.shape) < 0.3] = np.nan
    return table


@settings(max_examples=25)
@given(shapes, rules, st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.3, 0.6]))
def test_p_value_is_valid_on_exchangeable_rows(shape, rule, seed, level):
    """P(p <= a) <= a over draws of calibration and test rows alike, within five standard errors."""
    rng = np.random.default_rng(seed)
    rounds, fresh = 60, 40
    shares = []
    for _ in range(rounds):
        table = draw(shape, 120 + fresh, rng)
        p = ConformalFusion(combine=rule).fit(table[:120]).p_value(table[120:])
        shares.append((p <= level).mean())
    assert np.mean(shares) <= level + 5 * np.std(shares) / np.sqrt(rounds) + 1e-9


@given(shapes, rules, st.integers(0, 2**32 - 1))
def test_threat_rises_with_every_member(shape, rule, seed):
    rng = np.random.default_rng(seed)
    fusion = ConformalFusion(combine=rule).fit(draw(shape, 100, rng))
    row = rng.normal(size=3) * 3
    member = int(rng.integers(3))
    ladder = np.repeat(row[None], 200, axis=0)
    ladder[:, member] = np.linspace(-20, 2000, 200)
    log_p = fusion.log_p(ladder)
    assert (np.diff(log_p) <= 1e-12).all()
    assert (np.diff(fusion.threat_score(ladder)) >= -1e-12).all()
    assert ((fusion.threat_score(ladder) >= 0) & (fusion.threat_score(ladder) <= 1)).all()


@given(shapes, st.integers(0, 2**32 - 1))
def test_interpolated_p_is_never_below_the_counted_one(shape, seed):
    rng = np.random.default_rng(seed)
    table = draw(shape, 100, rng)
    fusion = ConformalFusion(seed=1).fit(table)
    second = table[np.random.default_rng(1).permutation(100)[50:]]
    fresh = draw(shape, 50, rng)
    calibration, sums = fusion.evidence(second).sum(axis=1), fusion.evidence(fresh).sum(axis=1)
    counted = (1 + (calibration[None] >= sums[:, None]).sum(axis=1)) / 51
    assert (fusion.p_value(fresh) >= counted - 1e-12).all()
