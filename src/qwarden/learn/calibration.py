"""From a margin to log-odds: Platt's logistic curve, fitted on rows the model has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwarden.learn.base import Floats, sigmoid


@dataclass(frozen=True, slots=True)
class Platt:
    """Log-odds ``slope * margin + offset``; the default leaves margins as they are."""

    slope: float = 1.0
    offset: float = 0.0

    def log_odds(self, margins: Floats) -> Floats:
        """Return the log-odds of the second class."""
        result: Floats = self.slope * margins + self.offset
        return result


def fit_platt(margins: Floats, targets: Floats, weights: Floats | None = None) -> Platt:
    """Fit Platt's curve by Newton's method.

    Targets are drawn in from 0 and 1 by Platt's prior, so that separable margins still give a finite
    slope. The slope is never negative: calibration keeps the order of the rows.

    Parameters
    ----------
    margins, targets, weights : (n,); targets 0.0 or 1.0.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin & Weng 2007, "A
    note on Platt's probabilistic outputs", algorithm 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> margins = rng.normal(size=4000)
    >>> targets = (rng.random(4000) < sigmoid(3.0 * margins - 1.0)).astype(float)
    >>> curve = fit_platt(margins, targets)
    >>> round(curve.slope), round(curve.offset)
    (3, -1)
    """
    weights = np.ones(len(margins)) if weights is None else weights
    positives, negatives = float(weights @ targets), float(weights @ (1.0 - targets))
    drawn = np.where(targets > 0.5, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    spread = float(margins.std()) or 1.0
    design = np.column_stack([margins / spread, np.ones(len(margins))])

    def loss(at: Floats) -> float:
        logits = design @ at
        return float(weights @ (np.logaddexp(0.0, logits) - drawn * logits))

    at = np.array([0.0, np.log((positives + 1.0) / (negatives + 1.0))])
    for _ in range(100):
        likely = sigmoid(design @ at)
        gradient = design.T @ (weights * (likely - drawn))
        if np.abs(gradient).max() < 1e-9 * weights.sum():
            break
        curvature = (design * (weights * likely * (1.0 - likely))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-12 * weights.sum() * np.eye(2), gradient)
        here, length = loss(at), 1.0
        while loss(at - length * step) > here - 1e-4 * length * float(gradient @ step) and length > 1e-8:
            length *= 0.5
        at = at - length * step
    return Platt(max(float(at[0]) / spread, 1e-6), float(at[1]))
