"""What a block has told the world: every bit of it that depends on the key, by the step that told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class LeakLedger:
    """Counts disclosed bits of one block; both ends keep one and they must agree.

    Parameters
    ----------
    entries : bits by step, in the order in which steps first disclosed something.

    Examples
    --------
    >>> ledger = LeakLedger()
    >>> ledger.note("reconciliation", 812), ledger.note("verification", 64)
    (None, None)
    >>> ledger.total, dict(ledger.entries)
    (876, {'reconciliation': 812, 'verification': 64})
    """

    entries: dict[str, int] = field(default_factory=dict)

    def note(self, step: str, bits: int) -> None:
        """Add disclosed bits.

        Raises
        ------
        ValueError
            The number is negative: nothing that was told is ever taken back.
        """
        if bits < 0:
            raise ValueError(f"{step}: {bits} disclosed bits")
        self.entries[step] = self.entries.get(step, 0) + bits

    @property
    def total(self) -> int:
        """All bits disclosed so far."""
        return sum(self.entries.values())

    def frozen(self) -> Mapping[str, int]:
        """Return a copy for the record."""
        return dict(self.entries)
