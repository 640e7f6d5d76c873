from __future__ import annotations

import numpy as np

from qwarden.learn.optim import Adam, Batches


def test_first_step_is_the_learning_rate_whatever_the_gradient():
    """Bias correction makes the first step exactly the rate (Kingma & Ba 2015, section 2.1)."""
    adam = Adam(size=2, steps=10, learning_rate=0.1)
    x = np.zeros(2)
    adam.step(x, np.array([1e-3, -1e5]))
    np.testing.assert_allclose(x, [-0.1, 0.1], rtol=1e-4)


def test_rate_falls_as_half_a_cosine():
    adam = Adam(size=1, steps=4, learning_rate=2.0)
    rates = []
    for _ in range(5):
        rates.append(adam.rate)
        adam.step(np.zeros(1), np.ones(1))
    np.testing.assert_allclose(rates, [2.0, 1 + np.sqrt(0.5), 1.0, 1 - np.sqrt(0.5), 0.0], atol=1e-12)


def test_weight_decay_pulls_to_zero():
    adam = Adam(size=1, steps=500, learning_rate=0.05, weight_decay=0.1)
    x = np.array([2.0])
    for _ in range(500):
        adam.step(x, np.zeros(1))
    assert abs(x[0]) < 1e-2


def test_every_epoch_visits_every_row_in_another_order():
    batches = Batches(rows=10, size=5, seed=1)
    epochs = [np.concatenate([batches.at(2 * e), batches.at(2 * e + 1)]) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(10))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_few_rows_make_one_batch():
    assert sorted(Batches(rows=3, size=100, seed=0).at(7).tolist()) == [0, 1, 2]
