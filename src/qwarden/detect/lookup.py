"""Finding things again: a stored finding by its id, the flows of a capture."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from qwarden.core.config import DetectSettings
from qwarden.core.errors import UsageError
from qwarden.core.store import Store
from qwarden.detect.detector import meter_settings
from qwarden.detect.findings import Alert, Finding
from qwarden.formats import open_capture
from qwarden.formats.flows import FLOW, TCP_STATES, Flows, join_address, proto_name

_END_REASONS = ("idle", "active", "closed", "evicted", "end")
_DERIVED = {
    "src_hi",
    "src_lo",
    "dst_hi",
    "dst_lo",
    "src_mac",
    "start_ns",
    "end_ns",
    "proto",
    "tcp_state",
    "end_reason",
}


def stored_finding(store: Store, part: str) -> dict[str, Any]:
    """Return the document of the finding whose id, or the last group of it, begins with `part`.

    A finding that was still open when its run stopped is known by its alert.

    Raises
    ------
    UsageError
        No finding has it, or several have.
    """
    try:
        found = store.find(part, room=Finding.room, kind=Finding.kind)
    except UsageError:
        for alert in store.events(room=Alert.room, kind=Alert.kind, limit=1000):
            if isinstance(alert, Alert) and alert.finding_id == part:
                return alert.finding
        raise
    assert isinstance(found, Finding)
    return found.document()


@dataclass(frozen=True, slots=True)
class FlowTable:
    """The flows of one capture, in order of their first packet."""

    source: str
    flows: Flows
    problems: list[str]
    readable: bool = True

    def records(self) -> list[dict[str, Any]]:
        """Return one dict a flow; what is unknown is None."""
        return list(self._records())

    def write_csv(self, stream: TextIO) -> None:
        """Write a header and one line a flow; what is unknown is empty."""
        writer: csv.DictWriter[str] | None = None
        for record in self._records():
            if writer is None:
                writer = csv.DictWriter(stream, record, lineterminator="\n")
                writer.writeheader()
            writer.writerow(record)

    def _records(self) -> Iterator[dict[str, Any]]:
        plain = [name for name in FLOW.names or () if name not in _DERIVED]
        for flow in self.flows:
            yield {
                "start": int(flow["start_ns"]) / 1e9,
                "end": int(flow["end_ns"]) / 1e9,
                "src_ip": join_address(flow["src_hi"], flow["src_lo"]),
                "dst_ip": join_address(flow["dst_hi"], flow["dst_lo"]),
                "src_mac": _mac(int(flow["src_mac"])),
                "proto": proto_name(flow["proto"]),
                "tcp_state": TCP_STATES[flow["tcp_state"]] if flow["tcp_state"] >= 0 else None,
                "end_reason": _END_REASONS[flow["end_reason"]] if flow["end_reason"] >= 0 else None,
                **{name: _known(flow[name]) for name in plain},
            }


def flow_table(path: Path, settings: DetectSettings, limit: int = 0) -> FlowTable:
    """Read a capture's flows; the first `limit` of them, or all if it is 0."""
    with open_capture(path, meter_settings(settings)) as capture:
        parts = [batch.flows for batch in capture]
    flows = np.concatenate(parts) if parts else np.empty(0, FLOW)
    flows = flows[np.argsort(flows["seq"], kind="stable")]
    return FlowTable(str(path), flows[:limit] if limit else flows, list(capture.report.problems))


def _mac(value: int) -> str | None:
    return None if value < 0 else ":".join(f"{value:012x}"[at : at + 2] for at in range(0, 12, 2))


def _known(value: Any) -> int | float | None:
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value)
    return None if value < 0 else int(value)
