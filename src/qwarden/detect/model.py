"""The threat model: feature rows to threat scores, the quantum members beside their classical twin.

Two quantum members look at a row, a supervised one (`HybridClassifier`, a QNN's states in a QSVM) and
one that knows normal traffic only (`QuantumOneClass`); `ConformalFusion` takes the stronger evidence
(Tippett: some attacks look normal to one of them). The twin is built likewise from gradient boosting
and nearest neighbours, on the same rows and the same calibration flows.

The p-value behind a threat score is joint with the behaviour: the share of held-out benign flows that
show *this* behaviour and look at least as suspicious. A port scan has few benign look-alikes and needs
little more; a beacon has thousands and must stand out among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.measure import Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect._score_loops import BOOSTING
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.calibration import AlarmTable, AttackTable
from qwarden.detect.drift import Baseline
from qwarden.detect.scoring import FlowScorer
from qwarden.learn import (
    Bundle,
    ConformalFusion,
    Estimator,
    GradientBoostingTwin,
    HybridClassifier,
    NeighborDistanceTwin,
    Preprocessor,
    QNNClassifier,
    QuantumOneClass,
    load,
    save,
)
from qwarden.quantum import cz_ring_reupload

if TYPE_CHECKING:
    from qwarden.detect.evasion import EvasionOpinion

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
OneClassMethod = Literal["neighbours", "eigenspace"]

NAME: Final = "qwarden-hybrid"

MEMBERS: Final = ("hybrid", "one_class")
WHO: Final = ("", "twin_")
"""Prefixes of what the quantum members and their twin keep."""
BUDGET: Final = 1e-4
"""The usual false-positive budget: settled on the traffic range."""
CURVE_FLOWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n flows.

    `p_value`: at most a share p of benign flows exchangeable with the calibration flows shows the same
    behaviour with a p-value of p or less. `threat`: 1 - p. `margin`: the fused evidence behind it, -log of
    its p-value among all benign flows, which does not saturate. `twin`: the twin's threat.
    """

    p_value: F64
    threat: F64
    margin: F64
    twin: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a threat model is trained: the QNN's size and steps, and how many flows are remembered.

    `one_class` and `mass` are `method` and `mass` of `QuantumOneClass`: ``eigenspace`` is one observable,
    which costs as little however many normals it was learnt from.
    """

    qubits: int = 6
    layers: int = 3
    steps: int = 3000
    landmarks: int = 800
    references: int = 1500
    known: int = 600
    seed: int = 0
    one_class: OneClassMethod = "eigenspace"
    mass: float = 0.99


class ThreatModel:
    """Everything that scoring and explaining a flow needs.

    Built by `train`, kept by `save`, read by `load`.

    Attributes
    ----------
    name, version : how findings name it.
    usual_row : (d,) median of the benign training rows: the baseline of explanations.
    baseline : what drift is held against, None if it was never learnt.
    figures : what it reached on traffic it was neither trained nor calibrated on.
    threads : how many share a batch; scores do not depend on it.
    second : the second opinion that was trained to stand beside it, None if there is none.
    """

    threads: int = 1
    second: EvasionOpinion | None = None

    def __init__(
        self, bundle: Bundle, name: str, version: str, figures: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self.version, self.figures = name, version, dict(figures or {})
        self._bundle = bundle
        self._swapped = False
        self._preprocessor = bundle.part("preprocessor", Preprocessor)
        self._hybrid = bundle.part("hybrid", HybridClassifier)
        self._one_class = bundle.part("one_class", QuantumOneClass)
        self._fusion = bundle.part("fusion", ConformalFusion)
        self._twin_fusion = bundle.part("twin_fusion", ConformalFusion)
        self._kinds: list[str] = bundle.notes["kinds"]
        self._known_labels = bundle.arrays["known_labels"]
        self._known_states = self._hybrid.embed(bundle.arrays["known_inputs"])
        self.usual_row: F64 = bundle.arrays["usual_row"]
        if bundle.notes["behaviours"] != list(KINDS):
            raise ModelError(f"model {name} {version}", "is calibrated for other behaviours: train it anew")
        total = bundle.notes["calibration_flows"]
        self._alarms = [AlarmTable.read(bundle.arrays, f"{who}alarm_", total) for who in WHO]
        early = bundle.notes.get("early_calibration_flows", 0)
        self._early_alarms = [AlarmTable.read(bundle.arrays, f"{who}early_", early) for who in WHO if early]
        self.baseline = Baseline.read(bundle.arrays)
        known = "attack_margins" in bundle.arrays
        self._attacks = [AttackTable.read(bundle.arrays, f"{who}attack_") for who in WHO if known]
        self._scorer = _scorer(bundle)
        self._judge(self._alarms)
        self._judge(self._early_alarms, early=True)

    # -- making ------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        rows: F64,
        labels: npt.NDArray[np.str_],
        calibration: F64,
        *,
        names: Sequence[str],
        version: str,
        sample_weight: F64 | None = None,
        settings: ModelSettings = ModelSettings(),
        progress: Progress = SILENT,
    ) -> Self:
        """Train every member and every twin on the same rows, and calibrate both fusions alike.

        Parameters
        ----------
        rows : (n, d) feature rows, nan where unknown.
        labels : (n,) behaviour kinds, ``benign`` for benign flows.
        calibration : (m, d) rows of benign flows that are not among `rows`.
        names : of the d columns.
        """
        seed = settings.seed
        attack = (labels != "benign").astype(np.int64)
        preprocessor = Preprocessor().fit(rows, names=names)
        inputs = preprocessor.transform(rows)
        normal = inputs[attack == 0]
        members: dict[str, Estimator] = {
            "preprocessor": preprocessor,
            "hybrid": HybridClassifier(
                QNNClassifier(settings.qubits, settings.layers, settings.steps, seed=seed),
                landmarks=settings.landmarks, seed=seed,
            ).fit(inputs, attack, sample_weight, progress=progress),
            "one_class": QuantumOneClass(
                qubits=settings.qubits, reference_size=settings.references, seed=seed,
                method=settings.one_class, mass=settings.mass,
            ).fit(normal, progress=progress),
            "boosting": GradientBoostingTwin(seed=seed).fit(inputs, attack, sample_weight),
            "neighbours": NeighborDistanceTwin(reference_size=settings.references, seed=seed).fit(normal),
        }  # fmt: skip
        kinds = sorted(set(labels.tolist()))
        known = _sample_each(labels, kinds, settings.known, seed)
        arrays = {
            "usual_row": _medians(rows[attack == 0]),
            "known_inputs": inputs[known],
            "known_labels": np.array([kinds.index(kind) for kind in labels[known].tolist()], np.int64),
        }
        notes = {"kinds": kinds, "behaviours": list(KINDS)}
        calibrate(members, arrays, notes, calibration, seed)
        return cls(Bundle(members, notes, arrays), NAME, version)

    def relearn(self, normal: F64, calibration: F64, *, name: str, seed: int = 0) -> ThreatModel:
        """Return a model that knows this one's attacks and another network's normal traffic.

        What tells attacks stays; what knows normal traffic is learnt anew, and everything is calibrated
        anew, both fusions alike. Known attacks, and flows that still run, are to be calibrated again.

        Parameters
        ----------
        normal : (n, d) feature rows of that network's normal flows.
        calibration : (m, d) more of them.
        """
        inputs = self._preprocessor.transform(normal)
        kept = ("preprocessor", "hybrid", "boosting")
        old = self._bundle.part("neighbours", NeighborDistanceTwin)
        members: dict[str, Estimator] = {part: self._bundle.part(part, Estimator) for part in kept}
        one_class = QuantumOneClass(**self._one_class.get_params())
        members["one_class"] = one_class.fit(inputs)
        members["neighbours"] = NeighborDistanceTwin(**old.get_params()).fit(inputs)
        arrays = {name: self._bundle.arrays[name] for name in ("known_inputs", "known_labels")}
        arrays["usual_row"] = _medians(normal)
        notes = {"kinds": self._kinds, "behaviours": list(KINDS)}
        calibrate(members, arrays, notes, calibration, seed)
        return ThreatModel(Bundle(members, notes, arrays), name, "0")

    def calibrate_early(self, rows: F64) -> None:
        """Learn how suspicious benign flows look while they run: rows (m, d) of `EarlyLane`, held out."""
        named = name_behaviours(rows)
        for who, margins in zip(WHO, self._margins(rows), strict=True):
            self._bundle.arrays |= AlarmTable.of(margins, named).arrays(f"{who}early_")
        self._bundle.notes["early_calibration_flows"] = len(rows)
        self._early_alarms = [AlarmTable.read(self._bundle.arrays, f"{who}early_", len(rows)) for who in WHO]
        self._judge(self._early_alarms, early=True)

    def learn_baseline(self, rows: F64) -> None:
        """Learn what drift is held against: rows (m, d) of benign flows, none of training."""
        self.baseline = Baseline.of(rows, self._margins(rows)[0])
        self._bundle.arrays |= self.baseline.arrays()

    def calibrate_attacks(self, rows: F64, labels: npt.NDArray[np.str_]) -> None:
        """Learn how suspicious attacks look: rows (m, d), none of training, with the kinds they are of."""
        named = name_behaviours(rows)
        right = np.array((*KINDS, ""))[named] == labels
        self._attacks = [AttackTable.of(margins, named[right]) for margins in self._margins(rows[right])]
        for who, table in zip(WHO, self._attacks, strict=True):
            self._bundle.arrays |= table.arrays(f"{who}attack_")

    def save(self, folder: Path, key: SigningKey, *, created: str, fingerprint: str) -> None:
        """Write the model, signed by `key`, into `folder`."""
        save(
            self._bundle, folder, key, name=self.name, version=self.version, created=created,
            fingerprint=fingerprint, figures=self.figures,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, trusted: TrustedKeys) -> Self:
        """Read a model that a trusted key has signed; `ModelError` if anything is off."""
        stored = load(folder, trusted)
        if not isinstance(stored.model, Bundle):
            raise ModelError(folder, "holds no threat model")
        return cls(stored.model, stored.name, stored.version, stored.figures)

    # -- scoring -----------------------------------------------------------------------------------

    def score(self, rows: F64, named: I64, *, early: bool = False) -> Scores:
        """Score feature rows (n, d) that show the behaviours `named` (n,), as `name_behaviours` gives.

        Parameters
        ----------
        early : the flows still run: hold them against benign flows that did (`calibrate_early`).
        """
        found = self._scorer(rows, named, early=early, threads=self.threads)
        p_values, lead = found.p_values, int(self._swapped)
        return Scores(p_values[lead], 1.0 - p_values[lead], found.margins[lead], 1.0 - p_values[1 - lead])

    @property
    def looks_early(self) -> bool:
        """Whether it is calibrated for flows that still run."""
        return bool(self._early_alarms)

    def attack_p_value(self, margins: F64, named: I64) -> F64:
        """Return the share of known attacks of the behaviour that look at most as suspicious, (n,).

        1 where no attack of the behaviour is known. Source: Vovk et al. 2005, label-conditional conformal
        prediction: below a level, the flow is no such attack as are known.
        """
        if not self._attacks:
            return np.ones(len(margins))
        return self._attacks[int(self._swapped)].p_value(margins, named)

    def _margins(self, rows: F64) -> F64:
        """Return the fused evidence of the quantum members and of the twin, (2, n)."""
        return self._scorer(rows, np.full(len(rows), NO_BEHAVIOUR), threads=self.threads).margins

    def _judge(self, alarms: Sequence[AlarmTable], *, early: bool = False) -> None:
        """Let the scorer judge by alarm tables, the quantum members' and the twin's, if there are any."""
        if alarms:
            self._scorer.judged_by((self._fusion, alarms[0]), (self._twin_fusion, alarms[1]), early=early)

    @property
    def least_fpr(self) -> float:
        """The smallest p-value it can give: with a budget below that it never alarms."""
        return 1.0 / (self._alarms[0].total + 1.0)

    @property
    def least_early_fpr(self) -> float:
        """The smallest p-value it can give to a flow that still runs; 1 if it does not look at those."""
        return 1.0 / (self._early_alarms[0].total + 1.0) if self._early_alarms else 1.0

    @property
    def budget(self) -> float:
        """The false-positive budget it is meant for: `BUDGET`, or what its calibration flows allow."""
        return max(BUDGET, 2 * self.least_fpr)

    def twin(self) -> ThreatModel:
        """Return the same model with parts exchanged: the twin decides, the quantum model stands beside."""
        other = copy(self)
        other._swapped = not self._swapped
        other.second = None  # it has practised on what evades the quantum members
        return other

    def resources(self) -> Resources:
        """Return what the QNN's circuit asks of a device; scores are exact expectation values."""
        network = self._hybrid.embedding_
        circuit = cz_ring_reupload(network.qubits, network.layers, entangled=network.entangled)
        return Resources(
            qubits=circuit.qubits, depth=circuit.depth, two_qubit_gates=circuit.two_qubit_gates, shots=None
        )

    def twin_margin(self, rows: F64) -> F64:
        """Return the twin's fused evidence alone, (n,)."""
        margins: F64 = self._margins(rows)[1]
        return margins

    def logits(self, rows: F64) -> F64:
        """Return the hybrid member's log-odds, (n,)."""
        return self._hybrid.decision_function(self._preprocessor.transform(rows))

    def p_values(self, row: F64) -> dict[str, float]:
        """Return each quantum member's own p-value and the twin's fused one, of one row."""
        scores = self._scorer(row[None, :]).members
        parts = np.exp(-self._fusion.evidence(scores[:, :BOOSTING])[0])
        named = {name: float(p) for name, p in zip(MEMBERS, parts, strict=True)}
        named["twin"] = float(self._twin_fusion.p_value(scores[:, BOOSTING:])[0])
        return named

    def nearest(self, row: F64, count: int = 3) -> list[dict[str, Any]]:
        """Return the known training flows whose embedded states are nearest, by fidelity."""
        state = self._hybrid.embed(self._preprocessor.transform(row[None, :]))[0]
        fidelity = np.abs(self._known_states.conj() @ state) ** 2
        best = np.argsort(-fidelity, kind="stable")[:count]
        return [
            {"label": self._kinds[self._known_labels[at]], "fidelity": round(float(fidelity[at]), 6)}
            for at in best
        ]


def _scorer(bundle: Bundle) -> FlowScorer:
    """Return the compiled call that scores with these members."""
    return FlowScorer(
        bundle.part("preprocessor", Preprocessor),
        bundle.part("hybrid", HybridClassifier),
        bundle.part("one_class", QuantumOneClass),
        bundle.part("boosting", GradientBoostingTwin),
        bundle.part("neighbours", NeighborDistanceTwin),
    )


def calibrate(
    members: dict[str, Estimator],
    arrays: dict[str, npt.NDArray[Any]],
    notes: dict[str, Any],
    calibration: F64,
    seed: int,
) -> None:
    """Fit both fusions and both alarm tables to benign rows (m, d); add them to what is given."""
    named = name_behaviours(calibration)
    # The curves need thousands of flows, not all of them; the alarm tables count every one.
    curve = np.random.default_rng([seed, 3]).permutation(len(calibration))[:CURVE_FLOWS]
    scores = _scorer(Bundle(members))(calibration).members  # by the call that will score: ties stay ties
    for who, mine in zip(WHO, (scores[:, :BOOSTING], scores[:, BOOSTING:]), strict=True):
        fusion = ConformalFusion(combine="tippett", seed=seed).fit(mine[curve])
        members[f"{who}fusion"] = fusion
        arrays |= AlarmTable.of(-fusion.log_p(mine), named).arrays(f"{who}alarm_")
    notes["calibration_flows"] = len(calibration)


def _medians(rows: F64) -> F64:
    """Return the median of each column's known values, nan where there are none."""
    known = ~np.isnan(rows).all(axis=0)
    medians = np.full(rows.shape[1], np.nan)
    medians[known] = np.nanmedian(rows[:, known], axis=0)
    return medians


def _sample_each(
    labels: npt.NDArray[np.str_], kinds: Sequence[str], count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Return the indices of about `count` rows, as many of each kind as there are."""
    rng = np.random.default_rng([seed, 1])
    each = max(1, count // len(kinds))
    return np.concatenate([rng.permutation(np.flatnonzero(labels == kind))[:each] for kind in kinds])
