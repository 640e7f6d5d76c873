"""Finding things again: a stored finding by its id, the flows of a capture, a model by its name."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from qwarden.core.config import DetectSettings
from qwarden.core.errors import UnreadableError, UsageError
from qwarden.core.signing import SigningKey
from qwarden.core.store import Store
from qwarden.detect.archive import Archived, Query
from qwarden.detect.behaviours import KINDS, NO_BEHAVIOUR
from qwarden.detect.detector import meter_settings
from qwarden.detect.evidence import Evidence
from qwarden.detect.findings import Alert, Finding
from qwarden.detect.model import ThreatModel
from qwarden.detect.shipped import FOLDER, load_default_model, second_opinion, shipped_key
from qwarden.formats import open_capture
from qwarden.formats.captures import WITHOUT_FLOWS
from qwarden.formats.flows import FLOW, PROTO_ARP, TCP_STATES, Flows, join_address, proto_name
from qwarden.formats.kinds import ZEEK_TRANSACTIONS
from qwarden.learn import load
from qwarden.learn.registry import Entry, Origin, Registry

SHIPPED: Final = "shipped"
"""What the registry calls the model that came with the program."""

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


def find_model(home: Path, reference: str | None = None) -> ThreatModel:
    """Return the model called ``NAME`` or ``NAME@VERSION``; without one, the promoted, else the shipped one.

    Raises
    ------
    UsageError
        There is none of that name.
    ModelError
        It was changed, is foreign, or no longer fits this version. Nothing else is taken in its place.
    """
    registry = model_registry(home)
    reference = reference or registry.active_reference()
    if reference is None:
        return load_default_model()
    entry = registry.get(reference)
    if entry.name == SHIPPED:
        return load_default_model()
    model = ThreatModel.load(entry.folder, registry.trusted)
    model.second = second_opinion(model, entry.folder, registry.trusted)
    return model


def model_registry(home: Path) -> Registry:
    """Return the threat models of a home; the shipped one is among them, as `SHIPPED`."""
    key = SigningKey.load_or_create(home / "keys")
    return Registry(home / "models" / "detect", key, {SHIPPED: _shipped}, shipped_key())


@cache
def _shipped() -> Entry:
    stored = load(FOLDER, shipped_key())
    return Entry(
        name=SHIPPED,
        version=stored.version,
        created=stored.created,
        origin=Origin(
            data=str(stored.figures.get("trained_on", "traffic range")),
            fingerprint=stored.fingerprint,
            split="by seed: training, calibration and choice of settings each have their own",
        ),
        figures=stored.figures,
        key_id=stored.key_id,
        folder=FOLDER,
    )


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """A finding as the store has it: closed, or as it was when it opened.

    Attributes
    ----------
    id : the full one.
    document : as `qwarden detect --json` prints it.
    evidence : as `qwarden.detect.evidence` writes it; empty if it was stored before there was any.
    """

    id: str
    document: dict[str, Any]
    evidence: dict[str, Any]


def find_finding(store: Store, part: str) -> StoredFinding:
    """Return the finding whose id, or the last group of it, begins with `part`.

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
            if isinstance(alert, Alert) and part in (alert.finding_id, alert.finding_id.rpartition("-")[2]):
                return StoredFinding(alert.finding_id, alert.finding, alert.evidence)
        raise
    assert isinstance(found, Finding)
    return StoredFinding(found.id, found.document(), found.evidence)


def stored_finding(store: Store, part: str) -> dict[str, Any]:
    """Return the document of a finding; see `find_finding`."""
    return find_finding(store, part).document


def verify_finding(store: Store, home: Path, part: str) -> dict[str, Any]:
    """Derive a finding's score again from its stored flow, with the model that gave it.

    Returns
    -------
    ``verified``, the checks, and both the stored and the derived figures (`Evidence.verify`).

    Raises
    ------
    UsageError
        There is no such finding, or its model is not here any more.
    InputError
        Its evidence is missing or was changed.
    """
    found = find_finding(store, part)
    evidence = Evidence.read(found.evidence, f"finding {found.id}")
    model = _model_called(home, evidence.model)
    return {"id": found.id, "kind": found.document["kind"], **evidence.verify(model)}


def _model_called(home: Path, called: str) -> ThreatModel:
    name, _, version = called.rpartition(" ")
    shipped = load_default_model()
    if (shipped.name, shipped.version) == (name, version):
        return shipped
    return find_model(home, f"{name}@{version}")


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Flows as people read them, in order of their first packet.

    Attributes
    ----------
    source : where they are from.
    flows : (n,) rows of `FLOW`.
    beside : columns that stand before the flow's own, (n,) each.
    """

    source: str
    flows: Flows
    problems: list[str]
    readable: bool = True
    beside: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def head(self, count: int) -> FlowTable:
        """Return the first flows."""
        beside = {name: column[:count] for name, column in self.beside.items()}
        return replace(self, flows=self.flows[:count], beside=beside)

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
        for at, flow in enumerate(self.flows):
            yield {
                **{name: column[at] for name, column in self.beside.items()},
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


def archived_table(found: Archived) -> FlowTable:
    """Return flows from the archive: what they are called, behaviour and score, whether they alarmed."""
    kinds = [None if at == NO_BEHAVIOUR else KINDS[at] for at in found.behaviours.tolist()]
    threat = [None if math.isnan(score) else score for score in found.threat.tolist()]
    beside = {"id": found.ids(), "kind": kinds, "threat_score": threat, "alarming": found.told.tolist()}
    return FlowTable("archive", found.flows, [], beside=beside)


def finding_query(finding: Mapping[str, Any]) -> Query:
    """Return the query for the alarming flows of a finding's document."""
    return Query(
        source=finding["src_ip"] if finding["sources"] == 1 else None,
        destination=finding["dst_ip"] if finding["destinations"] == 1 else None,
        since=finding["start"],
        until=finding["end"],
        kind=finding["kind"],
        told=True,
    )


def protocol_number(name: str) -> int:
    """Return the protocol number of a name as `proto_name` gives it.

    Raises
    ------
    UsageError
        It is none.
    """
    for number in (1, 6, 17, 58, PROTO_ARP):
        if proto_name(number) == name.lower():
            return number
    if not name.isdecimal():
        raise UsageError(f"protocol {name}: expected tcp, udp, icmp, icmpv6, arp or a number")
    return int(name)


def flow_table(path: Path, settings: DetectSettings, limit: int = 0) -> FlowTable:
    """Read a capture's flows; the first `limit` of them, or all if it is 0.

    Raises
    ------
    UnreadableError
        There is nothing to read, or nothing that has flows of its own.
    """
    with open_capture(path, meter_settings(settings)) as capture:
        parts = [batch.flows for batch in capture]
    if not any(map(len, parts)) and capture.report.format.removesuffix("+gzip") in ZEEK_TRANSACTIONS:
        raise UnreadableError(path, WITHOUT_FLOWS)
    flows = np.concatenate(parts) if parts else np.empty(0, FLOW)
    flows = flows[np.argsort(flows["seq"], kind="stable")]
    return FlowTable(str(path), flows[:limit] if limit else flows, list(capture.report.problems))


def _mac(value: int) -> str | None:
    return None if value < 0 else ":".join(f"{value:012x}"[at : at + 2] for at in range(0, 12, 2))


def _known(value: Any) -> int | float | None:
    if isinstance(value, np.floating):
        return None if np.isnan(value) else float(value)
    return None if value < 0 else int(value)
