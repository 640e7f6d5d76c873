"""A few rows are scored by one compiled call, many by matrices: both must say the same."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.learn import HybridClassifier, QNNClassifier
from qwarden.quantum import LocalBackend, RowScorer

X = np.random.default_rng(0).normal(size=(200, 3))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
NETWORK = QNNClassifier(qubits=3, layers=2, steps=20)


class Elsewhere:
    """A machine that is not the local simulator, as far as an estimator can tell."""

    def __getattr__(self, name: str) -> object:
        return getattr(LocalBackend(), name)


@pytest.mark.parametrize(
    "model",
    [
        NETWORK,
        QNNClassifier(qubits=3, layers=1, steps=5, readout="all"),
        HybridClassifier(NETWORK, solver="nystrom", landmarks=60),
        HybridClassifier(NETWORK, solver="nystrom", landmarks=4),
    ],
    ids=["ring", "all pairs", "observable", "support vectors"],
)
def test_few_rows_score_as_many_do(model, monkeypatch):
    model.fit(X, Y)
    rows = X[:20].copy()
    rows[1, 2] = rows[3, 0] = np.nan
    together = model.decision_function(rows)
    calls = []
    scored = RowScorer.__call__
    monkeypatch.setattr(
        RowScorer, "__call__", lambda self, given: calls.append(len(given)) or scored(self, given)
    )
    for size in (1, 3, 8):
        few = np.concatenate([model.decision_function(rows[i : i + size]) for i in range(0, 20, size)])
        np.testing.assert_allclose(few, together, rtol=0, atol=1e-10)
    assert calls.count(1) == 20


def test_another_machine_is_asked_for_every_row():
    model = QNNClassifier(qubits=2, layers=1, steps=3, backend=Elsewhere()).fit(X, Y)
    assert model.row_scorer(np.ones(4), 0.0) is None
    np.testing.assert_allclose(model.decision_function(X[:1])[0], model.decision_function(X)[0], atol=1e-10)
