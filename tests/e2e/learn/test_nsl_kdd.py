"""The estimators on real flows: NSL-KDD, a random split (which says nothing about new attacks)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from qwarden.learn import (
    ConformalFusion,
    GradientBoostingTwin,
    HybridClassifier,
    Preprocessor,
    QNNClassifier,
    QuantumOneClass,
)

pytestmark = pytest.mark.data
CODED = (1, 2, 3)  # protocol, service, flag


@pytest.fixture(scope="module")
def split(data_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A 5,000-row subsample of the first 25,192 training rows; 3,750 to train, the rest to test."""
    with gzip.open(data_dir / "nsl-kdd" / "KDDTrain+.txt.gz", "rt") as file:
        lines = file.read().splitlines()[:25_192]
    table = np.array([line.split(",") for line in lines])
    columns = [
        np.unique(table[:, i], return_inverse=True)[1] if i in CODED else table[:, i].astype(float)
        for i in range(41)
    ]
    X, y = np.column_stack(columns), (table[:, 41] != "normal").astype(int)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:3750], order[3750:5000]
    pre = Preprocessor(categorical=CODED).fit(X[train], y[train])
    return pre.transform(X[train]), y[train], pre.transform(X[test]), y[test]


def test_quick_network(split):
    train, y, test, labels = split
    network = QNNClassifier(qubits=4, layers=2, steps=200, learning_rate=0.02)
    assert network.fit(train, y).score(test, labels) > 0.97


def test_quick_hybrid_and_twin(split):
    train, y, test, labels = split
    network = QNNClassifier(qubits=4, layers=2, steps=200, learning_rate=0.02)
    hybrid = HybridClassifier(network, landmarks=200).fit(train, y)
    assert hybrid.score(test, labels) > 0.97
    assert GradientBoostingTwin(iterations=20).fit(train, y).score(test, labels) > 0.98


def test_fused_detectors_keep_the_false_positive_budget(split):
    train, y, test, labels = split
    fit, held = slice(0, 2500), slice(2500, None)
    one_class = QuantumOneClass(qubits=6, reference_size=1000).fit(train[fit], y[fit])
    hybrid = HybridClassifier(QNNClassifier(qubits=4, layers=2, steps=200, learning_rate=0.02), landmarks=200)
    hybrid.fit(train[fit], y[fit])

    def scores(rows: np.ndarray) -> np.ndarray:
        return np.column_stack([hybrid.decision_function(rows), one_class.strangeness(rows)])

    fusion = ConformalFusion(fpr=0.05).fit(scores(train[held]), y[held])
    raised = fusion.flag(scores(test))
    assert raised[labels == 0].mean() < 0.09
    assert raised[labels == 1].mean() > 0.95
