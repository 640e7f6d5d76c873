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
    from qwarden.learn.aligned import AlignedEncoding
    from qwarden.learn.autoencoder import QuantumAutoencoder
    from qwarden.learn.base import BinaryEstimator, Estimator, OneClassEstimator, State
    from qwarden.learn.bundle import Bundle
    from qwarden.learn.diagnostics import geometric_difference, gradient_variance, kernel_concentration
    from qwarden.learn.encoding import FixedEncoding
    from qwarden.learn.fidelity import FidelityMachine
    from qwarden.learn.forests import IsolationForestTwin
    from qwarden.learn.fusion import ConformalFusion
    from qwarden.learn.hybrid import HybridClassifier
    from qwarden.learn.linear import LogisticTwin
    from qwarden.learn.margins import OneClassSVMTwin, RBFSVMTwin
    from qwarden.learn.neighbours import KNeighborsTwin, NeighborDistanceTwin
    from qwarden.learn.one_class import QuantumOneClass
    from qwarden.learn.preprocess import Preprocessor
    from qwarden.learn.projected import ProjectedMachine, ProjectedQSVC
    from qwarden.learn.qknn import QKNNClassifier
    from qwarden.learn.qnn import QNNClassifier
    from qwarden.learn.qsvc import QSVC
    from qwarden.learn.registry import Entry, Origin, Registry
    from qwarden.learn.storage import StoredModel, fingerprint, load, save
    from qwarden.learn.trees import ExtraTreesTwin, GradientBoostingTwin

_HOMES = {
    "AlignedEncoding": "aligned",
    "BinaryEstimator": "base",
    "Bundle": "bundle",
    "ConformalFusion": "fusion",
    "Entry": "registry",
    "Estimator": "base",
    "ExtraTreesTwin": "trees",
    "FidelityMachine": "fidelity",
    "FixedEncoding": "encoding",
    "GradientBoostingTwin": "trees",
    "HybridClassifier": "hybrid",
    "IsolationForestTwin": "forests",
    "KNeighborsTwin": "neighbours",
    "LogisticTwin": "linear",
    "NeighborDistanceTwin": "neighbours",
    "OneClassEstimator": "base",
    "OneClassSVMTwin": "margins",
    "Origin": "registry",
    "Preprocessor": "preprocess",
    "ProjectedMachine": "projected",
    "ProjectedQSVC": "projected",
    "QKNNClassifier": "qknn",
    "QNNClassifier": "qnn",
    "QSVC": "qsvc",
    "QuantumAutoencoder": "autoencoder",
    "QuantumOneClass": "one_class",
    "RBFSVMTwin": "margins",
    "Registry": "registry",
    "State": "base",
    "StoredModel": "storage",
    "fingerprint": "storage",
    "geometric_difference": "diagnostics",
    "gradient_variance": "diagnostics",
    "kernel_concentration": "diagnostics",
    "load": "storage",
    "save": "storage",
}

__all__ = [
    "QSVC",
    "AlignedEncoding",
    "BinaryEstimator",
    "Bundle",
    "ConformalFusion",
    "Entry",
    "Estimator",
    "ExtraTreesTwin",
    "FidelityMachine",
    "FixedEncoding",
    "GradientBoostingTwin",
    "HybridClassifier",
    "IsolationForestTwin",
    "KNeighborsTwin",
    "LogisticTwin",
    "NeighborDistanceTwin",
    "OneClassEstimator",
    "OneClassSVMTwin",
    "Origin",
    "Preprocessor",
    "ProjectedMachine",
    "ProjectedQSVC",
    "QKNNClassifier",
    "QNNClassifier",
    "QuantumAutoencoder",
    "QuantumOneClass",
    "RBFSVMTwin",
    "Registry",
    "State",
    "StoredModel",
    "fingerprint",
    "geometric_difference",
    "gradient_variance",
    "kernel_concentration",
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
