"""Findings of every shape that writers must take."""

from __future__ import annotations

from typing import Any

TITLE = 'odd "title" \\ with ] = | and ümläut'


def finding(**changes: Any) -> dict[str, Any]:
    """A finding's document as the detector makes it."""
    return {
        "id": "019b0000-0000-7000-8000-0123456789ab", "time": 1_767_600_000.25, "kind": "guessing",
        "severity": "high", "threat_score": 0.9999977, "twin_score": 0.9, "src_ip": "10.0.0.5",
        "dst_ip": "10.0.0.9", "dst_port": 22, "proto": "tcp", "flows": 40, "technique": "T1110.001",
        "start": 1_767_599_900.0, "end": 1_767_600_000.25, "packets": 1200, "bytes": 90_000,
        "sources": 1, "destinations": 1, "ports": 1, "source": "office.pcap", "early": False,
        "explanation": {
            "title": "password guessing",
            "text": "password guessing: 40 alike sessions, usually 1; 40 contacts in 300 s, usually 2",
            "features": [{"name": "alike_contacts", "value": 40.0, "usual": None, "effect": 2.5,
                          "text": "40 alike sessions"}],
            "nearest": [], "p_values": {"quantum": 0.0001, "twin": 0.1}, "model": "shipped 3",
        },
        **changes,
    }  # fmt: skip


FINDINGS: dict[str, dict[str, Any]] = {
    "guessing": finding(),
    "one flow": finding(kind="beacon", technique="T1071.001", src_port=51000, dst_port=443, flows=1),
    "scan": finding(kind="scan_horizontal", technique="T1046", severity="medium", destinations=60,
                    dst_port=None),
    "ipv6": finding(src_ip="2001:db8::5", dst_ip="2001:db8::9", kind="flood_icmp", proto="icmpv6",
                    technique="T1498.001", dst_port=None, ports=0),
    "arp": finding(proto="arp", kind="arp_spoofing", technique="T1557.002", dst_port=None, ports=0),
    "sctp": finding(proto="132", kind="flood_ip", technique="T1498.001", severity="critical"),
    "unnamed protocol": finding(proto="253", kind="flood_ip", technique="T1498.001", dst_port=None),
    "no technique": finding(technique=None, severity="info"),
    "new technique": finding(technique="T9999.002", severity="low"),
    "one moment": finding(start=1_767_600_000.25, flows=1),
    "spoken": finding(context={"transactions": [
        {"protocol": "http", "method": "GET", "host": "evil.example:80", "uri": "/a?b", "user_agent": "agent",
         "status": "404", "flows": 3},
        {"protocol": "dns", "query": "_x.evil.example", "type": "TXT", "rcode": "NXDOMAIN", "flows": 1},
        {"protocol": "tls", "sni": "evil.example", "version": "TLSv12", "ja3": 32 * "a",
         "validation": "ok", "flows": 2},
        {"protocol": "tls", "sni": "other.example", "version": "TLS 1.3", "flows": 1},
    ]}),
    "barely spoken": finding(context={"transactions": [
        {"protocol": "http", "status": "404", "flows": 3},
        {"protocol": "dns", "rcode": "NXDOMAIN", "flows": 1},
        {"protocol": "tls", "validation": "ok", "flows": 2},
    ]}),
    "odd text": finding(
        source='we"ird]\\\n.pcap',
        explanation={"title": TITLE, "text": 'a\nb "c" ] \\ = | \x00\x1b[31m é 漢', "model": "own 1"},
    ),
}  # fmt: skip

STATES = ("opened", "closed", "whole")
