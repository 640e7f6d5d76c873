from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from qwarden.learn.calibration import Platt, fit_platt


@pytest.mark.parametrize(("slope", "offset", "scale"), [(2.0, 0.5, 1.0), (0.7, -3.0, 1.0), (2.0, 0.0, 1e-4)])
def test_minimum_agrees_with_scipys(slope, offset, scale):
    rng = np.random.default_rng(0)
    margins = rng.normal(size=800)
    targets = (rng.random(800) < 1 / (1 + np.exp(-(slope * margins + offset)))).astype(float)
    weights = rng.random(800) + 0.5
    p, n = weights @ targets, weights @ (1 - targets)
    drawn = np.where(targets > 0.5, (p + 1) / (p + 2), 1 / (n + 2))

    def loss(at: np.ndarray) -> float:
        logits = at[0] * margins + at[1]
        return weights @ (np.logaddexp(0, logits) - drawn * logits)

    expected = minimize(loss, [0.0, 0.0], tol=1e-12).x
    found = fit_platt(margins * scale, targets, weights)
    np.testing.assert_allclose([found.slope * scale, found.offset], expected, atol=1e-3)


def test_separable_margins_give_a_finite_slope():
    curve = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0.0 < curve.slope < 10.0


def test_useless_margins_keep_their_order():
    curve = fit_platt(np.array([2.0, 1.0, -1.0, -2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0.0 < curve.slope < 1e-3
    assert fit_platt(np.zeros(4), np.array([0.0, 1.0, 1.0, 1.0])).offset > 0


def test_default_leaves_margins_alone():
    assert Platt().log_odds(np.array([1.5])).tolist() == [1.5]
