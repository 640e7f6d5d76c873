"""Evasion while detecting: a second opinion on flows that show a behaviour and stay under the budget.

::

    named behaviour, p above the budget ── preprocess ──┬── anchored: what an attacker cannot move back
                                                        ├── adversarial: every column, and mimicry's marks
                                                        └── autoencoder: of normal rows
                                                                 └── fusion ── p-value ── evading?

Whoever hides from the threat model keeps doing what has the name of an attack and lets the rest look like
normal traffic. Such a flow is asked about again, by models that have practised on rows which evaded this very
model (`evasion_training`); no other flow is. Its p-value is joint with its behaviour, as the threat model's
is: the share of held-out benign flows that would be asked about, show the same behaviour, and look at least
as much like an attack in hiding. It has a share of the false-positive budget, beside all of it for the model.

Start reading at `EvasionOpinion.evading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import ModelError
from qwarden.core.signing import SigningKey, TrustedKeys
from qwarden.detect.adversarial_training import Opinion
from qwarden.detect.behaviours import KINDS
from qwarden.detect.calibration import AlarmTable, AttackTable
from qwarden.learn import (
    Bundle,
    ConformalFusion,
    HybridClassifier,
    Preprocessor,
    QuantumAutoencoder,
    load,
    save,
)
from qwarden.quantum import RowScorer

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NAME: Final = "qwarden-evasion"
SHARE: Final = 0.1
"""Of the false-positive budget, beside all of it for the threat model. Settled on seeds 33000-33007 and on
the development day of a real PC, where three times as much raised two false findings."""

MEMBERS: Final = ("anchored", "adversarial", "autoencoder")


class EvasionOpinion:
    """What a second opinion says of flows that a threat model lets pass.

    Built by `evasion_training`, kept by `save`, read by `load`. It holds no state between calls, and what it
    says of a row depends on that row alone, to the last bit.

    Attributes
    ----------
    name, version : how findings name it.
    beside : name and version of the threat model that it was trained to stand beside; with another one, its
        p-values hold no promise.
    figures : what it reached on traffic it was neither trained nor calibrated on.
    """

    def __init__(
        self, bundle: Bundle, name: str = NAME, version: str = "1", figures: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self.version, self.figures = name, version, dict(figures or {})
        self._bundle = bundle
        notes, arrays = bundle.notes, bundle.arrays
        self.beside: str = notes["beside"]
        if notes["behaviours"] != list(KINDS):
            raise ModelError(f"model {name} {version}", "is calibrated for other behaviours: train it anew")
        self._preprocessor = bundle.part("preprocessor", Preprocessor)
        self._opinion = Opinion(
            bundle.part("anchored", HybridClassifier),
            bundle.part("adversarial", HybridClassifier),
            TrashScorer(bundle.part("autoencoder", QuantumAutoencoder)),
            arrays["anchors"],
            arrays["belongings"],
            notes["gate"],
            bundle.part("fusion", ConformalFusion),
        )
        self._alarms = AlarmTable.read(arrays, "alarm_", notes["calibration_flows"])
        self._attacks = AttackTable.read(arrays, "attack_")

    def save(self, folder: Path, key: SigningKey, *, created: str, fingerprint: str) -> None:
        """Write it, signed by `key`, into `folder`."""
        save(
            self._bundle, folder, key, name=self.name, version=self.version, created=created,
            fingerprint=fingerprint, figures=self.figures,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, trusted: TrustedKeys) -> Self:
        """Read a second opinion that a trusted key has signed; `ModelError` if anything is off."""
        stored = load(folder, trusted)
        try:
            return cls(stored.model, stored.name, stored.version, stored.figures)
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelError(folder, "holds no second opinion on evasion") from error

    # -- judging -----------------------------------------------------------------------------------

    def evading(self, rows: F64, named: I64, asked: Mask, fpr: float) -> Mask:
        """Say which of the flows asked about look like attacks in hiding, (n,); of the others, none.

        Parameters
        ----------
        rows : (n, d) feature rows.
        named : (n,) the behaviours they show.
        asked : (n,) flows that show one, and that the threat model lets pass.
        fpr : share of benign flows that may be raised as one kind.
        """
        found = np.zeros(len(rows), np.bool_)
        if asked.any():
            found[asked] = self.p_value(self.margin(rows[asked]), named[asked]) <= fpr
        return found

    def margin(self, rows: F64) -> F64:
        """Return the fused evidence that rows (n, d) hide an attack, (n,): -log p among benign flows."""
        return -self._opinion.log_p(self._preprocessor.transform(rows))

    def p_value(self, margins: F64, named: I64) -> F64:
        """Return what the evidence is worth, (n,).

        Of benign flows like the calibration flows, at most a share p is let pass by the threat model, shows
        the same behaviour and has a p-value of p or less.
        """
        return self._alarms.p_value(margins, named)

    def attack_p_value(self, margins: F64, named: I64) -> F64:
        """Return the share of known attacks of the behaviour with at most this evidence, (n,)."""
        return self._attacks.p_value(margins, named)

    def members(self, row: F64) -> dict[str, float]:
        """Return each member's own p-value of one row, (d,); 1 where it has nothing to say."""
        scores = self._opinion.scores(self._preprocessor.transform(row[None, :]))
        parts = np.exp(-self._opinion.fusion.evidence(scores)[0])
        return {name: float(p) for name, p in zip(MEMBERS, parts, strict=True)}

    @property
    def least_fpr(self) -> float:
        """The smallest p-value that it can give."""
        return 1.0 / (self._alarms.total + 1.0)


class TrashScorer:
    """An autoencoder as one observable: a row gives the same bits alone and in a batch of any size.

    Source: Romero, Olson & Aspuru-Guzik 2017; the states that leave clean trash span a space, and the trash
    fidelity is a state's mass inside it.
    """

    def __init__(self, autoencoder: QuantumAutoencoder) -> None:
        encoding, clean = autoencoder.encoding_, autoencoder._clean
        self._fidelity = RowScorer(
            encoding._map, encoding._weights, encoding._biases, encoding.mean_, clean.T @ clean.conj()
        )

    def strangeness(self, rows: F64) -> F64:
        """Return 1 less the trash fidelity, (n,)."""
        return 1.0 - np.clip(self._fidelity(rows), 0.0, 1.0)
