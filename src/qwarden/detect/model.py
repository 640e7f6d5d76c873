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
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.measure import Resources
from qwarden.core.progress import SILENT, Progress
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.drift import Baseline
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

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

NAME: Final = "qwarden-hybrid"

MEMBERS: Final = ("hybrid", "one_class")
WHO: Final = ("", "twin_")
"""Prefixes of what the quantum members and their twin keep."""
CURVE_FLOWS: Final = 20_000
_BATCH: Final = 1 << 14


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


@dataclass(frozen=True, slots=True)
class AlarmTable:
    """Evidence of the benign calibration flows, by the behaviour they show.

    `scores[starts[k]:starts[k + 1]]`, ascending, is the greatest evidence among those that show
    behaviour k, at most `KEPT` of them; `counts[k]` is how many show it. The last block stands for
    flows that show none. `total` counts all calibration flows.
    """

    scores: F64
    starts: I64
    counts: I64
    total: int

    KEPT: ClassVar[int] = 2000

    @classmethod
    def of(cls, margins: F64, named: I64) -> AlarmTable:
        """Sort the evidence (n,) of benign flows by their behaviour (n,)."""
        blocks = [np.sort(margins[named == at]) for at in (*range(len(KINDS)), NO_BEHAVIOUR)]
        kept = [block[-cls.KEPT :] for block in blocks]
        return cls(
            np.concatenate(kept),
            np.cumsum([0, *map(len, kept)]).astype(np.int64),
            np.array([len(block) for block in blocks], np.int64),
            len(margins),
        )

    def p_value(self, margins: F64, named: I64) -> F64:
        """Return (1 + benign flows of the same behaviour with at least this evidence) / (all + 1), (n,).

        Evidence below what was kept counts as below all of them: p is never understated.
        """
        above = np.empty(len(margins))
        for behaviour in set(named.tolist()):
            mine, at = named == behaviour, behaviour % len(self.counts)  # NO_BEHAVIOUR, -1, is the last
            block = self.scores[self.starts[at] : self.starts[at + 1]]
            found = len(block) - np.searchsorted(block, margins[mine], "left")
            above[mine] = np.where(found < len(block), found, self.counts[at])
        return (1.0 + above) / (self.total + 1.0)

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays under names that begin with `prefix`; `read` reads them."""
        return {f"{prefix}{part}": getattr(self, part) for part in ("scores", "starts", "counts")}

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str, total: int) -> AlarmTable:
        """Read what `arrays` wrote."""
        scores, starts, counts = (arrays[f"{prefix}{part}"] for part in ("scores", "starts", "counts"))
        return cls(scores, starts, counts, total)


@dataclass(frozen=True, slots=True)
class AttackTable:
    """Evidence of known attacks, by behaviour: `margins[starts[k]:starts[k + 1]]` is that of k, ascending."""

    margins: F64
    starts: I64

    @classmethod
    def of(cls, margins: F64, named: I64) -> AttackTable:
        """Sort the evidence (n,) of attacks by their behaviour (n,)."""
        blocks = [np.sort(margins[named == at]) for at in range(len(KINDS))]
        return cls(np.concatenate(blocks), np.cumsum([0, *map(len, blocks)]).astype(np.int64))

    def p_value(self, margins: F64, named: I64) -> F64:
        """Return (1 + attacks of the same behaviour with at most this evidence) / (those + 1), (n,)."""
        found = np.ones(len(margins))
        for behaviour in set(named.tolist()) - {NO_BEHAVIOUR}:
            mine = named == behaviour
            block = self.margins[self.starts[behaviour] : self.starts[behaviour + 1]]
            found[mine] = (1.0 + np.searchsorted(block, margins[mine], "right")) / (len(block) + 1.0)
        return found

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays under names that begin with `prefix`; `read` reads them."""
        return {f"{prefix}margins": self.margins, f"{prefix}starts": self.starts}

    @classmethod
    def read(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> AttackTable:
        """Read what `arrays` wrote."""
        return cls(arrays[f"{prefix}margins"], arrays[f"{prefix}starts"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a threat model is trained: the QNN's size and steps, and how many flows are remembered."""

    qubits: int = 6
    layers: int = 3
    steps: int = 3000
    landmarks: int = 800
    references: int = 1500
    known: int = 600
    seed: int = 0


class ThreatModel:
    """Everything that scoring and explaining a flow needs.

    Built by `train`, kept by `save`, read by `load`.

    Attributes
    ----------
    name, version : how findings name it.
    usual_row : (d,) median of the benign training rows: the baseline of explanations.
    baseline : what drift is held against, None if it was never learnt.
    figures : what it reached on traffic it was neither trained nor calibrated on.
    """

    def __init__(
        self, bundle: Bundle, name: str, version: str, figures: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self.version, self.figures = name, version, dict(figures or {})
        self._bundle = bundle
        self._swapped = False
        self._preprocessor = bundle.part("preprocessor", Preprocessor)
        self._hybrid = bundle.part("hybrid", HybridClassifier)
        self._one_class = bundle.part("one_class", QuantumOneClass)
        self._boosting = bundle.part("boosting", GradientBoostingTwin)
        self._neighbours = bundle.part("neighbours", NeighborDistanceTwin)
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
                qubits=settings.qubits, reference_size=settings.references, seed=seed
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
        held_out = preprocessor.transform(calibration)
        named = name_behaviours(calibration)
        # The curves need thousands of flows, not all of them; the alarm tables count every one.
        curve = np.random.default_rng([seed, 3]).permutation(len(held_out))[:CURVE_FLOWS]
        for who, supervised, one_class in (("", "hybrid", "one_class"), ("twin_", "boosting", "neighbours")):
            scores = _suspicion(members[supervised], members[one_class], held_out)
            fusion = ConformalFusion(combine="tippett", seed=seed).fit(scores[curve])
            members[f"{who}fusion"] = fusion
            arrays |= AlarmTable.of(-fusion.log_p(scores), named).arrays(f"{who}alarm_")
        notes = {"kinds": kinds, "behaviours": list(KINDS), "calibration_flows": len(calibration)}
        return cls(Bundle(members, notes, arrays), NAME, version)

    def calibrate_early(self, rows: F64) -> None:
        """Learn how suspicious benign flows look while they run: rows (m, d) of `EarlyLane`, held out."""
        named = name_behaviours(rows)
        for who, margins in zip(WHO, self._margins(rows), strict=True):
            self._bundle.arrays |= AlarmTable.of(margins, named).arrays(f"{who}early_")
        self._bundle.notes["early_calibration_flows"] = len(rows)
        self._early_alarms = [AlarmTable.read(self._bundle.arrays, f"{who}early_", len(rows)) for who in WHO]

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
        margins = self._margins(rows)
        alarms = self._early_alarms if early else self._alarms
        p_values = [table.p_value(margin, named) for table, margin in zip(alarms, margins, strict=True)]
        lead = int(self._swapped)
        return Scores(p_values[lead], 1.0 - p_values[lead], margins[lead], 1.0 - p_values[1 - lead])

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
        margins = np.empty((2, len(rows)))
        for at in range(0, len(rows), _BATCH):
            inputs = self._preprocessor.transform(rows[at : at + _BATCH])
            margins[0, at : at + _BATCH] = -self._fusion.log_p(self._members(inputs))
            margins[1, at : at + _BATCH] = -self._twin_fusion.log_p(self._twin_members(inputs))
        return margins

    @property
    def least_fpr(self) -> float:
        """The smallest p-value it can give: with a budget below that it never alarms."""
        return 1.0 / (self._alarms[0].total + 1.0)

    def twin(self) -> ThreatModel:
        """Return the same model with parts exchanged: the twin decides, the quantum model stands beside."""
        other = copy(self)
        other._swapped = not self._swapped
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
        return -self._twin_fusion.log_p(self._twin_members(self._preprocessor.transform(rows)))

    def logits(self, rows: F64) -> F64:
        """Return the hybrid member's log-odds, (n,)."""
        return self._hybrid.decision_function(self._preprocessor.transform(rows))

    def p_values(self, row: F64) -> dict[str, float]:
        """Return each quantum member's own p-value and the twin's fused one, of one row."""
        inputs = self._preprocessor.transform(row[None, :])
        parts = np.exp(-self._fusion.evidence(self._members(inputs))[0])
        named = {name: float(p) for name, p in zip(MEMBERS, parts, strict=True)}
        named["twin"] = float(self._twin_fusion.p_value(self._twin_members(inputs))[0])
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

    def _members(self, inputs: F64) -> F64:
        return _suspicion(self._hybrid, self._one_class, inputs)

    def _twin_members(self, inputs: F64) -> F64:
        return _suspicion(self._boosting, self._neighbours, inputs)


def _suspicion(supervised: Any, one_class: Any, inputs: F64) -> F64:
    """Return (n, 2), higher is more suspicious: log-odds of an attack, strangeness among normals."""
    return np.column_stack([supervised.decision_function(inputs), one_class.strangeness(inputs)])


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
