"""Trained kernels: the alignment rises, labels held out stay hidden, a seed is a map."""

from __future__ import annotations

import numpy as np
import pytest

from qwarden.core.errors import Interrupted
from qwarden.learn import QSVC, AlignedEncoding, QKNNClassifier
from qwarden.quantum import alignment_and_cotangent

SETTINGS = {"qubits": 3, "layers": 2, "steps": 120, "learning_rate": 0.05, "batch_size": 64}


def crossed(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The class is the sign of a product of two columns; three others say nothing."""
    X = np.random.default_rng(seed).normal(size=(n, 5))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def aligned(encoding: AlignedEncoding, X: np.ndarray, y: np.ndarray) -> float:
    return alignment_and_cotangent(encoding.states(X), 2.0 * y - 1.0, np.ones(len(y)))[0]


def test_training_raises_the_alignment_on_new_rows():
    X, y = crossed()
    fresh, labels = crossed(seed=1)
    before = AlignedEncoding(**SETTINGS | {"steps": 0}).fit(X, y)
    after = AlignedEncoding(**SETTINGS).fit(X, y)
    assert aligned(before, fresh, labels) < 0.1
    assert aligned(after, fresh, labels) > 0.4
    assert len(after.alignments_) == 120


def test_a_trained_kernel_beats_the_same_map_untrained():
    X, y = crossed()
    fresh, labels = crossed(seed=1)
    scores = [
        QSVC(encoding=AlignedEncoding(**SETTINGS | {"steps": steps})).fit(X, y).score(fresh, labels)
        for steps in (0, 120)
    ]
    assert scores[1] > scores[0] + 0.1
    assert QKNNClassifier(encoding=AlignedEncoding(**SETTINGS)).fit(X, y).score(fresh, labels) > 0.85


def test_same_seed_same_map_other_seed_another():
    X, y = crossed(100)
    fits = [AlignedEncoding(**SETTINGS | {"steps": 5, "seed": seed}).fit(X, y) for seed in (0, 0, 1)]
    assert (fits[0].weights_ == fits[1].weights_).all()
    assert (fits[0].weights_ != fits[2].weights_).any()


def test_labels_of_the_calibration_rows_are_not_shown_to_the_encoding(monkeypatch):
    X, y = crossed(100)
    shown = []
    plain = AlignedEncoding.fit

    def fit(self, rows, *args, **kwargs):
        shown.append(len(rows))
        return plain(self, rows, *args, **kwargs)

    monkeypatch.setattr(AlignedEncoding, "fit", fit)
    QSVC(encoding=AlignedEncoding(**SETTINGS | {"steps": 2}), calibration_share=0.25).fit(X, y)
    assert shown == [75]


def test_unknown_values_are_the_mean_and_scale_does_not_matter():
    X, y = crossed(100)
    encoding = AlignedEncoding(**SETTINGS | {"steps": 5}).fit(X, y)
    np.testing.assert_allclose(
        encoding.states(np.full((1, 5), np.nan)), encoding.states(X.mean(axis=0)[None]), atol=1e-12
    )
    moved = AlignedEncoding(**SETTINGS | {"steps": 5}).fit(X * 1000.0 - 7.0, y)
    np.testing.assert_allclose(moved.states(X * 1000.0 - 7.0), encoding.states(X), atol=1e-9)


@pytest.mark.parametrize("encoding", [AlignedEncoding(**SETTINGS | {"steps": 3}), None])
def test_machine_and_its_encoding_survive_the_storage_form(encoding):
    X, y = crossed(100)
    model = QSVC(encoding=encoding, qubits=3).fit(X, y)
    copy = QSVC.from_state(model.to_state())
    assert type(copy.encoding_) is type(model.encoding_)
    assert (copy.decision_function(X) == model.decision_function(X)).all()


def test_ctrl_c_stops_the_training(stop_at):
    X, y = crossed(100)
    with pytest.raises(Interrupted, match="after step 3 of 120"):
        AlignedEncoding(**SETTINGS).fit(X, y, progress=stop_at(3))
