"""What scores are held against: evidence of benign flows, and of known attacks, by behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qwarden.detect._score_loops import alarm_p
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]


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

        Evidence below what was kept counts as below all of them: p is never understated. Evidence that is
        less by no more than rounding (`TIE`) counts as equal.
        """
        found = [
            alarm_p(margin, behaviour, self.scores, self.starts, self.counts, self.total)
            for margin, behaviour in zip(margins.tolist(), named.tolist(), strict=True)
        ]
        return np.array(found)

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays under names that begin with `prefix`; `read` reads them."""
        return {f"{prefix}{part}": getattr(self, part) for part in ("scores", "starts", "counts")}

    @classmethod
    def read(cls, arrays: Arrays, prefix: str, total: int) -> AlarmTable:
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
    def read(cls, arrays: Arrays, prefix: str) -> AttackTable:
        """Read what `arrays` wrote."""
        return cls(arrays[f"{prefix}margins"], arrays[f"{prefix}starts"])
