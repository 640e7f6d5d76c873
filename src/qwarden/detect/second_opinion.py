"""The second opinion: does a row look like an attack that hides among normal traffic?

A detector that is asked often enough tells an attacker what to change. The second opinion is trained on
rows that have evaded a detector (`adversarial_training`), and looks at a row in three ways:

- ``anchored``: a QNN-QSVM that sees only what an attacker cannot change, or can only let grow;
- ``adversarial``: a QNN-QSVM that sees every column, and so the marks that mimicry leaves;
- ``autoencoder``: a quantum autoencoder of normal rows, in which what can be changed belongs together.

Mimicry can move the second and the third; the first has nothing that it could move back, so the number of
an attacker's queries hardly matters. Conformal fusion makes one p-value of them, with a false-positive
budget. The twin is made likewise of gradient boosting and of principal components, on the same rows, and
is attacked as often by the same attack.

Start reading at `SecondOpinion.fit`; what can be changed is said by a `mimicry.Mutability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.measure import Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect.adversarial_training import (
    Opinion,
    PrincipalAutoencoder,
    School,
    SecondOpinionSettings,
    quantum_side,
    twin_side,
)
from qwarden.detect.features import FEATURE_NAMES
from qwarden.detect.mimicry import Mutability, Mutable, Score
from qwarden.learn import (
    Bundle,
    ConformalFusion,
    Estimator,
    GradientBoostingTwin,
    HybridClassifier,
    Preprocessor,
    QuantumAutoencoder,
    load,
    save,
)
from qwarden.quantum import cz_ring_reupload

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NAME: Final = "qwarden-second-opinion"
MEMBERS: Final = ("anchored", "adversarial", "autoencoder")
TWIN: Final = "twin_"
DEFAULTS: Final = SecondOpinionSettings()

_FREE_SHARES: Final = (
    "upload_share", "syn_share_out", "rst_share_out", "psh_share_out", "urg_share_out", "fin_share_out",
    "fragment_share",
    *(f"{name}_{span}" for span in ("300s", "1h") for name in (
        "source_failed_share", "fan_failed_share", "contacts_failed_share", "pair_upload_share",
        "source_upload_share",
    )),
    "alike_share", "fan_alike_share",
)  # fmt: skip
_FREE: Final = (
    "packets_per_s", "size_mean_out", "size_std_out", "size_max_out", "iat_mean_out", "iat_std_out",
    "iat_max_out", "iat_mean_in", "iat_std_in", "iat_max_in", "iat_variation_out", "extension_bytes_a_packet",
    "pause_mean_s", "pause_variation", "payload_a_pause", "size_spread", "period_s", "period_spread",
    "contact_gap_s",
)  # fmt: skip
_GROWING_COUNTS: Final = (
    "packets_out", "payload_out", "pauses",
    *(f"{name}_{span}" for span in ("300s", "1h") for name in (
        "source_flows", "source_peers", "source_services", "fan_peers", "pair_ports", "contacts",
        "pair_bytes_out",
    )),
    "contacts_ever",
)  # fmt: skip

FLOW_MUTABILITY: Final = Mutability(
    FEATURE_NAMES,
    {
        "duration_s": Mutable("grows"),
        **{name: Mutable("grows", per_unit=1) for name in _GROWING_COUNTS},
        **{name: Mutable("moves") for name in _FREE},
        **{name: Mutable("moves", per_unit=1) for name in ("alike_contacts", "fan_alike")},
        **{name: Mutable("moves", low=-1.0 if "upload" in name else 0.0, high=1.0) for name in _FREE_SHARES},
    },
)
"""What an attacker can change of our flow features.

More can be sent, to more places, for longer: counts and sums grow. Sizes and times of what is sent can be
chosen, so contacts need not be alike, and shares move with what is added. Protocol, service and state stay,
as does what others answer, what a victim sees of all its sources, and since when a host is known.
"""


class SecondOpinion:
    """A second opinion beside a detector, and its twin's.

    Built by `fit`, kept by `save`, read by `load`.

    Attributes
    ----------
    mutability : what an attacker can change, column by column.
    name, version : how findings name it.
    """

    def __init__(self, bundle: Bundle, name: str = NAME, version: str = "1") -> None:
        self.name, self.version = name, version
        self._bundle, self._swapped = bundle, False
        self.mutability = Mutability.from_json(bundle.notes["mutability"])
        self._preprocessor = bundle.part("preprocessor", Preprocessor)
        arrays = bundle.arrays
        anchors, belongings = arrays["anchors"], arrays["belongings"]
        self._quantum = Opinion(
            bundle.part("anchored", HybridClassifier),
            bundle.part("adversarial", HybridClassifier),
            bundle.part("autoencoder", QuantumAutoencoder),
            anchors,
            belongings,
            bundle.notes["gate"],
            bundle.part("fusion", ConformalFusion),
        )
        self._twin = Opinion(
            bundle.part(f"{TWIN}anchored", GradientBoostingTwin),
            bundle.part(f"{TWIN}adversarial", GradientBoostingTwin),
            PrincipalAutoencoder(arrays[f"{TWIN}mean"], arrays[f"{TWIN}axes"]),
            anchors,
            belongings,
            bundle.notes[f"{TWIN}gate"],
            bundle.part(f"{TWIN}fusion", ConformalFusion),
        )

    # -- making ------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        rows: F64,
        labels: npt.ArrayLike,
        *,
        mutable: Mutability,
        calibration: F64 | None = None,
        practice: Bools | None = None,
        victim: Score | None = None,
        categorical: Sequence[str] = (),
        settings: SecondOpinionSettings = DEFAULTS,
        version: str = "1",
        progress: Progress = SILENT,
    ) -> Self:
        """Train both sides adversarially on the same rows, and calibrate both alike.

        Parameters
        ----------
        rows : (n, d) raw feature rows of the columns ``mutable.names``, nan where unknown.
        labels : (n,) 1 for an attack, 0 for a normal row.
        mutable : what an attacker can change.
        calibration : (m, d) normal rows that are not among `rows`; a fifth of the normal rows
            are kept for it if None.
        practice : (n,) rows whose attacks and normal donors evasion is practised with: those the victim
            was not trained on. Two fifths at random if None.
        victim : the detector to evade, rows to suspicion; boosted trees on the other rows if None.
        categorical : names of columns that hold codes.

        Raises
        ------
        ValueError
            Rows, labels and columns do not fit, or there are too few normal rows to calibrate on.
        """
        school = School.open(
            rows, labels, mutable=mutable, calibration=calibration, practice=practice, victim=victim,
            categorical=categorical, settings=settings,
        )  # fmt: skip
        quantum = school.teach(quantum_side(), progress)
        twin = school.teach(twin_side(), progress)
        return cls(bundled(school, quantum, twin), version=version)

    def save(self, folder: Path, key: SigningKey, *, created: str, fingerprint: str) -> None:
        """Write it, signed by `key`, into `folder`."""
        save(
            self._bundle, folder, key, name=self.name, version=self.version, created=created,
            fingerprint=fingerprint,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, trusted: TrustedKeys) -> Self:
        """Read a second opinion that a trusted key has signed; `ModelError` if anything is off."""
        stored = load(folder, trusted)
        try:
            return cls(stored.model, stored.name, stored.version)
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelError(folder, "holds no second opinion") from error

    # -- judging -----------------------------------------------------------------------------------

    def log_p(self, rows: F64) -> F64:
        """Return the natural logarithm of each row's p-value, (n,), extrapolated: for ranking."""
        return self._leading.log_p(self._preprocessor.transform(rows))

    def p_value(self, rows: F64) -> F64:
        """Return the p-values of "this row is normal", (n,), never below what calibration can tell."""
        return np.maximum(np.exp(self.log_p(rows)), self.least_fpr)

    def flag(self, rows: F64, fpr: float) -> Bools:
        """Say which rows look evasive within a false-positive budget, (n,)."""
        return self._leading.fusion.flag(self._leading.scores(self._preprocessor.transform(rows)), fpr)

    def evidence(self, rows: F64) -> dict[str, F64]:
        """Return each member's ``-log p``, (n,): who contributed how much."""
        found = self._leading.fusion.evidence(self._leading.scores(self._preprocessor.transform(rows)))
        return dict(zip(MEMBERS, found.T, strict=True))

    @property
    def least_fpr(self) -> float:
        """The smallest p-value that calibration can tell."""
        return self._leading.fusion.resolution_

    def twin(self) -> SecondOpinion:
        """Return the same with parts exchanged: the classical side decides."""
        other = copy(self)
        other._swapped = not self._swapped
        return other

    def resources(self) -> Resources:
        """Return what the larger of the networks asks of a device; scores are exact expectation values."""
        network = self._quantum.adversarial.embedding_
        circuit = cz_ring_reupload(network.qubits, network.layers, entangled=network.entangled)
        return Resources(
            qubits=circuit.qubits, depth=circuit.depth, two_qubit_gates=circuit.two_qubit_gates, shots=None
        )

    @property
    def _leading(self) -> Opinion:
        return self._twin if self._swapped else self._quantum


def bundled(school: School, quantum: Opinion, twin: Opinion) -> Bundle:
    """Put what a school and its two pupils have learnt into one storable model."""
    principal = twin.autoencoder
    parts: dict[str, Estimator] = {
        "preprocessor": school.preprocessor,
        "anchored": quantum.anchored,
        "adversarial": quantum.adversarial,
        "autoencoder": quantum.autoencoder,
        "fusion": quantum.fusion,
        f"{TWIN}anchored": twin.anchored,
        f"{TWIN}adversarial": twin.adversarial,
        f"{TWIN}fusion": twin.fusion,
    }
    arrays = {
        "anchors": school.anchors,
        "belongings": school.belongings,
        f"{TWIN}mean": principal.mean,
        f"{TWIN}axes": principal.axes,
    }
    notes = {
        "mutability": school.mutable.to_json(),
        "calibration_rows": len(school.calibration),
        "gate": quantum.gate,
        f"{TWIN}gate": twin.gate,
    }
    return Bundle(parts, notes, arrays)
