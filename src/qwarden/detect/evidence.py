"""Evidence: the flow and the feature row behind a finding's score, kept so that anybody can do it again.

A finding keeps the most alarming flow and its feature row, bit for bit. `verify` derives the flow's own
columns from the flow once more, names its behaviour and scores the row; all must come out exactly the same.
What its hosts did lately is part of the row and is not derived again: that would take the whole capture.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.features import FEATURE_NAMES, FLOW_NAMES, failed, own_columns
from qwarden.formats.flows import FLOW, NOT_YET_FIRST, Flows

if TYPE_CHECKING:
    from qwarden.detect.model import ThreatModel

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a score rests on.

    Attributes
    ----------
    flow : (1,) row of `FLOW`.
    row : (d,) feature row, columns as `FEATURE_NAMES`.
    behaviour : index into `BEHAVIOURS`.
    model : name and version of what scored it.
    p_value, threat, margin, twin : what it said of this row alone.
    """

    flow: Flows
    row: F64
    behaviour: int
    model: str
    p_value: float
    threat: float
    margin: float
    twin: float

    @classmethod
    def of(cls, model: ThreatModel, flow: Flows, row: F64, behaviour: int, early: bool = False) -> Evidence:
        """Score one row by itself, and keep what that took; `early`: the flow still ran."""
        scores = model.score(row[None, :], np.array([behaviour], np.int64), early=early)
        return cls(
            flow, row, behaviour, f"{model.name} {model.version}", float(scores.p_value[0]),
            float(scores.threat[0]), float(scores.margin[0]), float(scores.twin[0]),
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; `read` reads it."""
        return {
            "flow": base64.b64encode(self.flow.tobytes()).decode(),
            "row": base64.b64encode(self.row.astype("<f8").tobytes()).decode(),
            "behaviour": KINDS[self.behaviour],
            "model": self.model,
            "p_value": self.p_value,
            "threat_score": self.threat,
            "margin": self.margin,
            "twin_score": self.twin,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], place: str) -> Evidence:
        """Read what `document` wrote.

        Raises
        ------
        InputError
            It is of a version with other columns, or was changed. `place` says whose it is.
        """
        try:
            flow = np.frombuffer(base64.b64decode(document["flow"], validate=True), FLOW)
            row = np.frombuffer(base64.b64decode(document["row"], validate=True), "<f8").astype(float)
            if flow.size != 1 or row.size != len(FEATURE_NAMES):
                raise ValueError(f"{flow.size} flows, {row.size} columns")
            figures = (float(document[name]) for name in ("p_value", "threat_score", "margin", "twin_score"))
            return cls(flow, row, KINDS.index(document["behaviour"]), str(document["model"]), *figures)
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            problem = f"its evidence is missing, was changed, or is of another version: {error}"
            raise InputError(place, problem) from error

    def verify(self, model: ThreatModel) -> dict[str, Any]:
        """Derive the score once more with `model`; return what was found, ``verified`` if all is the same."""
        own = np.empty((1, len(FLOW_NAMES)))
        own_columns(self.flow, failed(self.flow), own)
        named = int(name_behaviours(self.row[None, :])[0])
        early = bool(self.flow["end_reason"][0] >= NOT_YET_FIRST)
        again = Evidence.of(model, self.flow, self.row, self.behaviour, early)
        checks = {
            "model": again.model == self.model,
            "features": own.tobytes() == self.row[: len(FLOW_NAMES)].tobytes(),
            "behaviour": named == self.behaviour,
            "score": (again.p_value, again.threat, again.margin, again.twin)
            == (self.p_value, self.threat, self.margin, self.twin),
        }
        return {
            "verified": all(checks.values()),
            "checks": checks,
            "stored": _figures(self),
            "derived": {
                "kind": KINDS[named] if named != NO_BEHAVIOUR else None,
                "model": again.model,
                **_figures(again),
            },
        }


def _figures(evidence: Evidence) -> dict[str, float]:
    return {
        "p_value": evidence.p_value,
        "threat_score": evidence.threat,
        "margin": evidence.margin,
        "twin_score": evidence.twin,
    }
