"""Log lines made by hand for the tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

FIELDS = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration",
    "orig_bytes", "resp_bytes", "conn_state", "local_orig", "local_resp", "missed_bytes", "history",
    "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents",
)  # fmt: skip

CONNECTION: dict[str, Any] = {
    "ts": 1655071198.444458, "uid": "CHLXQF2OBY4onAR0Ug", "id.orig_h": "147.32.81.167", "id.orig_p": 62771,
    "id.resp_h": "40.74.108.123", "id.resp_p": 443, "proto": "tcp", "service": "ssl", "duration": 1.135424,
    "orig_bytes": 596, "resp_bytes": 4039, "conn_state": "SF", "local_orig": True, "local_resp": False,
    "missed_bytes": 0, "history": "ShADdaFf", "orig_pkts": 14, "orig_ip_bytes": 1164, "resp_pkts": 16,
    "resp_ip_bytes": 4687,
}  # fmt: skip

FLOW: dict[str, Any] = {
    "timestamp": "2021-06-06T17:35:00.000001+0200", "flow_id": 2232403389523415, "event_type": "flow",
    "src_ip": "91.238.203.56", "src_port": 48938, "dest_ip": "192.168.1.129", "dest_port": 445,
    "proto": "TCP",
    "flow": {
        "pkts_toserver": 2, "pkts_toclient": 2, "bytes_toserver": 120, "bytes_toclient": 120,
        "start": "2021-06-06T17:34:31.140759+0200", "end": "2021-06-06T17:34:31.141012+0200", "age": 0,
        "state": "closed", "reason": "timeout", "alerted": False,
    },
    "tcp": {"tcp_flags": "16", "tcp_flags_ts": "02", "tcp_flags_tc": "14", "state": "closed"},
}  # fmt: skip

ALERT: dict[str, Any] = {
    "timestamp": "2021-06-06T15:59:46.457984+0200", "event_type": "alert", "src_ip": "78.36.196.213",
    "src_port": 51698, "dest_ip": "192.168.1.129", "dest_port": 445, "proto": "TCP",
    "alert": {
        "action": "allowed", "gid": 1, "signature_id": 2403388, "rev": 66418, "severity": 2,
        "signature": "ET CINS Poor Reputation", "category": "Misc Attack",
    },
}  # fmt: skip


SAID_FIELDS = {
    name: ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", *fields)
    for name, fields in {
        "dns": ("proto", "trans_id", "query", "qtype_name", "rcode_name", "AA", "answers", "rejected"),
        "http": ("trans_depth", "method", "host", "uri", "user_agent", "request_body_len", "status_code"),
        "ssl": ("version", "server_name", "resumed", "established", "validation_status", "ja3"),
    }.items()
}
"""Fields of Zeek's logs that tell what was said within connections."""

SAID: dict[str, dict[str, Any]] = {
    "dns": {
        "proto": "udp", "trans_id": 7, "query": "a.example", "qtype_name": "A", "rcode_name": "NOERROR",
        "AA": False, "answers": ["b.example", "192.0.2.1"], "rejected": False,
    },
    "http": {
        "trans_depth": 1, "method": "GET", "host": "evil.example", "uri": "/a", "user_agent": "agent",
        "request_body_len": 0, "status_code": 200,
    },
    "ssl": {
        "version": "TLSv12", "server_name": "evil.example", "resumed": False, "established": True,
        "validation_status": "self signed certificate", "ja3": "00112233445566778899aabbccddeeff",
    },
}  # fmt: skip


EVE_SAID: list[dict[str, Any]] = [
    {name: FLOW[name] for name in ("timestamp", "flow_id", "src_ip", "dest_ip", "proto")} | event
    for event in (
        {"event_type": "dns", "dns": {"type": "query", "rrname": "a.example", "rrtype": "A"}},
        {"event_type": "dns", "dns": {
            "type": "answer", "rrname": "a.example", "rrtype": "A", "rdata": "192.0.2.1",
        }},
        {"event_type": "dns", "dns": {
            "version": 2, "type": "answer", "rrname": "a.example", "rrtype": "A", "rcode": "NOERROR",
            "answers": [{"rrname": "a.example", "rrtype": "A", "rdata": "192.0.2.1"}],
            "grouped": {"A": ["192.0.2.1"]},
        }},
        {"event_type": "dns", "dns": {
            "version": 2, "type": "answer", "rrname": "a.example", "rrtype": "A", "rcode": "NOERROR",
            "grouped": {"A": ["192.0.2.1"]},
        }},
        {"event_type": "dns", "dns": {
            "version": 3, "type": "response", "rcode": "NOERROR",
            "queries": [{"rrname": "a.example", "rrtype": "A"}],
            "answers": [{"rrname": "a.example", "rrtype": "A", "rdata": "192.0.2.1"}],
        }},
        {"event_type": "http", "http": {
            "hostname": "evil.example", "url": "/a", "http_user_agent": "agent", "http_method": "GET",
            "status": 200, "length": 0,
        }},
        {"event_type": "tls", "tls": {
            "subject": "CN=evil.example", "sni": "evil.example", "version": "TLS 1.2",
            "ja3": {"hash": "00112233445566778899aabbccddeeff", "string": "771,49195,0,,"},
        }},
    )
]  # fmt: skip
"""What Suricata says within `FLOW`: DNS in the three forms of the event, HTTP, TLS."""


def said(log: str, **changes: Any) -> dict[str, Any]:
    """A record of one of those logs, of `CONNECTION` unless `uid` says otherwise; None takes a field away."""
    made = {name: CONNECTION[name] for name in SAID_FIELDS[log][:6]} | SAID[log] | changes
    return {name: value for name, value in made.items() if value is not None}


def tsv(
    records: Iterable[dict[str, Any]],
    fields: Iterable[str] = FIELDS,
    *,
    separator: str = "\t",
    unset: str = "-",
    path: str = "conn",
) -> bytes:
    """A conn.log as tab-separated text, with Zeek's header."""
    fields = tuple(fields)
    escaped = "".join(f"\\x{ord(char):02x}" for char in separator)
    lines = [
        f"#separator {escaped}",
        separator.join(("#set_separator", ",")),
        separator.join(("#empty_field", "(empty)")),
        separator.join(("#unset_field", unset)),
        separator.join(("#path", path)),
        separator.join(("#open", "2022-06-13-00-00-00")),
        separator.join(("#fields", *fields)),
        separator.join(("#types", *("string" for _ in fields))),
    ]
    for record in records:
        lines.append(separator.join(_text(record.get(name), unset) for name in fields))
    lines.append(separator.join(("#close", "2022-06-14-00-00-00")))
    return "\n".join(lines).encode() + b"\n"


def _text(value: Any, unset: str) -> str:
    if value is None:
        return unset
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, list):
        return ",".join(value)
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def objects(records: Iterable[dict[str, Any]]) -> bytes:
    """One JSON object a line."""
    return b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)


def changed(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A record with other values; double underscores reach into objects, None takes a field away."""
    made: dict[str, Any] = json.loads(json.dumps(record))
    for name, value in changes.items():
        *path, last = name.split("__")
        place = made
        for part in path:
            place = place.setdefault(part, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def conn(**changes: Any) -> dict[str, Any]:
    """`CONNECTION` with other values; ``orig_h`` means ``id.orig_h``."""
    ends = ("orig_h", "orig_p", "resp_h", "resp_p")
    made = dict(CONNECTION)
    for name, value in changes.items():
        key = f"id.{name}" if name in ends else name
        if value is None:
            made.pop(key, None)
        else:
            made[key] = value
    return made
