"""Estimators: quantum models beside their classical twins, one interface.

In: float matrices with nan where a value is unknown, and labels. Out: log-odds, probabilities,
strangeness, and one threat score whose false alarms are known in advance.

::

    rows ── Preprocessor ──┬── HybridClassifier: a QNN's states into a kernel machine ──┬── ConformalFusion
                           ├── QuantumOneClass: fidelity with known normals ────────────┘
                           └── twins: GradientBoostingTwin, NeighborDistanceTwin, ExtraTreesTwin ...

Everything keeps scikit-learn's contract without importing it; `save` and `load` know no pickle.
Names are imported when they are first used, so that importing this room costs nothing.

Start reading in `base` (the contract), then `qnn`, `fidelity`, `one_class`, `fusion`; `storage` last.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwarden.learn.base import BinaryEstimator, Estimator, OneClassEstimator, State
    from qwarden.learn.bundle import Bundle
    from qwarden.learn.encoding import FixedEncoding
    from qwarden.learn.fidelity import FidelityMachine
    from qwarden.learn.fusion import ConformalFusion
    from qwarden.learn.hybrid import HybridClassifier
    from qwarden.learn.neighbours import KNeighborsTwin, NeighborDistanceTwin
    from qwarden.learn.one_class import QuantumOneClass
    from qwarden.learn.preprocess import Preprocessor
    from qwarden.learn.qnn import QNNClassifier
    from qwarden.learn.qsvc import QSVC
    from qwarden.learn.storage import StoredModel, fingerprint, load, save
    from qwarden.learn.trees import ExtraTreesTwin, GradientBoostingTwin

_HOMES = {
    "BinaryEstimator": "base",
    "Bundle": "bundle",
    "ConformalFusion": "fusion",
    "Estimator": "base",
    "ExtraTreesTwin": "trees",
    "FidelityMachine": "fidelity",
    "FixedEncoding": "encoding",
    "GradientBoostingTwin": "trees",
    "HybridClassifier": "hybrid",
    "KNeighborsTwin": "neighbours",
    "NeighborDistanceTwin": "neighbours",
    "OneClassEstimator": "base",
    "Preprocessor": "preprocess",
    "QNNClassifier": "qnn",
    "QSVC": "qsvc",
    "QuantumOneClass": "one_class",
    "State": "base",
    "StoredModel": "storage",
    "fingerprint": "storage",
    "load": "storage",
    "save": "storage",
}

__all__ = [
    "QSVC",
    "BinaryEstimator",
    "Bundle",
    "ConformalFusion",
    "Estimator",
    "ExtraTreesTwin",
    "FidelityMachine",
    "FixedEncoding",
    "GradientBoostingTwin",
    "HybridClassifier",
    "KNeighborsTwin",
    "NeighborDistanceTwin",
    "OneClassEstimator",
    "Preprocessor",
    "QNNClassifier",
    "QuantumOneClass",
    "State",
    "StoredModel",
    "fingerprint",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import the module that `name` lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
