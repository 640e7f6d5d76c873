"""Explanations: which features moved a score against what baseline, and what the flow resembles.

A feature's effect is what the model's logit loses when that one column is set back to its median
among benign training flows (occlusion). It is measured on the model itself, so it says what moved
*this* score, not what usually does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.detect.behaviours import BEHAVIOURS, Behaviour, Row
from qwarden.detect.features import FEATURE_NAMES, FLAG_NAMES

if TYPE_CHECKING:
    from qwarden.detect.findings import OpenFinding
    from qwarden.detect.model import ThreatModel

F64 = npt.NDArray[np.float64]

SHOWN: Final = 6

_PHRASES: Final = {
    "duration_s": "flow lasts {} s",
    "packets_out": "{} packets sent",
    "packets_in": "{} packets came back",
    "payload_out": "{} B sent",
    "payload_in": "{} B came back",
    "upload_share": "upload against download {}",
    "packets_per_s": "{} packets/s",
    "size_mean_out": "{} B a packet sent",
    "size_mean_in": "{} B a packet received",
    "size_std_out": "deviation of the sizes sent {} B",
    "size_max_out": "{} B in the largest packet sent",
    "size_std_in": "deviation of the sizes received {} B",
    "size_max_in": "{} B in the largest packet received",
    "iat_mean_out": "{} s between packets sent",
    "iat_std_out": "deviation of the pauses between packets sent {} s",
    "iat_max_out": "{} s in the longest pause between packets sent",
    "iat_mean_in": "{} s between packets received",
    "iat_std_in": "deviation of the pauses between packets received {} s",
    "iat_max_in": "{} s in the longest pause between packets received",
    "iat_variation_out": "variation of the packet intervals {}",
    "extension_bytes_a_packet": "{} B of extension headers a packet",
    "fragment_share": "share of fragments {}",
    "syn_share_out": "share of packets sent with SYN {}",
    "rst_share_out": "share of packets sent with RST {}",
    "psh_share_out": "share of packets sent with PSH {}",
    "urg_share_out": "share of packets sent with URG {}",
    "fin_share_out": "share of packets sent with FIN {}",
    "rst_share_in": "share of packets received with RST {}",
    "source_flows": "{} flows of the source",
    "source_failed_share": "share of the source's flows that failed {}",
    "source_peers": "{} hosts contacted by the source",
    "source_services": "{} services used by the source",
    "fan_peers": "{} hosts tried on this port",
    "fan_failed_share": "share of them that failed {}",
    "pair_ports": "{} ports tried on this host",
    "contacts": "{} contacts to this service",
    "contacts_failed_share": "share of the contacts that failed {}",
    "victim_flows": "{} flows to the destination",
    "victim_failed_share": "share of the destination's flows that failed {}",
    "victim_sources": "{} sources at the destination",
    "service_sources": "{} sources at this service",
    "service_packets": "{} packets to this service",
    "pair_bytes_out": "{} B sent to this host",
    "pair_upload_share": "upload against download to this host {}",
    "source_upload_share": "upload against download of the source {}",
    "alike_contacts": "{} contacts alike in size",
    "alike_share": "share of contacts alike in size {}",
    "size_spread": "spread of the contacts' sizes {}",
    "period_s": "a contact every {} s",
    "period_spread": "spread of the intervals {}",
    "contacts_ever": "{} contacts so far",
    "contact_hours": "contacts to this service in {} hours",
    "pair_tried": "about {} ports of this host tried in vain",
    "fan_tried": "about {} hosts tried in vain on this port",
    "victim_triers": "about {} sources tried the destination in vain",
    "destination_sources": "about {} sources of the destination",
    "contact_gap_s": "{} s from one contact to the next on average",
    "contact_age_s": "first contact to this service {} s ago",
    "fan_alike": "{} sessions alike in size on this port, over all hosts",
    "fan_alike_share": "share of sessions alike on this port {}",
    "destination_age_s": "destination first seen {} s ago",
    "source_age_s": "source first seen {} s ago",
    "pauses": "{} pauses within the flow",
    "pause_mean_s": "a pause lasts {} s",
    "pause_variation": "variation of the pauses {}",
    "payload_a_pause": "{} B from one pause to the next",
    "answered": "answered: {}",
    "failed": "a failed attempt: {}",
    "tcp": "TCP: {}",
    "udp": "UDP: {}",
    "icmp": "ICMP: {}",
    "arp": "ARP: {}",
    "other_protocol": "another protocol: {}",
    "ipv6": "IPv6: {}",
    "state_s0": "SYN without an answer: {}",
    "state_rejected": "connection refused: {}",
    "state_complete": "connection opened and closed in order: {}",
    "state_reset": "connection reset: {}",
    "state_midstream": "connection seen from its middle on: {}",
    "source_private": "source has a private address: {}",
    "destination_inside": "destination has a private address: {}",
    "destination_group": "destination is a group address: {}",
    "service_web": "web service: {}",
    "service_name": "name service: {}",
    "service_login": "login service: {}",
    "service_mail": "mail service: {}",
    "service_file": "file service: {}",
    "service_directory": "directory service: {}",
    "service_dhcp": "DHCP: {}",
    "service_infrastructure": "time, management or discovery service: {}",
    "service_database": "database service: {}",
    "service_low": "another port below 1024: {}",
    "service_registered": "another port from 1024 to 49151: {}",
    "service_dynamic": "another port above 49151: {}",
    "service_none": "no port: {}",
}

_SPANS: Final = {"_300s": " in 300 s", "_1h": " in an hour", "_1d": " within a day"}


def describe(name: str, value: float, usual: float) -> str:
    """Return one feature in words.

    >>> describe("fan_peers_300s", 43.0, 1.0)
    '43 hosts tried on this port in 300 s (usually 1)'
    >>> describe("service_web", 0.0, 1.0)
    'web service: no (usually yes)'
    """
    stem, when = name, ""
    for suffix, words in _SPANS.items():
        if name.endswith(suffix):
            stem, when = name.removesuffix(suffix), words
    phrase = _PHRASES.get(stem, stem.replace("_", " ") + " {}")
    shown = _yes_or_no if name in FLAG_NAMES else _number
    usually = f" (usually {shown(usual)})" if math.isfinite(usual) else ""
    return phrase.format(shown(value)) + when + usually


def _yes_or_no(value: float) -> str:
    return "yes" if value else "no"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unknown"
    if value == round(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def evasion_text(evasion: Mapping[str, Any]) -> str:
    """Return in words what both models said of a finding with evading flows (`Finding.evasion`).

    >>> evasion_text({"flows": 2})
    '2 more flows were let pass by the model; the second opinion takes them for an attack in hiding'
    >>> evasion_text({"flows": 1, "model": "m 1", "p_value": 2e-5, "passed_with_p_value": 4e-3})
    'let pass by the model (p 0.004); the second opinion takes it for an attack in hiding (p 2e-05)'
    """
    second = "the second opinion takes"
    if "model" not in evasion:
        count = evasion["flows"]
        more, them = (f"{count} more flows were", "them") if count > 1 else ("one more flow was", "it")
        return f"{more} let pass by the model; {second} {them} for an attack in hiding"
    passed, said = (f"{evasion[name]:.2g}" for name in ("passed_with_p_value", "p_value"))
    return f"let pass by the model (p {passed}); {second} it for an attack in hiding (p {said})"


def evidence_of(behaviour: Behaviour, row: F64, usual: F64) -> list[int]:
    """Return the columns of a row by which it shows a behaviour, those that are as usual left out.

    These are the behaviour's `tells` that its condition hangs on: it fails where that one is unknown, or it
    fails where all are unknown and holds by that one alone. If there are none, the other columns without
    which it fails, but for flags.

    Parameters
    ----------
    row, usual : (d,) the feature row and the usual values, columns as `FEATURE_NAMES`.
    """
    tells = [FEATURE_NAMES.index(name) for name in behaviour.tells]
    without = np.repeat(row[None, :], row.size, axis=0)
    np.fill_diagonal(without, np.nan)
    alone = np.repeat(row[None, :], len(tells) + 1, axis=0)  # with one of the tells each, and without any
    alone[:, tells] = np.nan
    alone[np.arange(len(tells)), tells] = row[tells]
    with np.errstate(invalid="ignore"):
        needed = ~behaviour.evidence(Row(without.T))
        *enough, anyway = behaviour.evidence(Row(alone.T))
    unusual = np.isfinite(row) & (row != usual)
    pairs = zip(tells, enough, strict=True)
    held = [tell for tell, does in pairs if unusual[tell] and (needed[tell] or (does and not anyway))]
    besides = [int(at) for at in np.flatnonzero(needed & unusual) if FEATURE_NAMES[at] not in FLAG_NAMES]
    return held or besides


class Explainer:
    """Explains findings with the model that raised them."""

    def __init__(self, model: ThreatModel) -> None:
        self._model = model

    def explain(self, row: F64, finding: OpenFinding) -> dict[str, Any]:
        """Return the explanation's document for a finding's most alarming flow.

        ``features`` names the behaviour's own evidence first, whether it moved the score or not, then what
        moved it most; ``effect`` is in logits of the quantum model. ``nearest`` are the known training flows
        whose state is nearest.
        """
        behaviour = BEHAVIOURS[finding.at]
        usual = self._model.usual_row
        effects = self._effects(row)
        known = np.isfinite(row)
        ranked = [int(at) for at in np.argsort(-effects) if effects[at] > 0.01 and known[at]]
        tells = [FEATURE_NAMES.index(name) for name in behaviour.tells]
        # What its name hangs on, the behaviour's own evidence that moved the score, whatever moved it most.
        order = [*evidence_of(behaviour, row, usual), *(at for at in tells if at in ranked), *ranked]
        chosen = list(dict.fromkeys(order + [at for at in tells if known[at]]))
        features = [
            {
                "name": FEATURE_NAMES[at],
                "value": float(row[at]),
                "usual": float(usual[at]) if math.isfinite(usual[at]) else None,
                "effect": round(float(effects[at]), 4),
                "text": describe(FEATURE_NAMES[at], float(row[at]), float(usual[at])),
            }
            for at in chosen[:SHOWN]
        ]
        return {
            "title": behaviour.title,
            "text": f"{behaviour.title}: " + "; ".join(str(f["text"]) for f in features[:3]),
            "features": features,
            "nearest": self._model.nearest(row),
            "p_values": self._model.p_values(row),
            "model": f"{self._model.name} {self._model.version}",
        }

    def _effects(self, row: F64) -> F64:
        """Return for each feature the logits lost when it is set to its usual value."""
        occluded = np.repeat(row[None, :], row.size + 1, axis=0)
        each = np.arange(row.size)
        occluded[each, each] = self._model.usual_row
        logits = self._model.logits(occluded)
        lost: F64 = logits[-1] - logits[:-1]
        return lost
