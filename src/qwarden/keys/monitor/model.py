"""The model: quantum members look at a block's deviations, and one score says how rare it is.

A quantum one-class model knows honest blocks alone; a QSVM knows simulated attacks too. Both see the largest
deviation of each group of features, a qubit each, pressed into 0 to 1 so that what chance does is near 0: an
angle must not run around the circle, and a hundred small deviations are no large one. Which feature of a
group deviates, and which way, is said in the alarm and does not matter for raising it. `ConformalFusion` adds
the evidence of both and turns it into the share of honest blocks that look at least as strange. Gradient
boosting stands beside them as their twin, trained on the same rows, calibrated on the same honest blocks.

Start reading at `MonitorModel.train` and `MonitorModel.judge`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.files import atomic_write
from qwarden.core.measure import Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.keys.monitor.features import F64, GROUPS, NAMES
from qwarden.keys.monitor.training import PHYSICAL, Rows
from qwarden.keys.monitor.twins import largest
from qwarden.keys.monitor.visibility import VISIBLE
from qwarden.learn import (
    QSVC,
    Bundle,
    ConformalFusion,
    GradientBoostingTwin,
    QuantumOneClass,
    fingerprint,
    load,
    save,
)
from qwarden.quantum import iqp_feature_map

FOLDER: Final = Path(__file__).parent / "shipped"
KEY_FILE: Final = "key.json"
NAME: Final = "qwarden-key-monitor"

BUDGET: Final = 0.001
"""Share of honest blocks that may raise an alarm."""
LAYERS: Final = 2
PRESSED: Final = 4.5
"""Standard deviations at which a deviation counts for three quarters of the most that it can."""
FIRST_ONLY_HIGH: Final = ("arrival_shape", "outage")
"""Features that tell something only where they are high: a fit is never too good."""
_MEMBERS: Final = [[NAMES.index(name) for name in group] for group in GROUPS.values()]


def press(deviations: F64) -> F64:
    """Return the largest deviation of each group of (n, d), 0 to 1, (n, groups); what chance does is near 0.

    Unknown ones are 0.

    >>> row = np.full((1, len(NAMES)), np.nan)
    >>> row[0, NAMES.index("watchdog")] = -6.0
    >>> row[0, NAMES.index("doubles")] = 2.0
    >>> press(row).round(2).tolist()
    [[0.0, 0.0, 0.09, 0.0, 0.0, 0.98]]
    """
    sizes = np.abs(np.nan_to_num(deviations, nan=0.0, posinf=1e3, neginf=-1e3))
    largest_of_each = np.stack([sizes[:, members].max(axis=1) for members in _MEMBERS], axis=1)
    found: F64 = np.tanh((largest_of_each / PRESSED) ** 3)
    return found


def one_sided(deviations: F64) -> F64:
    """Return deviations without the low sides that mean nothing."""
    found = np.array(deviations, dtype=np.float64)
    for name in FIRST_ONLY_HIGH:
        at = NAMES.index(name)
        found[:, at] = np.maximum(found[:, at], 0.0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a model says of blocks.

    Parameters
    ----------
    surprise : -log of the share of honest blocks that look as strange (n,).
    threat : 1 less that share (n,).
    evidence : the same -log for each quantum member, one-class and QSVM (n, 2).
    flagged : whether they raise an alarm (n,).
    """

    surprise: F64
    threat: F64
    evidence: F64
    flagged: npt.NDArray[np.bool_]


class MonitorModel:
    """Both quantum members, their twin and what calibrates them; built by `train`, read by `load_shipped`."""

    def __init__(self, bundle: Bundle, version: str, figures: dict[str, Any] | None = None) -> None:
        if bundle.notes["features"] != list(NAMES):
            raise ModelError(NAME, "was trained on other features: train it anew")
        self.version, self.figures = version, dict(figures or {})
        self._bundle = bundle
        self._one_class = bundle.part("one_class", QuantumOneClass)
        self._svm = bundle.part("svm", QSVC)
        self._fusion = bundle.part("fusion", ConformalFusion)
        self._boosting = bundle.part("boosting", GradientBoostingTwin)
        self._twin_fusion = bundle.part("twin_fusion", ConformalFusion)
        self._kinds: list[str] = bundle.notes["kinds"]
        self._directions: F64 = bundle.arrays["directions"]
        self.thresholds: dict[str, float] = bundle.notes["thresholds"]

    @classmethod
    def train(
        cls,
        honest: Rows,
        attacked: Rows,
        calibration: Rows,
        *,
        version: str = "1",
        seed: int = 0,
        budget: float = BUDGET,
        entangled: bool = True,
        progress: Progress = SILENT,
    ) -> Self:
        """Train all members.

        Parameters
        ----------
        honest, attacked : to learn from; attacks that no test could see are left out.
        calibration : honest blocks of other links.
        entangled : False trains the unentangled twin.
        """
        attacked = attacked.take(attacked.separations >= VISIBLE)
        usual, strange = one_sided(honest.deviations), one_sided(attacked.deviations)
        rows, labels = np.concatenate([usual, strange]), np.repeat([0, 1], [len(usual), len(strange)])
        one_class = QuantumOneClass(
            "iqp", len(GROUPS), LAYERS, pca=len(GROUPS), scale_power=0.0, bandwidth=1.0, method="eigenspace",
            mass=0.99, seed=seed, entangled=entangled,
        ).fit(press(usual), progress=progress)  # fmt: skip
        svm = QSVC(
            "iqp", len(GROUPS), LAYERS, pca=len(GROUPS), scale_power=0.0, bandwidth=1.0, standardise=False,
            solver="primal", calibration_share=0.0, seed=seed, entangled=entangled,
        ).fit(press(rows), labels, progress=progress)  # fmt: skip
        boosting = GradientBoostingTwin(
            iterations=60, max_leaf_nodes=8, min_samples_leaf=60, l2=10.0, class_weight=None, seed=seed
        ).fit(np.abs(rows), labels)
        held = one_sided(calibration.deviations)
        members = np.column_stack([one_class.strangeness(press(held)), svm.decision_function(press(held))])
        kinds = [name for name in PHYSICAL if (attacked.attacks == name).any()]
        bundle = Bundle(
            {
                "one_class": one_class,
                "svm": svm,
                "boosting": boosting,
                "fusion": ConformalFusion(budget, "fisher", seed=seed).fit(members),
                "twin_fusion": ConformalFusion(budget, "fisher", seed=seed).fit(
                    boosting.decision_function(np.abs(held))[:, None]
                ),
            },
            {
                "features": list(NAMES),
                "kinds": kinds,
                "thresholds": {
                    "cusum": _threshold(calibration.cusum, budget),
                    "bound": _threshold(calibration.bound, budget),
                    "largest": _threshold(largest(held), budget),
                },
            },
            {"directions": np.stack([_direction(strange[attacked.attacks == name]) for name in kinds])},
        )
        return cls(bundle, version)

    def judge(self, deviations: F64, budget: float | None = None) -> Judgement:
        """Judge blocks by their deviations (n, d), by the quantum members alone."""
        rows = one_sided(deviations)
        scores = self.scores(rows)
        log_p = self._fusion.log_p(scores)
        return Judgement(
            surprise=-log_p,
            threat=-np.expm1(log_p),
            evidence=self._fusion.evidence(scores),
            flagged=self._fusion.flag(scores, budget),
        )

    def twin_surprise(self, deviations: F64) -> F64:
        """Return -log of the share of honest blocks that look as strange to gradient boosting (n,)."""
        return -self._twin_fusion.log_p(self._twin_margins(deviations))

    def twin_flags(self, deviations: F64, budget: float | None = None) -> npt.NDArray[np.bool_]:
        """Say where gradient boosting would raise an alarm (n,)."""
        return self._twin_fusion.flag(self._twin_margins(deviations), budget)

    def _twin_margins(self, deviations: F64) -> F64:
        margins: F64 = self._boosting.decision_function(np.abs(one_sided(deviations)))[:, None]
        return margins

    def scores(self, rows: F64) -> F64:
        """Return what each quantum member says of one-sided rows, higher for the stranger (n, 2)."""
        pressed = press(rows)
        return np.column_stack([self._one_class.strangeness(pressed), self._svm.decision_function(pressed)])

    def likely(self, deviations: F64) -> str:
        """Return the attack whose blocks deviate most alike, of one row (d,)."""
        direction = _direction(one_sided(deviations[np.newaxis]))
        return self._kinds[int(np.argmax(self._directions @ direction))]

    @property
    def resources(self) -> Resources:
        """What the larger of both circuits asks of a device; scores are exact expectation values."""
        circuit = iqp_feature_map(self._svm.qubits, self._svm.layers, entangled=self._svm.entangled)
        return Resources(qubits=circuit.qubits, depth=circuit.depth, two_qubit_gates=circuit.two_qubit_gates)

    def save(self, folder: Path, key: SigningKey, *, created: str, fingerprint: str) -> None:
        """Write the model, signed."""
        save(
            self._bundle, folder, key, name=NAME, version=self.version, created=created,
            fingerprint=fingerprint, figures=self.figures,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, trusted: TrustedKeys) -> Self:
        """Read what `save` wrote; `ModelError` if it was changed or is signed by another."""
        stored = load(folder, trusted)
        return cls(stored.model, stored.version, dict(stored.figures))


def _threshold(scores: F64, budget: float) -> float:
    """Return the score that at most a share `budget` of honest blocks like these goes beyond."""
    ordered = np.sort(scores)
    return float(ordered[min(len(ordered) - 1, math.ceil((len(ordered) + 1) * (1.0 - budget)) - 1)])


def _direction(rows: F64) -> F64:
    """Return the mean direction of deviations (n, d): of each row its own, so that none outshouts others."""
    capped = np.clip(np.nan_to_num(rows, nan=0.0, posinf=1e3, neginf=-1e3), -1e3, 1e3)
    lengths = np.linalg.norm(capped, axis=1, keepdims=True)
    mean = (capped / np.maximum(lengths, 1e-9)).mean(axis=0)
    found: F64 = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return found


@cache
def load_shipped() -> MonitorModel:
    """Return the model that ships with the package; `ModelError` if it is absent or was changed."""
    return MonitorModel.load(FOLDER, trusted_key())


def trusted_key(folder: Path = FOLDER) -> TrustedKeys:
    """Return the key that vouches for the shipped model.

    Raises
    ------
    ModelError
        It is missing, or is none.
    """
    path = folder / KEY_FILE
    try:
        return TrustedKeys.of(bytes.fromhex(json.loads(path.read_bytes())["ed25519"]))
    except FileNotFoundError:
        raise ModelError(path, "is missing: run `qwarden keys monitor train`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(path, f"is no public key: {error}") from error


def ship(model: MonitorModel, trained_on: tuple[F64, ...], folder: Path = FOLDER) -> None:
    """Sign `model` with a key made for the occasion, and write both into `folder` (docs/adr/0004)."""
    key = SigningKey.generate()
    created = datetime.now(UTC).isoformat(timespec="seconds")
    model.save(folder, key, created=created, fingerprint=fingerprint(*trained_on))
    document = {"id": key.id, "ed25519": key.public.hex()}
    atomic_write(folder / KEY_FILE, (json.dumps(document, indent=1) + "\n").encode())
