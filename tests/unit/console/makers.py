"""Events as the detection room and the feeds make them."""

from __future__ import annotations

from typing import Any

from qwarden.console.events import SourceRead
from qwarden.detect import Alert, Finding
from qwarden.keys.events import KeyBlock, LinkAlarm


def finding(at: float = 100.0, **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "time": at, "behaviour": "beacon", "severity": "high", "technique": "T1071.001",
        "threat_score": 0.9999, "twin_score": 0.999, "src_ip": "10.0.0.1", "dst_ip": "192.0.2.1",
        "dst_port": 443, "proto": "tcp", "start": at - 10, "end": at, "flows": 7, "packets": 70, "bytes": 700,
        "sources": 1, "destinations": 1, "ports": 1, "source": "office.pcap",
        "explanation": {
            "title": "beaconing to a server", "text": "beaconing to a server: a contact every 60 s",
            "features": [{"name": "period_s", "value": 60.0, "usual": 12.0, "effect": 1.5,
                          "text": "a contact every 60 s (usually 12)"}],
            "nearest": [{"label": "beacon", "fidelity": 0.75}],
            "p_values": {"hybrid": 0.0001, "one_class": 0.01, "twin": 0.001}, "model": "qwarden-hybrid 1",
        },
    }  # fmt: skip
    return Finding(**(values | changes))


def alert(about: Finding, **changes: Any) -> Alert:
    return Alert(time=about.time, finding_id=about.id, finding=about.document() | changes)


def source(name: str = "a.pcap", flows: int = 10, **changes: Any) -> SourceRead:
    values: dict[str, Any] = {
        "time": 5.0, "name": name, "sha256": "", "format": "pcap", "packets_read": 100,
        "packets_malformed": 3, "packets_truncated": 1, "packets_lost": 2, "lines_read": 0,
        "lines_malformed": 0, "flows_read": flows, "flows_scored": flows - 4, "flows_suppressed": 2,
        "flows_dropped": 1, "flows_malformed": 1, "findings": 0, "problems": (), "seconds": 0.5,
    }  # fmt: skip
    return SourceRead(**(values | changes))


def key_block(link: str = "a-b", block: str = "00" * 16, **changes: Any) -> KeyBlock:
    """Return a block of a key exchange that was accepted, but for `changes`."""
    told: dict[str, Any] = {
        "time": 1_767_600_000.0, "link": link, "block": block, "accepted": True, "reason": "", "attempt": 1,
        "protocol": "bb84", "qber": 0.021, "sifted_bits": 200_000, "leak_bits": 30_000,
        "secret_bits": 51_200, "epsilon": 1e-10, "origin": "simulated", **changes,
    }  # fmt: skip
    return KeyBlock(**told)


def link_alarm(link: str = "a-b", block: str = "00" * 16, cause: str = "light from outside") -> LinkAlarm:
    """Return the alarm of a link."""
    return LinkAlarm(
        time=1_767_600_001.0, link=link, block=block, cause=cause, tampered=False, done="block dropped"
    )
