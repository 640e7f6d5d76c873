"""What every reader yields, whatever it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from qwarden.formats.accounting import SourceReport
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import Flows
from qwarden.formats.transactions import Transaction


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Flows that ended (a view, valid until the next batch), and what is still to come; see `FlowBatch`."""

    flows: Flows
    watermark_ns: int
    epoch: int
    alerts: tuple[SignatureAlert, ...] = ()
    flow_ids: tuple[str, ...] = ()
    transactions: tuple[Transaction, ...] = ()


class Stream(Protocol):
    """A source being read: iterate it once for its batches; `report` grows as it is read."""

    report: SourceReport

    def __iter__(self) -> Iterator[RawBatch]:
        """Yield batches to the end of the source."""
