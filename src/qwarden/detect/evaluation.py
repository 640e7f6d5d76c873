"""Holding findings against what the traffic range says was in it.

An attack is *found* when a finding of its kind (`ALSO` says which other kinds are right, too), overlapping
it in time, names one of its sources (or, for a flood, whose sources may be forged, its victim). A
finding is *false* when it is about no attack at all, whatever its kind. One that fits only attacks of
another kind, or tells a victim's answers to its attacker, is *misnamed*: neither found nor false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qwarden.core.config import DetectSettings
from qwarden.core.events import Event
from qwarden.detect.detector import Detector
from qwarden.detect.findings import Finding
from qwarden.detect.model import ThreatModel
from qwarden.detect.scenario import Labels, labels_path, read_labels
from qwarden.formats.flows import join_address

_SLACK_S: Final = 1.0

ALSO: Final = {
    "exfiltration": ("dns_tunnel", "covert_channel"),
    "scan_horizontal": ("arp_sweep",),
    "arp_flood": ("arp_sweep", "arp_spoofing"),
    "beacon": ("heartbeat",),
}
"""Right names beside a kind's own: data leave through name queries or extension headers, a scan of the
sender's own network is seen as an ARP sweep, the range calls every abuse of ARP a flood, and a beacon may
live inside one connection."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack of the range: all conversations of one attack id."""

    id: int
    kind: str
    sources: frozenset[str]
    destinations: frozenset[str]
    start: float
    end: float

    def named_by(self, finding: Finding) -> bool:
        """Return whether `finding` calls this attack by a right name."""
        return finding.behaviour == self.kind or finding.behaviour in ALSO.get(self.kind, ())

    def fits(self, finding: Finding) -> bool:
        """Return whether `finding` is about this attack, whatever it calls it."""
        together = finding.start <= self.end + _SLACK_S and self.start <= finding.end + _SLACK_S
        forged = self.kind.startswith("flood") or self.kind == "dhcp_flood"
        named = finding.src_ip in self.sources or (forged and finding.dst_ip in self.destinations)
        return together and named

    def answered_by(self, finding: Finding) -> bool:
        """Return whether `finding` is about a victim's answers to a source of this attack."""
        together = finding.start <= self.end + _SLACK_S and self.start <= finding.end + _SLACK_S
        return together and finding.src_ip in self.destinations and finding.dst_ip in self.sources


@dataclass(slots=True)
class Verdicts:
    """What findings were worth over one or more captures."""

    attacks: int = 0
    found: int = 0
    findings: int = 0
    false: int = 0
    misnamed: int = 0
    benign_flows: int = 0
    missed: list[str] = field(default_factory=list)
    false_kinds: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Share of attacks found."""
        return self.found / max(self.attacks, 1)

    @property
    def false_per_1000(self) -> float:
        """False findings a 1,000 benign flows."""
        return 1000 * self.false / max(self.benign_flows, 1)

    def add(self, attacks: Sequence[Attack], findings: Sequence[Finding], benign_flows: int) -> None:
        """Count one capture."""
        self.attacks += len(attacks)
        self.findings += len(findings)
        self.benign_flows += benign_flows
        for attack in attacks:
            if any(attack.named_by(f) and attack.fits(f) for f in findings):
                self.found += 1
            else:
                self.missed.append(attack.kind)
        for finding in findings:
            fitting = [attack for attack in attacks if attack.fits(finding)]
            if not fitting and any(attack.answered_by(finding) for attack in attacks):
                self.misnamed += 1
            elif not fitting:
                self.false += 1
                self.false_kinds.append(finding.behaviour)
            elif not any(attack.named_by(finding) for attack in fitting):
                self.misnamed += 1


def attacks_of(labels: Labels) -> list[Attack]:
    """Return the attacks a label file names, in order of their id."""
    found = []
    for number in sorted(set(labels["attack_id"].tolist()) - {0}):
        rows = labels[labels["attack_id"] == number]
        found.append(
            Attack(
                number,
                str(rows["label"][0]),
                _addresses(rows, "src"),
                _addresses(rows, "dst"),
                int(rows["start_us"].min()) / 1e6,
                int(rows["end_us"].max()) / 1e6,
            )
        )
    return found


def _addresses(rows: Labels, side: str) -> frozenset[str]:
    pairs = set(zip(rows[f"{side}_hi"].tolist(), rows[f"{side}_lo"].tolist(), strict=True))
    return frozenset(join_address(*pair) for pair in pairs)


def judge_capture(
    model: ThreatModel, capture: Path, verdicts: Verdicts, *, fpr: float | None = None
) -> list[Finding]:
    """Detect in a capture of the traffic range, through the path of any capture, and count."""
    labels = read_labels(labels_path(capture))
    result = Detector(model, DetectSettings(), Discard(), fpr=fpr).run([capture])
    benign = int((labels["attack_id"] == 0).sum())
    verdicts.add(attacks_of(labels), result.findings, benign)
    return result.findings


class Discard:
    """A publisher that keeps nothing."""

    def publish(self, event: Event) -> None:
        """Take no notice."""
