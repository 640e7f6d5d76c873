"""scikit-learn's own estimator checks, on every classifier, outlier detector and transformer of the face.

What cannot apply is listed with its reason, and the list is exact: a check that would pass may not stand
on it.
"""

from __future__ import annotations

import warnings

import pytest
from sklearn.utils.estimator_checks import check_estimator

from qwarden import learn

SMALL = {
    "batch_size": 64,
    "iterations": 20,
    "landmarks": 50,
    "latent": 1,
    "layers": 1,
    "learning_rate": 0.05,
    "qubits": 2,
    "steps": 40,
    "trees": 10,
}
"""Settings that keep a training short, for those who have them."""

WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
ENCODED = {
    WEIGHTS: "the encoding's components and the held-out rows are chosen among rows, whatever they weigh"
}
NEIGHBOURS = {WEIGHTS: "a weight scales a neighbour's vote; a repeated row is another neighbour"}
LEFT_OUT = {
    "check_outliers_train": "the threshold is set on rows left out of their own score, so that the share of "
    "outliers holds for new rows, not for those it was trained on",
    "check_outliers_fit_predict": "as check_outliers_train",
}
CANNOT_APPLY = {
    "AlignedEncoding": {WEIGHTS: "mini-batches are drawn among rows, whatever they weigh"},
    "ExtraTreesTwin": {
        WEIGHTS: "split thresholds are drawn at random for each training set",
        "check_class_weight_classifiers": "a pure leaf says 1 whatever its class weighs (scikit-learn's own "
        "trees pass with min_weight_fraction_leaf, which the check sets)",
    },
    "HybridClassifier": {WEIGHTS: "mini-batches are drawn among rows, whatever they weigh"},
    "KNeighborsTwin": NEIGHBOURS,
    "NeighborDistanceTwin": LEFT_OUT,
    "OneClassSVMTwin": LEFT_OUT,
    "Preprocessor": {
        WEIGHTS: "quantiles and levels are counted over rows, whatever they weigh",
        "check_fit2d_1sample": "it refuses constant columns, which the columns of one row are",
    },
    "ProjectedQSVC": ENCODED,
    "QKNNClassifier": NEIGHBOURS,
    "QNNClassifier": {WEIGHTS: "mini-batches are drawn among rows, whatever they weigh"},
    "QSVC": ENCODED,
    "QuantumOneClass": LEFT_OUT,
}
NOT_RUN = {
    "check_array_api_input": "needs SCIPY_ARRAY_API=1: all arrays here are NumPy's",
    "check_classifier_data_not_an_array": "it uses pandas, which is no dependency",
    "check_sample_weights_pandas_series": "pandas is no dependency",
}


def estimators() -> list[str]:
    """Name what the face shows and scikit-learn knows the kind of."""
    shown = {name: getattr(learn, name) for name in learn.__all__}
    kinds = {name: kind for name, kind in shown.items() if getattr(kind, "_estimator_type_tag", None)}
    return [name for name, kind in kinds.items() if not getattr(kind, "__abstractmethods__", None)]


@pytest.mark.parametrize("name", estimators())
def test_scikit_learns_checks(name):
    kind = getattr(learn, name)
    model = kind(**{key: value for key, value in SMALL.items() if key in kind._parameter_names()})
    if name == "HybridClassifier":
        model.set_params(embedding=learn.QNNClassifier(qubits=2, layers=1, steps=40, learning_rate=0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(model, on_skip=None, on_fail=None)
    by_status = {
        status: {r["check_name"]: r["exception"] for r in results if r["status"] == status}
        for status in ("failed", "skipped", "passed")
    }
    assert len(by_status["passed"]) > 30
    assert by_status["failed"].keys() == CANNOT_APPLY.get(name, {}).keys(), by_status["failed"]
    assert by_status["skipped"].keys() <= NOT_RUN.keys(), by_status["skipped"]


def test_the_list_names_estimators_only():
    assert set(CANNOT_APPLY) <= set(estimators())
