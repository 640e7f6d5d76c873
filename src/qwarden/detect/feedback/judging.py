"""Which of two models is better: on verdicts that were held back, and on the traffic range.

On verdicts, a cause is what counts: an attack is found when one of its flows alarms, a dismissed cause is
false when one of its flows does. The error is the mean of the two shares, of those classes that there are.
On the range, an attack is found likewise, and benign flows that alarm are counted. Both models see the same
rows, at the same budget. A flow alarms as it does in the detector, by score and named behaviour; contacts
that a finding must show are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.behaviours import NO_BEHAVIOUR, name_behaviours
from qwarden.detect.feedback.answers import Answer

if TYPE_CHECKING:
    from qwarden.detect.feedback.range_table import RangeTable
    from qwarden.detect.model import ThreatModel

F64 = npt.NDArray[np.float64]

LOST: Final = 0.02
"""Share of the range's attacks that a better model may find less: one in fifty."""
MORE_FALSE: Final = 0.1
"""Share by which it may alarm on more benign flows of the range: one in ten more, and never less than
`MORE_PER_1000` in 1,000, which is one flow or two."""
MORE_PER_1000: Final = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model reaches.

    Attributes
    ----------
    attacks, found : causes of attacks, and those of which a flow alarms.
    benign, false : dismissed causes, and those of which a flow alarms.
    range_attacks, range_recall : attacks of the range, and the share found.
    range_false_per_1000 : benign flows of the range that alarm, in 1,000.
    """

    attacks: int
    found: int
    benign: int
    false: int
    range_attacks: int
    range_recall: float
    range_false_per_1000: float

    @property
    def error(self) -> float:
        """Mean of the share of attacks missed and the share of dismissed causes told."""
        shares = []
        if self.attacks:
            shares.append(1.0 - self.found / self.attacks)
        if self.benign:
            shares.append(self.false / self.benign)
        return sum(shares) / len(shares) if shares else 0.0

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "held_back_attacks": self.attacks, "held_back_found": self.found,
            "held_back_dismissed": self.benign, "held_back_false": self.false,
            "held_back_error": round(self.error, 4), "range_attacks": self.range_attacks,
            "range_recall": round(self.range_recall, 4),
            "range_false_per_1000": round(self.range_false_per_1000, 4),
        }  # fmt: skip


def judge(model: ThreatModel, held_back: Sequence[Answer], table: RangeTable, fpr: float) -> Figures:
    """Return what a model reaches on answers held back and on the range's rows to judge by."""
    causes: dict[tuple[str, bool], bool] = {}
    for answer in held_back:
        key = (answer.cause, answer.attack)
        told = bool((model.score(answer.rows, answer.named).p_value <= fpr).any())
        causes[key] = causes.get(key, False) or told
    attacks = [told for (_, attack), told in causes.items() if attack]
    benign = [told for (_, attack), told in causes.items() if not attack]
    named = name_behaviours(table.judge)
    alarms = (model.score(table.judge, named).p_value <= fpr) & (named != NO_BEHAVIOUR)
    numbers = np.unique(table.judge_attacks[table.judge_attacks > 0])
    found = np.unique(table.judge_attacks[alarms & (table.judge_attacks > 0)])
    harmless = table.judge_attacks == 0
    return Figures(
        len(attacks), sum(attacks), len(benign), sum(benign), len(numbers),
        len(found) / max(len(numbers), 1), 1000.0 * float(alarms[harmless].mean()) if harmless.any() else 0.0,
    )  # fmt: skip


def shortcomings(new: Figures, old: Figures) -> list[str]:
    """Return why a new model is not to take the place of the old one; nothing if it is better.

    >>> old = Figures(4, 4, 3, 3, 72, 0.97, 0.3)
    >>> shortcomings(Figures(4, 4, 3, 0, 72, 0.97, 0.3), old)
    []
    >>> shortcomings(Figures(4, 4, 3, 0, 72, 0.9, 0.3), old)
    ['finds 0.900 of the attacks of the traffic range; the model in use, 0.970']
    """
    found = []
    if not new.error < old.error:
        found.append(
            f"is wrong on {new.error:.3f} of the verdicts held back; the model in use, on {old.error:.3f}"
        )
    if new.range_recall < old.range_recall - LOST:
        found.append(
            f"finds {new.range_recall:.3f} of the attacks of the traffic range; "
            f"the model in use, {old.range_recall:.3f}"
        )
    more = max(MORE_FALSE * old.range_false_per_1000, MORE_PER_1000)
    if new.range_false_per_1000 > old.range_false_per_1000 + more:
        found.append(
            f"alarms on {new.range_false_per_1000:.2f} in 1,000 benign flows of the traffic range; "
            f"the model in use, on {old.range_false_per_1000:.2f}"
        )
    return found
