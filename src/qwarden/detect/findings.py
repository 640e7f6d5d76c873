"""Findings: alarming flows that have one cause, told once.

A scan of a thousand ports is one finding, not a thousand. `FindingBook` takes the alarming flows as
they come, opens a finding when a cause has shown as many contacts as its behaviour asks for, adds the
later ones, and closes it when the cause was quiet for `QUIET_S` of traffic time or the input ends. An
alert is the notice that a finding was opened; the finding's own event is stored when it closes, under
the same id.

Ids follow from what was found: the same flows, found again by the same model, are the same finding. So a
run that was killed can be repeated, and nothing is stored twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from qwarden.core.events import SHORT, Event
from qwarden.detect.behaviours import cause_keys
from qwarden.detect.evidence import Evidence
from qwarden.detect.explain import evasion_text
from qwarden.detect.open_finding import OpenFinding as OpenFinding
from qwarden.detect.open_finding import Status
from qwarden.detect.scored import Scored
from qwarden.formats.flows import Flows, join_address, proto_name
from qwarden.formats.transactions import Said

QUIET_S: Final = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Event):
    """One finding, as stored and as printed.

    `threat_score` is the quantum model's score of its most alarming flow, `twin_score` the classical one's
    highest, both in [0, 1]; `src_ip`, `dst_ip`, `dst_port` are the most frequent ones, and `port_share` is
    the share of its flows that go to `dst_port`: at least half, or there is none. `sources`, `destinations`
    and `ports` count distinct ones up to `REMEMBERED`, which stands for that many or more. `evidence` is what
    the score can be derived from again (`qwarden.detect.evidence`); `early`: that flow still ran.
    `context` is what is known of its hosts beside (`qwarden.detect.enrichment`). `evasion`, empty but where
    the second opinion raised some of its flows: ``flows``, how many; where the score is of one of these, also
    what the second opinion said of that (``model``, ``p_value``), and that the threat model let it pass.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "finding"

    behaviour: str
    severity: str
    technique: str
    threat_score: float
    twin_score: float
    src_ip: str
    dst_ip: str
    dst_port: int | None
    proto: str
    start: float
    end: float
    flows: int
    packets: int
    bytes: int
    sources: int
    destinations: int
    ports: int
    source: str
    explanation: dict[str, Any]
    evidence: dict[str, Any] = field(default_factory=dict)
    early: bool = False
    status: Status = "clear"
    src_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    context: dict[str, Any] = field(default_factory=dict)
    evasion: dict[str, Any] = field(default_factory=dict)
    port_share: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return the finding as `qwarden detect --json` prints it."""
        return {
            "id": self.id, "time": self.time, "kind": self.behaviour, "severity": self.severity,
            "threat_score": self.threat_score, "twin_score": self.twin_score,
            "src_ip": self.src_ip, "dst_ip": self.dst_ip, "dst_port": self.dst_port, "proto": self.proto,
            "port_share": self.port_share, "flows": self.flows, "technique": self.technique or None,
            "start": self.start, "end": self.end, "packets": self.packets, "bytes": self.bytes,
            "sources": self.sources, "destinations": self.destinations, "ports": self.ports,
            "source": self.source, "early": self.early, "status": self.status,
            "src_port": self.src_port, "icmp_type": self.icmp_type, "icmp_code": self.icmp_code,
            "context": self.context, "evasion": self.evasion, "explanation": self.explanation,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Event):
    """The notice that a finding was opened; `finding` and `evidence` are as they were at that moment.

    `raised` is the traffic time that had come by then; the flow that told may have been over for a while.
    """

    room: ClassVar[str] = "detect"
    kind: ClassVar[str] = "alert"

    finding_id: str
    finding: dict[str, Any]
    evidence: dict[str, Any] = field(default_factory=dict)
    raised: float = 0.0


Explain = Callable[[npt.NDArray[np.float64], "OpenFinding"], dict[str, Any]]
Raised = Callable[[OpenFinding], None]
Context = Callable[[list[str], list[str], int, int, Mapping[Said, int]], dict[str, Any]]
Derive = Callable[[Flows, npt.NDArray[np.float64], int, bool, bool], Evidence]


class FindingBook:
    """Groups alarming flows into findings.

    Parameters
    ----------
    salt : what ids depend on beside the flows: the model.
    explain : feature row and open finding to the explanation's document.
    derive : a flow, its feature row, the index of its behaviour, whether it still ran and whether the second
        opinion alone raised it, to the score and what it rests on.
    raised : told of each finding that was opened.
    context : sources, destinations, first and last nanosecond, and what protocols said within its flows, to
        what is known of them beside.
    """

    def __init__(
        self,
        salt: str,
        explain: Explain,
        derive: Derive,
        raised: Raised = lambda _: None,
        context: Context = lambda *_: {},
    ) -> None:
        self._salt, self._explain, self._derive, self._raised = salt, explain, derive, raised
        self._context = context
        self._open: dict[tuple[int, ...], OpenFinding] = {}

    def add(self, alarms: Scored, moments_ns: npt.NDArray[np.int64]) -> list[Alert]:
        """Add n flows that alarm; return an alert for each finding they opened.

        `moments_ns` (n,) is the traffic time at which each could be told. An alert says what was known when
        the last flow that it takes had come, however many come at once.
        """
        alerts: list[Alert] = []
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, key in enumerate(cause_keys(alarms.flows, alarms.named)):
            groups.setdefault(key, []).append(i)
        for key, members in groups.items():
            finding = self._open.get(key)
            if finding is None:
                first = members[0]
                flows = alarms.flows
                finding = OpenFinding(
                    _id(self._salt, key, flows[first : first + 1]), int(alarms.named[first]), alarms.source,
                    int(flows["start_ns"][members].min()), int(flows["end_ns"][first]),
                )  # fmt: skip
                self._open[key] = finding
            rest = np.array(members)
            while finding.raised_ns is None and rest.size:
                finding.grow(alarms, rest[:1])
                if finding.enough:
                    finding.raised_ns = int(moments_ns[rest[0]])
                    self._raised(finding)
                    alerts.append(self._alert(finding))
                rest = rest[1:]
            if rest.size:
                finding.grow(alarms, rest)
        return alerts

    def close(self, before_ns: int | None = None) -> list[Finding]:
        """Close findings whose cause was quiet since `before_ns` - `QUIET_S`; all, if None."""
        limit = None if before_ns is None else before_ns - QUIET_S * 1_000_000_000
        done = [key for key, f in self._open.items() if limit is None or f.last_ns < limit]
        closed = [self._open.pop(key) for key in done]
        return [self._close(finding) for finding in closed if finding.raised_ns is not None]

    def _close(self, finding: OpenFinding) -> Finding:
        assert finding.row is not None
        assert finding.flow is not None
        behaviour = finding.behaviour
        evidence = self._derive(finding.flow, finding.row, finding.at, finding.early, finding.hiding)
        evasion = _evasion(finding, evidence)
        explanation = self._explain(finding.row, finding)
        if evasion:
            explanation["evasion"] = evasion_text(evasion)
        port, port_share = finding.main_port
        return Finding(
            id=finding.id,
            time=finding.last_ns / 1e9,
            behaviour=behaviour.kind,
            severity=behaviour.severity,
            technique=behaviour.technique,
            threat_score=evidence.threat,
            twin_score=finding.twin_score,
            src_ip=join_address(*finding.sources.most_common(1)[0][0]),
            dst_ip=join_address(*finding.destinations.most_common(1)[0][0]),
            dst_port=port,
            port_share=port_share,
            proto=proto_name(int(finding.flow["proto"][0])),
            start=finding.first_ns / 1e9,
            end=finding.last_ns / 1e9,
            flows=finding.tally.flows,
            packets=finding.tally.packets,
            bytes=finding.tally.bytes,
            sources=len(finding.sources),
            destinations=len(finding.destinations),
            ports=sum(1 for known in finding.ports if known >= 0),
            source=finding.source,
            explanation=explanation,
            evidence=evidence.document(),
            early=finding.early,
            status=finding.status,
            evasion=evasion,
            context=self._context(
                [join_address(*end) for end in finding.sources],
                [join_address(*end) for end in finding.destinations],
                finding.first_ns,
                finding.last_ns,
                finding.said,
            ),
            **_shared(finding),
        )  # fmt: skip

    def _alert(self, finding: OpenFinding) -> Alert:
        snapshot = self._close(finding)
        return Alert(
            id=derived_id(int(snapshot.time * 1000), f"alert {finding.id}".encode()),
            time=snapshot.time,
            finding_id=finding.id,
            finding=snapshot.document(),
            evidence=snapshot.evidence,
            raised=(finding.raised_ns or 0) / 1e9,
        )


def _evasion(finding: OpenFinding, evidence: Evidence) -> dict[str, Any]:
    """Return what the second opinion has to do with a finding: nothing, some of its flows, or all of it."""
    if not finding.evading:
        return {}
    if (doubt := evidence.doubt) is None:
        return {"flows": finding.evading}
    return {
        "flows": finding.evading,
        "model": doubt.model,
        "p_value": doubt.p_value,
        "passed_with_p_value": evidence.p_value,
    }


def _shared(finding: OpenFinding) -> dict[str, int | None]:
    """Return what names the one connection of a finding: its own port, or ICMP's type and code."""
    assert finding.flow is not None
    flow = finding.flow[0]
    icmp = finding.tally.flows == 1 and int(flow["proto"]) in (1, 58)
    fits = {"src_port": len(finding.own_ports) == 1, "icmp_type": icmp, "icmp_code": icmp}
    return {name: int(flow[name]) if fit and flow[name] >= 0 else None for name, fit in fits.items()}


def _id(salt: str, cause: tuple[int, ...], first: Flows) -> str:
    """Return the id of the finding of a cause that begins with a flow."""
    told = f"{salt} {' '.join(map(str, cause))} ".encode() + first.tobytes()
    return derived_id(int(first["start_ns"][0]) // 1_000_000, told)


def derived_id(millisecond: int, told: bytes) -> str:
    """Return a UUID of version 7 whose random part follows from `told` (RFC 9562 section 5.7)."""
    random = int.from_bytes(hashlib.sha256(told).digest()[:10], "big") >> 6
    head, tail = random >> 62, random & (1 << 62) - 1
    time = min(max(millisecond, 0), (1 << 48) - 1)
    return str(UUID(int=time << 80 | 7 << 76 | head << 64 | 0b10 << 62 | tail))


def score_text(score: float) -> str:
    """Return a score to five places, cut, not rounded: no finding is certain.

    >>> score_text(0.9999977)
    '0.99999'
    """
    return f"{math.floor(score * 1e5) / 1e5:.5f}"


def next_steps(finding: Mapping[str, Any], attack: bool | None = None) -> list[tuple[str, str]]:
    """Return what a person may do with a finding's document: what for, and the command.

    Parameters
    ----------
    attack : the verdict on it, None if nobody judged it.

    Examples
    --------
    >>> for what_for, command in next_steps({"id": "0190-a-b-c-046c2d9f11aa", "flows": 2}, attack=False):
    ...     print(f"{what_for}: {command}")
    if it was an attack after all: qwarden feedback 046c2d9f true
    its flows, and its packets if captured: qwarden flows search --finding 046c2d9f --pcap out.pcap
    """
    short = str(finding["id"]).rpartition("-")[2][:SHORT]
    steps = []
    if attack is not False:
        steps.append(("if it is no attack", f"qwarden feedback {short} false"))
    if attack is not True:
        when = "if it is one" if attack is None else "if it was an attack after all"
        steps.append((when, f"qwarden feedback {short} true"))
    if finding["flows"]:  # what another detector told has none of its own
        command = f"qwarden flows search --finding {short} --pcap out.pcap"
        steps.append(("its flows, and its packets if captured", command))
    return steps
