"""The scikit-learn contract, as scikit-learn itself uses it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from qwarden import learn
from qwarden.learn.base import held_out, logit, sigmoid, standard_scale

CLASSIFIERS = [
    learn.QNNClassifier(qubits=2, layers=1, steps=40, learning_rate=0.05),
    learn.QSVC(qubits=2, layers=1),
    learn.HybridClassifier(learn.QNNClassifier(qubits=2, layers=1, steps=40, learning_rate=0.05)),
    learn.GradientBoostingTwin(iterations=20),
    learn.ExtraTreesTwin(trees=20),
    learn.KNeighborsTwin(),
    learn.QKNNClassifier(qubits=2, layers=1),
    learn.ProjectedQSVC(qubits=2, layers=1),
]
ONE_CLASS = [learn.QuantumOneClass(qubits=2, layers=1), learn.NeighborDistanceTwin()]


def by_name(model: object) -> str:
    return type(model).__name__


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """Two clouds, one feature decides, some values unknown."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(160, 3))
    y = np.where(X[:, 0] > 0, "attack", "benign")
    X[:, 0] += np.where(X[:, 0] > 0, 1.0, -1.0)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, y


@pytest.mark.parametrize("model", CLASSIFIERS + ONE_CLASS, ids=by_name)
def test_clone_and_parameters(model):
    twin = clone(model)
    assert twin is not model
    assert repr(twin) == repr(model)
    assert twin.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        twin.set_params(nonsense=1)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=by_name)
def test_classifier_contract(model, halves):
    X, y = halves
    assert is_classifier(model)
    fresh = clone(model)
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    assert fresh.fit(X, y) is fresh
    check_is_fitted(fresh)
    assert fresh.classes_.tolist() == ["attack", "benign"]
    assert fresh.n_features_in_ == 3
    probability = fresh.predict_proba(X)
    assert probability.shape == (160, 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert ((fresh.decision_function(X) > 0) == (fresh.predict(X) == "benign")).all()
    assert fresh.score(X, y) > 0.85
    with pytest.raises(ValueError, match="expecting 3 features"):
        fresh.predict(X[:, :2])


@pytest.mark.parametrize("model", CLASSIFIERS, ids=by_name)
def test_one_row_scores_as_in_a_batch(model, halves):
    X, y = halves
    fitted = clone(model).fit(X, y)
    batch = fitted.decision_function(X)
    alone = np.concatenate([fitted.decision_function(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, batch, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=by_name)
def test_a_row_without_weight_does_not_matter(model, halves):
    """Rows of weight 0 with wrong labels leave the accuracy where it was."""
    X, y = halves
    wrong = np.where(y == "attack", "benign", "attack")
    weight = np.repeat([1.0, 0.0], len(y))
    fitted = clone(model)
    if "neighbors" in fitted.get_params():
        fitted.set_params(neighbors=10)
    fitted.fit(np.vstack([X, X]), np.concatenate([y, wrong]), weight)
    assert fitted.score(X, y) > 0.85


@pytest.mark.parametrize("model", ONE_CLASS, ids=by_name)
def test_one_class_contract(model):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 3))
    assert is_outlier_detector(model)
    fresh = clone(model)
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    fresh.fit(X)
    far = np.array([[6.0, -6.0, 6.0]])
    assert fresh.predict(far).tolist() == [-1]
    assert fresh.decision_function(far)[0] < 0
    assert (fresh.predict(X) == 1).mean() > 0.9
    order = np.argsort(fresh.score_samples(X))
    assert (np.diff(fresh.strangeness(X)[order]) <= 1e-12).all()


@pytest.mark.parametrize("model", ONE_CLASS, ids=by_name)
def test_one_class_learns_from_the_least_label_only(model):
    rng = np.random.default_rng(2)
    normal, attack = rng.normal(size=(100, 3)), rng.normal(size=(50, 3)) + 5.0
    from_labels = clone(model).fit(np.vstack([normal, attack]), np.repeat([0, 1], [100, 50]))
    from_normals = clone(model).fit(normal)
    probe = rng.normal(size=(20, 3))
    assert (from_labels.score_samples(probe) == from_normals.score_samples(probe)).all()


def test_pipeline_search_and_cross_validation(halves):
    X, y = halves
    pipeline = make_pipeline(
        learn.Preprocessor(), learn.QNNClassifier(qubits=2, layers=2, steps=100, learning_rate=0.05)
    )
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.85
    search = GridSearchCV(pipeline, {"qnnclassifier__qubits": [1, 2]}, cv=2).fit(X, y)
    assert search.best_estimator_.predict(X).shape == (160,)
    nested = GridSearchCV(CLASSIFIERS[2], {"embedding__qubits": [2, 3]}, cv=2).fit(X, y)
    assert nested.best_params_["embedding__qubits"] in (2, 3)


@pytest.mark.parametrize(
    ("X", "y", "complaint"),
    [
        ([1.0, 2.0], [0, 1], "2D"),
        ([[1.0], [np.inf]], [0, 1], "infinity"),
        ([[1.0], [2.0]], [0, 0], "two classes"),
        ([[1.0], [2.0], [3.0]], [0, 1, 2], "two classes"),
        ([[1.0], [2.0]], [0.0, np.nan], "NaN"),
        ([[1.0], [2.0]], [0, 1, 1], "one label a row"),
        ([[1.0], [2.0]], [0.5, 1.0], "Unknown label type"),
        ([[1.0], [2.0]], None, "requires y"),
        ([[1.0 + 1j], [2.0]], [0, 1], "Complex"),
        (np.zeros((2, 0)), [0, 1], "0 feature"),
    ],
)
def test_bad_training_sets_are_refused(X, y, complaint):
    with pytest.raises(ValueError, match=complaint):
        learn.QNNClassifier(steps=1).fit(X, y)


def test_sparse_rows_are_refused():
    with pytest.raises(TypeError, match="Sparse"):
        learn.QNNClassifier(steps=1).fit(csr_array(np.eye(2)), [0, 1])


def test_class_weights_are_those_of_repeated_rows():
    """Attacks counted three times, by their weight or by repetition; text and numbers name a label alike."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    repeated = np.concatenate([np.arange(60), *[np.flatnonzero(y)] * 2])
    plain = learn.LogisticTwin(class_weight=None)
    counted = clone(plain).fit(X[repeated], y[repeated]).decision_function(X)
    for class_weight in ({1: 3.0}, {"0": 1.0, "1": 3.0}):
        weighted = clone(plain).set_params(class_weight=class_weight).fit(X, y).decision_function(X)
        np.testing.assert_allclose(weighted, counted, atol=1e-6)
    assert np.abs(clone(plain).fit(X, y).decision_function(X) - counted).min() > 0.5
    with pytest.raises(ValueError, match="class_weight must be"):
        clone(plain).set_params(class_weight="heavy").fit(X, y)


@pytest.mark.parametrize("weight", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, np.nan], [1.0, 0.0]])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="sample_weight"):
        learn.QNNClassifier(steps=1).fit([[1.0], [2.0]], [0, 1], weight)


def test_scoring_path_does_not_import_sklearn():
    """Every public name, and all that loading and scoring import, without scikit-learn."""
    code = (
        "import sys, qwarden.learn as l; import qwarden.learn.storage\n"
        "[getattr(l, n) for n in l.__all__]\n"
        "print([m for m in sys.modules if m.startswith(('sklearn', 'scipy.special', 'scipy.stats'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_room_is_free():
    code = "import sys, qwarden.learn; print('numba' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_face_is_complete():
    assert set(learn.__all__) == set(learn._HOMES)
    assert dir(learn) == sorted(learn.__all__)
    with pytest.raises(AttributeError):
        _ = learn.nonsense


def test_sigmoid_and_logit_undo_each_other():
    logits = np.linspace(-20, 20, 41)
    np.testing.assert_allclose(logit(sigmoid(logits)), logits, atol=1e-6)


def test_held_out_takes_its_share_of_each_class():
    targets = np.repeat([0.0, 1.0], [100, 20])
    marked = held_out(targets, 0.25, seed=0)
    assert marked[:100].sum() == 25
    assert marked[100:].sum() == 5
    assert not held_out(np.repeat([0.0, 1.0], [100, 3]), 0.25, seed=0).any()


def test_standard_scale_skips_unknown_values():
    mean, scale = standard_scale(np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [np.nan, 5.0, np.nan]]))
    assert mean.tolist() == [2.0, 5.0, 0.0]
    assert scale.tolist() == [1.0, 1.0, 1.0]
