"""Evidence: the flow and the feature row behind a finding's score, kept so that anybody can do it again.

A finding keeps the most alarming flow and its feature row, bit for bit. `verify` derives the flow's own
columns from the flow once more, names its behaviour and scores the row; all must come out exactly the same.
Of a flow that only the second opinion raised, what that said is kept and derived again beside it.
What its hosts did lately is part of the row and is not derived again: that would take the whole capture.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR, name_behaviours
from qwarden.detect.features import FEATURE_NAMES, FLOW_NAMES, failed, own_columns
from qwarden.formats.flows import FLOW, NOT_YET_FIRST, Flows

if TYPE_CHECKING:
    from qwarden.detect.evasion import EvasionOpinion
    from qwarden.detect.model import ThreatModel

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the second opinion said of a flow that the threat model lets pass (`qwarden.detect.evasion`).

    Attributes
    ----------
    model : name and version of the second opinion.
    p_value, margin : what it said of this row alone.
    """

    model: str
    p_value: float
    margin: float

    @classmethod
    def of(cls, opinion: EvasionOpinion, row: F64, behaviour: int) -> Doubt:
        """Ask about one row by itself."""
        margin = opinion.margin(row[None, :])
        p_value = opinion.p_value(margin, np.array([behaviour], np.int64))
        return cls(f"{opinion.name} {opinion.version}", float(p_value[0]), float(margin[0]))


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
    doubt : what the second opinion said of it, if that alone raised the flow.
    """

    flow: Flows
    row: F64
    behaviour: int
    model: str
    p_value: float
    threat: float
    margin: float
    twin: float
    doubt: Doubt | None = None

    @classmethod
    def of(
        cls,
        model: ThreatModel,
        flow: Flows,
        row: F64,
        behaviour: int,
        early: bool = False,
        hiding: bool = False,
    ) -> Evidence:
        """Score one row by itself, and keep what that took.

        Parameters
        ----------
        early : the flow still ran.
        hiding : the second opinion alone raised it: ask that as well.
        """
        scores = model.score(row[None, :], np.array([behaviour], np.int64), early=early)
        second = model.second if hiding else None
        return cls(
            flow, row, behaviour, f"{model.name} {model.version}", float(scores.p_value[0]),
            float(scores.threat[0]), float(scores.margin[0]), float(scores.twin[0]),
            None if second is None else Doubt.of(second, row, behaviour),
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; `read` reads it."""
        told: dict[str, Any] = {
            "flow": base64.b64encode(self.flow.tobytes()).decode(),
            "row": base64.b64encode(self.row.astype("<f8").tobytes()).decode(),
            "behaviour": KINDS[self.behaviour],
            "model": self.model,
            "p_value": self.p_value,
            "threat_score": self.threat,
            "margin": self.margin,
            "twin_score": self.twin,
        }
        return told if self.doubt is None else told | {"second_opinion": asdict(self.doubt)}

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
            p_value, threat, margin, twin = (
                float(document[name]) for name in ("p_value", "threat_score", "margin", "twin_score")
            )
            said, doubt = document.get("second_opinion"), None
            if said is not None:
                doubt = Doubt(str(said["model"]), float(said["p_value"]), float(said["margin"]))
            kind, model = KINDS.index(document["behaviour"]), str(document["model"])
            return cls(flow, row, kind, model, p_value, threat, margin, twin, doubt)
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            problem = f"its evidence is missing, was changed, or is of another version: {error}"
            raise InputError(place, problem) from error

    def verify(self, model: ThreatModel) -> dict[str, Any]:
        """Derive the score once more with `model`; return what was found, ``verified`` if all is the same."""
        own = np.empty((1, len(FLOW_NAMES)))
        own_columns(self.flow, failed(self.flow), own)
        named = int(name_behaviours(self.row[None, :])[0])
        early = bool(self.flow["end_reason"][0] >= NOT_YET_FIRST)
        again = Evidence.of(model, self.flow, self.row, self.behaviour, early, self.doubt is not None)
        checks = {
            "model": again.model == self.model,
            "features": own.tobytes() == self.row[: len(FLOW_NAMES)].tobytes(),
            "behaviour": named == self.behaviour,
            "score": (again.p_value, again.threat, again.margin, again.twin)
            == (self.p_value, self.threat, self.margin, self.twin),
        }
        if self.doubt is not None:
            checks["second_opinion"] = again.doubt == self.doubt
        return {
            "verified": all(checks.values()),
            "checks": checks,
            "stored": _figures(self),
            "derived": {
                "kind": KINDS[named] if named != NO_BEHAVIOUR else None,
                "model": again.model,
                **_figures(again),
            },
            **({} if self.doubt is None else {"second_opinion": _doubts(self.doubt, again.doubt)}),
        }


def _figures(evidence: Evidence) -> dict[str, float]:
    return {
        "p_value": evidence.p_value,
        "threat_score": evidence.threat,
        "margin": evidence.margin,
        "twin_score": evidence.twin,
    }


def _doubts(stored: Doubt, derived: Doubt | None) -> dict[str, Any]:
    return {"stored": asdict(stored), "derived": None if derived is None else asdict(derived)}
