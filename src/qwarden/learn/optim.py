"""Adam with a cosine schedule, and the order in which a training set is gone through.

Both are functions of the step number and what they carry, so that a training that was stopped goes on
to the same bits as one that was not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from qwarden.learn.base import Floats, Ints


@dataclass(slots=True)
class Adam:
    """Adam on one flat parameter vector.

    Parameters
    ----------
    size : length of the vector.
    steps : steps of the whole training; the rate falls from `learning_rate` to 0 as half a cosine.
    learning_rate : the first step's rate.
    weight_decay : this times the parameters is added to the gradient.

    Source: Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1; Loshchilov &
    Hutter 2017, "SGDR", eq. (5), without restarts.

    Examples
    --------
    >>> adam = Adam(size=1, steps=200, learning_rate=0.1)
    >>> x = np.array([3.0])
    >>> for _ in range(200):
    ...     adam.step(x, 2.0 * (x - 1.0))
    >>> x.round(3).tolist()
    [1.0]
    """

    size: int
    steps: int
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    first_decay: float = 0.9
    second_decay: float = 0.999
    taken: int = 0
    mean: Floats = field(init=False)
    square: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.square = np.zeros(self.size), np.zeros(self.size)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(self.taken / self.steps, 1.0)))

    def step(self, parameters: Floats, gradient: Floats) -> None:
        """Move `parameters` in place by one step against `gradient`."""
        rate = self.rate
        self.taken += 1
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        self.mean += (1.0 - self.first_decay) * (gradient - self.mean)
        self.square += (1.0 - self.second_decay) * (gradient * gradient - self.square)
        mean = self.mean / (1.0 - self.first_decay**self.taken)
        square = self.square / (1.0 - self.second_decay**self.taken)
        parameters -= rate * mean / (np.sqrt(square) + 1e-8)


@dataclass(slots=True)
class Batches:
    """Row numbers of each step's batch: every row once an epoch, in an order drawn from the seed.

    Examples
    --------
    >>> batches = Batches(rows=6, size=2, seed=0)
    >>> sorted(np.concatenate([batches.at(step) for step in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    >>> batches.at(1).tolist() == Batches(rows=6, size=2, seed=0).at(1).tolist()
    True
    """

    rows: int
    size: int
    seed: int
    _epoch: int = -1
    _order: Ints = field(init=False)

    def at(self, step: int) -> Ints:
        """Return the rows of step `step`; rows that do not fill a batch wait for another epoch."""
        size = min(self.size, self.rows)
        epoch, place = divmod(step, self.rows // size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.rows)
        return self._order[place * size : (place + 1) * size]
