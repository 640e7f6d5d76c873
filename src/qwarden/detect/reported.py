"""What other detectors told: alerts of Suricata, notices of Zeek, as findings that name them as their source.

One exploit packet inside an ordinary exchange is invisible to flow statistics; a signature may have seen it.
Such a finding has the kind ``reported``, the severity that its source gave it, and no score: no model judged
it. Of Suricata's alerts those of priority 1 and 2 raise a finding, of Zeek's notices those that speak of an
attack; all others only stand beside a finding about the same hosts (`enrichment`).

Source: Suricata's documentation of the keyword ``priority``; Zeek's scripts below ``policy/``, which name
notices. What one detector tells of the same two hosts is one finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from qwarden.core.lists import IGNORE, Lists, Subject
from qwarden.detect.findings import Alert, Finding, derived_id
from qwarden.detect.open_finding import REMEMBERED
from qwarden.detect.transactions import TransactionBook
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import proto_name

REPORTED: Final = "reported"

ATTACKS: Final = (
    "Scan::", "SSH::Password_Guessing", "FTP::Bruteforcing", "Heartbleed::", "HTTP::SQL_Injection",
    "Intel::", "TeamCymruMalwareHashRegistry::", "SMTP::Suspicious", "Exploit", "Signatures::",
)  # fmt: skip
"""How the names of Zeek's notices begin that speak of an attack."""

MOST: Final = 4096
"""Findings of this sort that are open at once; what comes beyond them is counted, not told."""

_SEVERITY: Final = {1: "high", 2: "medium"}


@dataclass(slots=True)
class _Open:
    id: str
    gravest: SignatureAlert
    first_ns: int
    last_ns: int
    count: int = 0
    signatures: set[str] = field(default_factory=set)
    flow_ids: set[str] = field(default_factory=set)

    def take(self, alert: SignatureAlert) -> None:
        if _grade(alert) < _grade(self.gravest):
            self.gravest = alert
        self.first_ns, self.last_ns = min(self.first_ns, alert.time_ns), max(self.last_ns, alert.time_ns)
        self.count += 1
        self.signatures.add(alert.signature.partition(": ")[0])
        if len(self.flow_ids) < REMEMBERED:
            self.flow_ids.add(alert.flow_id)


class ReportedBook:
    """Groups what one detector tells of two hosts into findings.

    Parameters
    ----------
    source : where the alerts come from.
    lists : people's exceptions.
    context : sources, destinations, first and last nanosecond, and what was said, to what is known beside.
    transactions : knows what was said within the flows of the alerts.

    Attributes
    ----------
    suppressed : alerts that an exception holds back.
    beyond : alerts that were not told because `MOST` findings are open.
    """

    def __init__(
        self,
        source: str,
        lists: Lists,
        context: Callable[..., dict[str, Any]],
        transactions: TransactionBook,
    ) -> None:
        self.suppressed = self.beyond = 0
        self._source, self._lists, self._context = source, lists, context
        self._transactions = transactions
        self._open: dict[tuple[object, ...], _Open] = {}

    def add(self, alert: SignatureAlert) -> Alert | None:
        """Take an alert; return the notice of the finding that it opens, if it opens one."""
        if not raises(alert):
            return None
        self._transactions.want(alert.flow_id)
        key = (_teller(alert), alert.src_ip, alert.dst_ip)
        known = self._open.get(key)
        if known is not None:
            known.take(alert)
            return None
        if self._lists.match(IGNORE, _subject(alert), at=alert.time_ns / 1e9) is not None:
            self.suppressed += 1
            return None
        if len(self._open) >= MOST:
            self.beyond += 1
            return None
        millisecond = alert.time_ns // 1_000_000
        id = derived_id(millisecond, " ".join(map(str, (*key, alert.signature, alert.time_ns))).encode())
        known = self._open[key] = _Open(id, alert, alert.time_ns, alert.time_ns)
        known.take(alert)
        finding = self._finding(known)
        return Alert(
            id=derived_id(millisecond, f"alert {id}".encode()), time=finding.time, finding_id=id,
            finding=finding.document(), raised=finding.time,
        )  # fmt: skip

    def close(self) -> list[Finding]:
        """Return all findings, with their last figures."""
        closed = [self._finding(known) for known in self._open.values()]
        self._open.clear()
        return closed

    def _finding(self, known: _Open) -> Finding:
        alert, others = known.gravest, len(known.signatures) - 1
        port = alert.dst_port if alert.dst_port >= 0 else None
        ends = [[end] if end else [] for end in (alert.src_ip, alert.dst_ip)]
        more = f" and {others} other signature{'s' * (others > 1)}" if others else ""
        times = f"{known.count} alerts{more}" if known.count > 1 else "one alert"
        said = self._transactions.wanted(known.flow_ids)
        context = self._context(*ends, known.first_ns, known.last_ns, said)
        context.pop("reported", None)  # it is what this finding is about
        return Finding(
            id=known.id, time=known.last_ns / 1e9, behaviour=REPORTED,
            severity=_SEVERITY.get(alert.severity, "medium"), technique="", threat_score=0.0, twin_score=0.0,
            src_ip=alert.src_ip, dst_ip=alert.dst_ip, dst_port=port,
            proto=proto_name(alert.proto) if alert.proto >= 0 else "", start=known.first_ns / 1e9,
            end=known.last_ns / 1e9, flows=0, packets=0, bytes=0, sources=len(ends[0]),
            destinations=len(ends[1]), ports=int(port is not None), source=self._source,
            explanation={
                "title": alert.signature,
                "text": f"told by {_teller(alert)} ({alert.category}), {times}; no model judged it",
                "features": [], "nearest": [], "p_values": {}, "model": _teller(alert),
            },
            context=context,
        )  # fmt: skip


def _teller(alert: SignatureAlert) -> str:
    return "Zeek" if alert.category.startswith("Zeek") else "Suricata"


def _grade(alert: SignatureAlert) -> int:
    return alert.severity if alert.severity > 0 else 1 << 10


def raises(alert: SignatureAlert) -> bool:
    """Return whether an alert is a finding of its own."""
    if alert.category.startswith("Zeek"):
        return alert.category != "Zeek notice" or alert.signature.startswith(ATTACKS)
    return alert.severity in _SEVERITY


def _subject(alert: SignatureAlert) -> Subject:
    return Subject(
        source=alert.src_ip or None, destination=alert.dst_ip or None,
        port=alert.dst_port if alert.dst_port >= 0 else None, kind=REPORTED,
    )  # fmt: skip
