from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from qwarden.core.errors import Interrupted
from qwarden.learn import QNNClassifier
from qwarden.learn.qnn import _Layout, _Network
from qwarden.quantum import LocalBackend, PauliSum, cz_ring_reupload

SMALL = {"qubits": 3, "layers": 2, "steps": 60, "batch_size": 32, "learning_rate": 0.03}


def xor(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


@pytest.mark.parametrize(("qubits", "readout"), [(1, "ring"), (2, "ring"), (3, "ring"), (4, "all")])
def test_gradient_against_finite_differences(qubits, readout):
    rng = np.random.default_rng(0)
    network = _Network(qubits, 2, readout, LocalBackend())
    rows, targets, weights = rng.normal(size=(7, 3)), rng.integers(0, 2, 7).astype(float), rng.random(7)
    at = _Layout.of(qubits, 2, readout, 3).initial(seed=1)
    _, gradient = network.loss_and_gradient(at, rows, targets, weights)
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-5
        up, down = (network.loss_and_gradient(at + s, rows, targets, weights)[0] for s in (step, -step))
        assert abs((up - down) / 2e-5 - gradient[i]) < 1e-8


def test_loss_is_the_weighted_cross_entropy():
    rng = np.random.default_rng(0)
    network = _Network(2, 1, "ring", LocalBackend())
    rows, targets, weights = rng.normal(size=(5, 2)), np.array([0, 1, 1, 0, 1.0]), rng.random(5)
    at = _Layout.of(2, 1, "ring", 2).initial(seed=1)
    loss, _ = network.loss_and_gradient(at, rows, targets, weights)
    W, b, v, c = _Layout.of(2, 1, "ring", 2).split(at)
    observables = [PauliSum.z(0), PauliSum.z(1), PauliSum.zz(0, 1)]
    E = LocalBackend().expectations(cz_ring_reupload(2, 1), rows @ W.T + b, observables)
    p = 1 / (1 + np.exp(-(E @ v + c)))
    by_hand = -np.mean(weights * (targets * np.log(p) + (1 - targets) * np.log(1 - p)))
    assert abs(loss - by_hand) < 1e-12


def test_learns_what_no_linear_model_can():
    X, y = xor(400)
    model = QNNClassifier(qubits=3, layers=3, steps=300, batch_size=64, learning_rate=0.1).fit(X, y)
    fresh, labels = xor(seed=9)
    assert model.score(fresh, labels) > 0.9


def test_decision_is_the_readout_of_the_embedding():
    X, y = xor()
    model = QNNClassifier(**SMALL).fit(X, y)
    states = model.embed(X)
    np.testing.assert_allclose((np.abs(states) ** 2).sum(axis=1), 1.0)
    signs = 1 - 2 * ((np.arange(8)[:, None] >> np.arange(3)) & 1)
    z = (np.abs(states) ** 2) @ signs
    zz = (np.abs(states) ** 2) @ (signs * np.roll(signs, -1, axis=1))
    *_, v, c = _Layout.of(3, 2, "ring", 2).split(model.parameters_)
    np.testing.assert_allclose(np.hstack([z, zz]) @ v + c, model.decision_function(X), atol=1e-10)


def test_scale_and_place_of_a_column_do_not_matter():
    X, y = xor()
    moved = X * [1e6, 1e-6] + [1e7, 3.0]
    plain, other = QNNClassifier(**SMALL).fit(X, y), QNNClassifier(**SMALL).fit(moved, y)
    np.testing.assert_allclose(other.decision_function(moved), plain.decision_function(X), atol=1e-6)


def test_unknown_is_the_mean():
    X, y = xor()
    model = QNNClassifier(**SMALL).fit(X, y)
    filled = model.decision_function([[X[:, 0].mean(), 1.0]])
    np.testing.assert_allclose(model.decision_function([[np.nan, 1.0]]), filled, atol=1e-9)


def test_balanced_weights_undo_imbalance():
    """Doubling one class's rows changes nothing that weights of the classes do not undo."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-1.0, 1.0, (500, 1)), rng.normal(1.0, 1.0, (20, 1))])
    y = np.repeat([0, 1], [500, 20])
    settings = {"qubits": 2, "layers": 1, "steps": 100, "learning_rate": 0.05, "batch_size": 520}
    recall = [
        (QNNClassifier(**settings, class_weight=w).fit(X, y).predict(X[500:]) == 1).mean()
        for w in ("balanced", None)
    ]
    assert recall[0] > 0.75 > 0.6 > recall[1]


def test_one_seed_is_one_model_bit_for_bit():
    X, y = xor()
    first, second = (QNNClassifier(**SMALL, seed=4).fit(X, y).parameters_ for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != QNNClassifier(**SMALL, seed=5).fit(X, y).parameters_.tobytes()


def test_one_seed_is_one_model_in_another_process():
    code = (
        "import numpy as np, hashlib; from qwarden.learn import QNNClassifier\n"
        "X = np.random.default_rng(0).normal(size=(200, 5)); y = X[:, 0] * X[:, 1] > 0\n"
        "m = QNNClassifier(qubits=4, layers=2, steps=15, batch_size=64).fit(X, y)\n"
        "print(hashlib.sha256(m.parameters_.tobytes()).hexdigest())"
    )
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | one_thread,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def test_interrupted_training_raises_and_goes_on_to_the_same_bits(stop_at):
    X, y = xor()
    model = QNNClassifier(**SMALL, warm_start=True)
    with pytest.raises(Interrupted, match="after step 25 of 60"):
        model.fit(X, y, progress=stop_at(25))
    assert not model.__sklearn_is_fitted__()
    model.fit(X, y)
    assert model.parameters_.tobytes() == QNNClassifier(**SMALL).fit(X, y).parameters_.tobytes()


def test_interrupted_training_can_keep_what_it_has(stop_at):
    X, y = xor()
    model = QNNClassifier(**SMALL | {"steps": 100_000}, on_interrupt="keep").fit(X, y, progress=stop_at(150))
    assert model.score(X, y) > 0.8


def test_warm_start_of_a_finished_training_goes_on_from_its_weights():
    X, y = xor()
    model = QNNClassifier(**SMALL | {"steps": 150}, warm_start=True).fit(X, y)
    before = model.score(X, y)
    model.set_params(steps=1, learning_rate=1e-6).fit(X, y)
    assert abs(model.score(X, y) - before) < 0.02


def test_unknown_readout_is_refused():
    with pytest.raises(ValueError, match="readout"):
        QNNClassifier(readout="none", steps=1).fit(*xor(10))
