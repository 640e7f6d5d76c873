"""The estimator contract: scikit-learn's protocol, kept without importing scikit-learn.

Importing scikit-learn costs more than a second, and a stored model must score its first flow long
before that. So nothing here inherits from its base classes: `Estimator` answers the same questions
(`get_params`, `set_params`, ``__sklearn_tags__``, ``__sklearn_is_fitted__``), and `clone`, `Pipeline`,
`cross_val_score` and `GridSearchCV` work as with scikit-learn's own. scikit-learn itself is imported
inside those `fit` methods that train with it, and never on the scoring path.

An estimator says once, in three class attributes, what it has learnt (`_learnt_arrays`,
`_learnt_facts`, `_learnt_parts`); `to_state` and `from_state` follow from that, and
`qwarden.learn.storage` writes the result.
"""

from __future__ import annotations

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.progress import SILENT, Progress
from qwarden.learn._rows import any_infinite

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Complexes = npt.NDArray[np.complex128]
Array = npt.NDArray[Any]
ClassWeight = Literal["balanced"] | Mapping[Any, float] | None
"""``balanced`` gives both classes the same weight in all; a mapping, each label its own (1 by default)."""


@dataclass(frozen=True, slots=True)
class State:
    """What an estimator has learnt, as arrays and JSON values, its parts nested.

    `params` are its constructor's parameters, `facts` the scalars it learnt, `arrays` the arrays;
    no array has dtype `object`.
    """

    params: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    parts: dict[str, State] = field(default_factory=dict)


class Estimator:
    """Parameters, fitted state and storage form of everything that learns.

    Parameters are the arguments of ``__init__``, kept unchanged in attributes of the same name.
    """

    n_features_in_: int

    _learnt_arrays: ClassVar[tuple[str, ...]] = ()
    _learnt_facts: ClassVar[tuple[str, ...]] = ("n_features_in_",)
    _learnt_parts: ClassVar[Mapping[str, type[Estimator]]] = {}
    _unstored_params: ClassVar[tuple[str, ...]] = ()
    _estimator_type_tag: ClassVar[str | None] = None
    _needs_labels: ClassVar[bool] = False
    _is_fitted = False

    # -- parameters ------------------------------------------------------------------------------

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters; with `deep`, those of nested estimators as ``a__b``."""
        params = {name: getattr(self, name) for name in self._parameter_names()}
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    params.update({f"{name}__{key}": inner for key, inner in value.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ``a__b`` reaches into the nested estimator `a`."""
        known = set(self._parameter_names())
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self!r}; known: {sorted(known)}")
            if inner:
                nested.setdefault(name, {})[inner] = value
            else:
                setattr(self, name, value)
        for name, values in nested.items():
            getattr(self, name).set_params(**values)
        return self

    def __repr__(self) -> str:
        signature = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params(deep=False).items()
            if repr(value) != repr(signature[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    # -- what scikit-learn asks ------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        kind = self._estimator_type_tag
        return Tags(
            estimator_type=None if kind == "transformer" else kind,
            target_tags=TargetTags(required=self._needs_labels),
            transformer_tags=TransformerTags() if kind == "transformer" else None,
            classifier_tags=ClassifierTags(multi_class=False) if self._needs_labels else None,
            regressor_tags=None,
            input_tags=InputTags(allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return self._is_fitted

    def _check_fitted(self) -> None:
        """Raise scikit-learn's `NotFittedError` before `fit`."""
        if not self._is_fitted:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} has learnt nothing yet: call fit first")

    def _check_rows(self, X: npt.ArrayLike) -> Floats:
        """Return `X` as float64 rows of the width `fit` saw; nan (unknown) may pass, infinity may not."""
        self._check_fitted()
        rows = as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return rows

    # -- state -----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Derive what scoring needs from what was learnt (after `fit`, and after `from_state`)."""

    def _finish(self) -> Self:
        """End `fit` or `from_state`: derive what scoring needs and mark as fitted."""
        self._prepare()
        self._is_fitted = True
        return self

    def to_state(self) -> State:
        """Return what was learnt; `from_state` of it scores bit for bit alike."""
        self._check_fitted()
        params = self.get_params(deep=False)
        for name in (*self._unstored_params, *self._learnt_parts):
            params.pop(name.removesuffix("_"), None)
        return State(
            params=params,
            facts={name: getattr(self, name) for name in self._learnt_facts},
            arrays={name: getattr(self, name) for name in self._learnt_arrays},
            parts={name: getattr(self, name).to_state() for name in self._learnt_parts},
        )

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Return the fitted estimator that `state` describes.

        Raises
        ------
        KeyError
            If a learnt array, fact or part is missing.
        TypeError
            If a parameter is unknown.
        """
        model = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in state.params.items()})
        for name in cls._learnt_facts:
            setattr(model, name, state.facts[name])
        for name in cls._learnt_arrays:
            setattr(model, name, state.arrays[name])
        for name, kind in cls._part_kinds(state).items():
            part = kind.from_state(state.parts[name])
            setattr(model, name, part)
            if name.removesuffix("_") in cls._parameter_names():
                setattr(model, name.removesuffix("_"), part)
        return model._finish()

    @classmethod
    def _part_kinds(cls, state: State) -> Mapping[str, type[Estimator]]:  # noqa: ARG003
        """Return the class of each part of `state`."""
        return cls._learnt_parts


class Transformer(Estimator, ABC):
    """Something that turns rows into other rows."""

    _estimator_type_tag = "transformer"

    @abstractmethod
    def fit(self, X: npt.ArrayLike, y: Any = None) -> Self:
        """Learn from rows (n, d)."""

    @abstractmethod
    def transform(self, X: npt.ArrayLike) -> Floats:
        """Return the rows' new form, (n, m)."""

    def fit_transform(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Floats:
        """Fit and transform the same rows."""
        return self.fit(X, y).transform(X)


class BinaryEstimator(Estimator, ABC):
    """A classifier of two classes; `classes_[1]` (the greater label) is the attack.

    `decision_function` is the log-odds of `classes_[1]`, `predict_proba` its logistic function and
    `predict` its sign, for every classifier of the house. Unknown values (nan) are welcome.
    """

    classes_: Array
    _estimator_type_tag = "classifier"
    _needs_labels = True

    @abstractmethod
    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn from rows `X` (n, d), labels `y` (n,) of two kinds, and weights (n,)."""

    @abstractmethod
    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the log-odds of `classes_[1]`, (n,)."""

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return the probability of each class, (n, 2)."""
        positive = sigmoid(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the likelier label of each row, (n,)."""
        attacks = self.decision_function(X) > 0.0
        return self.classes_[attacks.astype(np.intp)]

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the share of rows predicted as in `y`."""
        hits = (self.predict(X) == np.asarray(y)).astype(np.float64)
        weights = row_weights(sample_weight, len(hits))
        return float(hits @ weights / weights.sum())

    def _begin(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None,
        class_weight: ClassWeight = None,
    ) -> tuple[Floats, Floats, Floats]:
        """Check a training set; return rows, targets (0.0 or 1.0) and weights of mean 1."""
        self._is_fitted = False
        rows, targets, weights, self.classes_ = binary_training_set(self, X, y, sample_weight, class_weight)
        self.n_features_in_ = rows.shape[1]
        return rows, targets, weights


class OneClassEstimator(Estimator, ABC):
    """A model of what is normal, after scikit-learn's outlier detectors.

    `score_samples` is higher for the more normal row; `decision_function` subtracts `offset_`, so
    that it is negative for an outlier; `predict` says +1 (normal) or -1. `strangeness` is the other
    way round, higher for the more suspicious row: the form that `ConformalFusion` takes.
    """

    offset_: float
    _estimator_type_tag = "outlier_detector"

    @abstractmethod
    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Self:
        """Learn from normal rows `X`; where labels `y` are given, from rows of the least label only."""

    @abstractmethod
    def score_samples(self, X: npt.ArrayLike) -> Floats:
        """Return how normal each row is, (n,): higher is more normal."""

    @abstractmethod
    def strangeness(self, X: npt.ArrayLike) -> Floats:
        """Return how strange each row is, (n,): higher is stranger; decreasing in `score_samples`."""

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return `score_samples` less `offset_`: negative for an outlier."""
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: npt.ArrayLike) -> Ints:
        """Return +1 for a normal row, -1 for an outlier."""
        return np.where(self.decision_function(X) >= 0.0, 1, -1).astype(np.int64)

    def fit_predict(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Ints:
        """Fit and predict the same rows."""
        return self.fit(X, y).predict(X)

    def _begin(self, X: npt.ArrayLike, y: npt.ArrayLike | None) -> Floats:
        """Check a training set; return its normal rows."""
        self._is_fitted = False
        rows = as_rows(X, at_least=2)
        self.n_features_in_ = rows.shape[1]
        if y is not None:
            labels = np.asarray(y)
            if labels.shape != (len(rows),):
                raise ValueError(f"y must hold one label a row: {labels.shape} for {len(rows)} rows")
            rows = rows[labels == labels.min()]
            if len(rows) < 2:
                raise ValueError(f"a model of what is normal needs at least 2 normal rows, got {len(rows)}")
        return rows


def as_rows(X: npt.ArrayLike, at_least: int = 0) -> Floats:
    """Return `X` as a float64 matrix without infinities.

    Raises
    ------
    ValueError
        If it is not two-dimensional, is empty in a dimension, is complex, or holds an infinity.
    TypeError
        If it is sparse.
    """
    if hasattr(X, "tocsr"):
        raise TypeError("Sparse data is not supported: pass X.toarray()")
    raw = X if isinstance(X, np.ndarray) else np.asarray(X)
    if raw.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    rows: Floats = np.ascontiguousarray(raw, np.float64)
    if raw.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {raw.ndim}D array instead. Reshape your data: X must be (rows, features)"
        )
    if rows.shape[1] == 0 or rows.shape[0] < at_least:
        raise ValueError(
            f"Found array with {rows.shape[0]} sample(s) and {rows.shape[1]} feature(s) "
            f"(shape={rows.shape}) while a minimum of {max(at_least, 1)} is required."
        )
    if any_infinite(rows):
        raise ValueError("Input X contains infinity; unknown values must be nan")
    return rows


def binary_training_set(
    model: Estimator,
    X: npt.ArrayLike,
    y: npt.ArrayLike | None,
    sample_weight: npt.ArrayLike | None,
    class_weight: ClassWeight,
) -> tuple[Floats, Floats, Floats, Array]:
    """Check a training set of two classes for `model`.

    Returns
    -------
    Rows (n, d), targets (0.0 or 1.0), weights of mean 1, and the two labels, the lesser first.

    Raises
    ------
    ValueError
        If rows, labels and weights do not fit, or there are not two classes.
    """
    if y is None:
        raise ValueError(f"{type(model).__name__} requires y to be passed, but the target y is None")
    rows, labels = as_rows(X, at_least=2), _one_label_a_row(np.asarray(y))
    if labels.shape != (len(rows),):
        raise ValueError(f"y must hold one label a row: X has {len(rows)} rows, y has shape {labels.shape}")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError("y contains NaN or infinity: every label must be known")
        if (labels != np.rint(labels)).any():
            raise ValueError("Unknown label type: continuous. Labels are names or whole numbers")
    classes = np.unique(labels.astype(str) if labels.dtype.kind == "O" else labels)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is multiclass: "
            f"y must hold two classes, not {len(classes)} classes"
        )
    if len(classes) < 2:
        raise ValueError(f"{type(model).__name__} is binary: y must hold two classes, not 1 class")
    targets = (labels.astype(classes.dtype) == classes[1]).astype(np.float64)
    weights = _class_weighted(row_weights(sample_weight, len(rows)), targets, classes, class_weight)
    return rows, targets, weights / weights.mean(), classes


def _one_label_a_row(labels: Array) -> Array:
    """Return labels that came as one column as they should have come, with scikit-learn's warning."""
    if labels.ndim != 2 or labels.shape[1] != 1:
        return labels
    from sklearn.exceptions import DataConversionWarning

    warnings.warn(
        "A column-vector y was passed when a 1d array was expected; it is taken as y.ravel()",
        DataConversionWarning, stacklevel=2,
    )  # fmt: skip
    return labels.ravel()


def _class_weighted(weights: Floats, targets: Floats, classes: Array, class_weight: ClassWeight) -> Floats:
    """Return the rows' weights times those of their classes."""
    if class_weight is None:
        return weights
    if class_weight == "balanced":
        positive = float(weights @ targets / weights.sum())
        if not 0.0 < positive < 1.0:
            raise ValueError("sample_weight leaves only one class")
        factors = 0.5 / (1.0 - positive), 0.5 / positive
    elif isinstance(class_weight, Mapping):
        # By their text: as JSON, where a model is stored, labels are nothing else.
        given = {str(label): float(factor) for label, factor in class_weight.items()}
        factors = given.get(str(classes[0]), 1.0), given.get(str(classes[1]), 1.0)
    else:
        raise ValueError(f"class_weight must be 'balanced', a mapping or None, not {class_weight!r}")
    return weights * np.where(targets > 0.5, factors[1], factors[0])


def row_weights(sample_weight: npt.ArrayLike | None, count: int) -> Floats:
    """Return checked sample weights, ones where none were given."""
    if sample_weight is None:
        return np.ones(count)
    weights = np.asarray(sample_weight, np.float64)
    if (
        weights.shape != (count,)
        or not np.isfinite(weights).all()
        or (weights < 0).any()
        or not weights.any()
    ):
        raise ValueError(f"sample_weight must be {count} finite, non-negative numbers, not all zero")
    return weights


def sigmoid(logits: Floats) -> Floats:
    """Return ``1 / (1 + exp(-logits))`` without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(logits))
    result: Floats = np.where(logits >= 0.0, 1.0, small) / (1.0 + small)
    return result


def logit(probability: Floats, limit: float = 1e-12) -> Floats:
    """Return the log-odds of a probability, which is kept `limit` away from 0 and 1."""
    clipped = np.clip(probability, limit, 1.0 - limit)
    result: Floats = np.log(clipped) - np.log1p(-clipped)
    return result


def held_out(targets: Floats, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Mark a random `share` of each class; where a class cannot spare two rows, mark nothing."""
    marked = np.zeros(len(targets), np.bool_)
    rng = np.random.default_rng([seed, 5])
    for value in (0.0, 1.0):
        members = np.flatnonzero(targets == value)
        take = round(len(members) * share)
        if take < 2 or len(members) - take < 2:
            return np.zeros(len(targets), np.bool_)
        marked[rng.permutation(members)[:take]] = True
    return marked


def standard_scale(rows: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each column's known values; 0 and 1 where there are none.

    A constant column has scale 1.
    """
    known = ~np.isnan(rows)
    shares = known.astype(np.float64) if weights is None else known * weights[:, None]
    total = shares.sum(axis=0)
    total[total == 0.0] = 1.0
    values = np.where(known, rows, 0.0)
    mean: Floats = (shares * values).sum(axis=0) / total
    spread = np.sqrt((shares * (values - mean) ** 2).sum(axis=0) / total)
    return mean, np.where(spread > 1e-12 * np.maximum(1.0, np.abs(mean)), spread, 1.0)
