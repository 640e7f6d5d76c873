"""What other detectors told: alerts of Suricata, notices of Zeek, as findings that name them as their source.

One exploit packet inside an ordinary exchange is invisible to flow statistics; a signature may have seen it.
Such a finding has the kind ``reported``, the severity that its source gave it, and no score: no model judged
it. Of Suricata's alerts those of priority 1 and 2 raise a finding, of Zeek's notices those that speak of an
attack; all others only stand beside a finding about the same hosts (`enrichment`).

What one detector tells of one host is one finding, as long as it is of one sort: what many hosts do to it, or
what it does to many. The sort is the rule's class; of the rules that are but a list of addresses cut into
groups (``... group 86``), and of Zeek's notices, it is the name without what differs. So the addresses of a
blocklist that knock at one door are one finding, not hundreds.

Source: Suricata's documentation of the keywords ``priority`` and ``classtype``; Emerging Threats' names of
the rules made of lists; Zeek's scripts below ``policy/``, which name notices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from qwarden.core.lists import IGNORE, Lists, Subject
from qwarden.detect.findings import Alert, Finding, derived_id
from qwarden.detect.open_finding import counted, remember
from qwarden.detect.transactions import TransactionBook
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import proto_name

REPORTED: Final = "reported"

TOLD: Final = "told"
"""Key of an explanation under which a finding says what sort of alerts it is made of."""

ATTACKS: Final = (
    "Scan::", "SSH::Password_Guessing", "FTP::Bruteforcing", "Heartbleed::", "HTTP::SQL_Injection",
    "Intel::", "TeamCymruMalwareHashRegistry::", "SMTP::Suspicious", "Exploit", "Signatures::",
)  # fmt: skip
"""How the names of Zeek's notices begin that speak of an attack."""

MOST: Final = 4096
"""Findings of this sort that are open at once; what comes beyond them is counted, not told."""

_SEVERITY: Final = {1: "high", 2: "medium"}
_GROUP: Final = re.compile(r" group \d+$")

_Key = tuple[str, str, str, str]


@dataclass(slots=True)
class _Open:
    id: str
    told: str
    gravest: SignatureAlert
    first_ns: int
    last_ns: int
    count: int = 0
    signatures: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    destinations: Counter[str] = field(default_factory=Counter)
    ports: Counter[int] = field(default_factory=Counter)
    flow_ids: Counter[str] = field(default_factory=Counter)

    def take(self, alert: SignatureAlert) -> None:
        if _grade(alert) < _grade(self.gravest):
            self.gravest = alert
        self.first_ns, self.last_ns = min(self.first_ns, alert.time_ns), max(self.last_ns, alert.time_ns)
        self.count += 1
        remember(self.signatures, [alert.signature.partition(": ")[0]])
        remember(self.sources, [alert.src_ip] if alert.src_ip else [])
        remember(self.destinations, [alert.dst_ip] if alert.dst_ip else [])
        remember(self.ports, [alert.dst_port] if alert.dst_port >= 0 else [])
        remember(self.flow_ids, [alert.flow_id])

    @property
    def text(self) -> str:
        """How many alerts it is made of, and of how many signatures and sources."""
        if self.count == 1:
            return "one alert"
        others = len(self.signatures) - 1
        more = f" and {counted(others)} other signature{'s' * (others > 1)}" if others else ""
        many = f" from {counted(len(self.sources))} sources" if len(self.sources) > 1 else ""
        return f"{self.count} alerts{more}{many}"


class ReportedBook:
    """Groups what one detector tells of a host into findings.

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
        self._open: list[_Open] = []
        self._by: dict[_Key, _Open] = {}

    def add(self, alert: SignatureAlert) -> Alert | None:
        """Take an alert; return the notice of the finding that it opens, if it opens one."""
        if not raises(alert):
            return None
        self._transactions.want(alert.flow_id)
        told = sort_of(alert)
        if self._ignored(alert, told):
            self.suppressed += 1
            return None
        keys = [(_teller(alert), told, "to", alert.dst_ip), (_teller(alert), told, "from", alert.src_ip)]
        keys = [key for key in keys if key[-1]] or keys[:1]
        known = next((self._by[key] for key in keys if key in self._by), None)
        if known is not None:
            known.take(alert)
            self._hold_fast(known)
            return None
        if len(self._open) >= MOST:
            self.beyond += 1
            return None
        return self._begin(alert, told, keys)

    def _begin(self, alert: SignatureAlert, told: str, keys: list[_Key]) -> Alert:
        millisecond = alert.time_ns // 1_000_000
        named = (*keys[0], alert.src_ip, alert.signature, alert.time_ns)
        id = derived_id(millisecond, " ".join(map(str, named)).encode())
        known = _Open(id, told, alert, alert.time_ns, alert.time_ns)
        known.take(alert)
        self._open.append(known)
        self._by.update(dict.fromkeys(keys, known))
        finding = self._finding(known)
        return Alert(
            id=derived_id(millisecond, f"alert {id}".encode()), time=finding.time, finding_id=id,
            finding=finding.document(), raised=finding.time,
        )  # fmt: skip

    def _hold_fast(self, known: _Open) -> None:
        """Let go of the side that has become many: what many do to one host, each need not do elsewhere."""
        for side, ends in (("from", known.sources), ("to", known.destinations)):
            if len(ends) == 2:
                for end in ends:
                    key = (_teller(known.gravest), known.told, side, end)
                    if self._by.get(key) is known:
                        del self._by[key]

    def _ignored(self, alert: SignatureAlert, told: str) -> bool:
        at = alert.time_ns / 1e9
        kinds = (REPORTED, reported_kind(told))
        return any(self._lists.match(IGNORE, _subject(alert, kind), at=at) is not None for kind in kinds)

    def close(self) -> list[Finding]:
        """Return all findings, with their last figures."""
        closed = [self._finding(known) for known in self._open]
        self._open.clear()
        self._by.clear()
        return closed

    def _finding(self, known: _Open) -> Finding:
        alert = known.gravest
        port, flows = known.ports.most_common(1)[0] if known.ports else (None, 0)
        share = flows / known.count
        context = self._context(
            list(known.sources), list(known.destinations), known.first_ns, known.last_ns,
            self._transactions.wanted(known.flow_ids),
        )  # fmt: skip
        context.pop("reported", None)  # it is what this finding is about
        return Finding(
            id=known.id, time=known.last_ns / 1e9, behaviour=REPORTED,
            severity=_SEVERITY.get(alert.severity, "medium"), technique="", threat_score=0.0, twin_score=0.0,
            src_ip=_first(known.sources), dst_ip=_first(known.destinations),
            dst_port=port if share >= 0.5 else None, port_share=round(share, 4) if share >= 0.5 else 0.0,
            proto=proto_name(alert.proto) if alert.proto >= 0 else "", start=known.first_ns / 1e9,
            end=known.last_ns / 1e9, flows=0, packets=0, bytes=0, sources=len(known.sources),
            destinations=len(known.destinations), ports=len(known.ports), source=self._source,
            explanation={
                "title": alert.signature,
                "text": f"told by {_teller(alert)} ({alert.category}), {known.text}; no model judged it",
                TOLD: known.told,
                "features": [], "nearest": [], "p_values": {}, "model": _teller(alert),
            },
            context=context,
        )  # fmt: skip


def sort_of(alert: SignatureAlert) -> str:
    """Return what alerts must share to be of one finding.

    >>> told = SignatureAlert(0, "ET CINS Poor Reputation IP group 86", "Misc Attack", 2, 1, 2, 3, "allowed",
    ...                       "192.0.2.1", 1024, "10.0.0.1", 80, 6)
    >>> sort_of(told)
    'ET CINS Poor Reputation IP'
    """
    if alert.category.startswith("Zeek"):
        return alert.signature.partition(": ")[0]
    listed = _GROUP.sub("", alert.signature)
    return (alert.category or listed) if listed == alert.signature else listed


def reported_kind(told: str) -> str:
    """Return the kind under which an exception holds back alerts of one sort, and no others.

    >>> reported_kind("Misc Attack")
    'reported: Misc Attack'
    """
    return f"{REPORTED}: {told}"


def _first(ends: Counter[str]) -> str:
    return ends.most_common(1)[0][0] if ends else ""


def _teller(alert: SignatureAlert) -> str:
    return "Zeek" if alert.category.startswith("Zeek") else "Suricata"


def _grade(alert: SignatureAlert) -> int:
    return alert.severity if alert.severity > 0 else 1 << 10


def raises(alert: SignatureAlert) -> bool:
    """Return whether an alert is a finding of its own."""
    if alert.category.startswith("Zeek"):
        return alert.category != "Zeek notice" or alert.signature.startswith(ATTACKS)
    return alert.severity in _SEVERITY


def _subject(alert: SignatureAlert, kind: str) -> Subject:
    return Subject(
        source=alert.src_ip or None, destination=alert.dst_ip or None,
        port=alert.dst_port if alert.dst_port >= 0 else None, kind=kind,
    )  # fmt: skip
