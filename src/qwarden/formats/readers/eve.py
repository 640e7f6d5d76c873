"""Lines of Suricata's EVE log to rows (events of type ``flow``), alerts (``alert``) and transactions.

Source: Suricata's user guide, EVE JSON format, and its ``output-json-flow.c``. Suricata counts whole
frames: the 14 bytes of an Ethernet header, and 4 a VLAN tag, are taken off each packet; the padding of
short frames stays in. Payload is not told, nor is how often a flag came.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import UNKNOWN
from qwarden.formats.readers.fields import (
    Malformed,
    address,
    hardware,
    json_counts,
    json_text,
    protocol,
    short,
    stamp,
    wrong,
)
from qwarden.formats.readers.rows import COMMENT, NO_FLAGS, OTHER, NamedRow, Row
from qwarden.formats.readers.tcpflags import ALL, STATES, flag_counts, flag_state
from qwarden.formats.readers.transactions import EVE_EVENTS, eve_transaction, flow_name
from qwarden.formats.transactions import Transaction

_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_PORTS: Final = ("src_port", "dest_port")
_COUNTS: Final = ("pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient")
_ETHERNET, _TAG = 14, 4
_SHORTEST_IP: Final = 20


class EveReader:
    """Reads events, one JSON object a line."""

    unfinished = ""

    def read(self, line: bytes) -> Row | NamedRow | Transaction | SignatureAlert | str:
        """Return the row of a flow, an alert, a transaction, or what else the line is.

        Raises
        ------
        Malformed : it cannot be parsed.
        """
        if not line or line.isspace():
            return COMMENT
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Malformed(f"it is no JSON: {str(error)[:80]}") from None
        if not isinstance(event, dict):
            raise Malformed("it is no JSON object")
        kind = json_text(event, "event_type")
        if kind == "flow":
            row, name = _row(event, _object(event, "flow")), flow_name(event.get("flow_id"))
            return NamedRow(row, name) if name else row
        if kind == "alert":
            return _alert(event, _object(event, "alert"))
        return (eve_transaction(kind, event) if kind in EVE_EVENTS else None) or OTHER


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    found = event.get(name)
    if not isinstance(found, dict):
        raise wrong(name, found, "an object")
    return found


def _time(record: dict[str, Any], name: str) -> int:
    text = json_text(record, name)
    try:
        return stamp(text)
    except ValueError:
        raise wrong(name, text, "a date and time") from None


def _address(event: dict[str, Any], name: str) -> tuple[int, int, int]:
    text = json_text(event, name)
    try:
        return address(text)
    except ValueError:
        raise wrong(name, text, "an address") from None


def _row(event: dict[str, Any], flow: dict[str, Any]) -> Row:
    start, end = _time(flow, "start"), _time(flow, "end")
    if end < start:
        raise Malformed("the flow ends before it starts")
    src_hi, src_lo, version = _address(event, "src_ip")
    dst_hi, dst_lo, other_version = _address(event, "dest_ip")
    if version != other_version:
        raise Malformed("the addresses are of two IP versions")
    number = protocol(json_text(event, "proto"))
    kind = code = UNKNOWN
    if number in (_ICMP, _ICMPV6):
        kind, code = json_counts(event, ("icmp_type", "icmp_code"), 0xFF)
    packets_out, packets_in, frames_out, frames_in = json_counts(flow, _COUNTS)
    tags = _vlans(event)
    state, flags = UNKNOWN, NO_FLAGS + NO_FLAGS
    if number == _TCP and isinstance(event.get("tcp"), dict):
        state, flags = _tcp(event["tcp"], packets_in)
    return (
        start, end, src_hi, src_lo, dst_hi, dst_lo, version, number,
        *json_counts(event, _PORTS, 0xFFFF), kind, code,
        _mac(event), tags[-1] if tags else UNKNOWN, state, packets_out, packets_in,
        _network_bytes(frames_out, packets_out, len(tags)), _network_bytes(frames_in, packets_in, len(tags)),
        UNKNOWN, UNKNOWN, *flags,
    )  # fmt: skip


def _vlans(event: dict[str, Any]) -> list[int]:
    """Return the VLAN ids, outermost first."""
    told = event.get("vlan")
    tags = told if isinstance(told, list) else [] if told is None else [told]
    for tag in tags:
        if type(tag) is not int or not 0 <= tag <= 0xFFF:
            raise wrong("vlan", tag, "a VLAN id")
    return tags


def _mac(event: dict[str, Any]) -> int:
    """Return the client's hardware address, if there was but one."""
    ether = event.get("ether")
    if not isinstance(ether, dict):
        return UNKNOWN
    told = ether.get("src_mac") or ether.get("src_macs")
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    return hardware(told) if isinstance(told, str) else UNKNOWN


def _network_bytes(frames: int, packets: int, tags: int) -> int:
    """Return what is left of `frames` bytes without Ethernet; all of it if it cannot have been Ethernet."""
    if frames < 0 or packets < 0:
        return UNKNOWN
    without = frames - packets * (_ETHERNET + _TAG * tags)
    return without if without >= packets * _SHORTEST_IP else frames


def _tcp(tcp: dict[str, Any], packets_in: int) -> tuple[int, tuple[int, ...]]:
    out, back = _bits(tcp.get("tcp_flags_ts")), _bits(tcp.get("tcp_flags_tc"))
    if out is None or back is None or not out | back:
        return UNKNOWN, NO_FLAGS + NO_FLAGS  # a session that was not followed tells nothing
    return STATES[flag_state(out, back, packets_in)], flag_counts(out) + flag_counts(back)


def _bits(text: object) -> int | None:
    """Return the flags seen one way, without those of congestion notification."""
    if not isinstance(text, str) or not 1 <= len(text) <= 2 or not text.isalnum():
        return None
    try:
        return int(text, 16) & ALL
    except ValueError:
        raise wrong("tcp_flags", text, "a hexadecimal number") from None


def _alert(event: dict[str, Any], alert: dict[str, Any]) -> SignatureAlert:
    for name in ("src_ip", "dest_ip"):
        if event.get(name) is not None:  # an alert on a decoder event has no addresses
            _address(event, name)
    severity, gid, sid, rev = json_counts(alert, ("severity", "gid", "signature_id", "rev"))
    src_port, dst_port = json_counts(event, _PORTS, 0xFFFF)
    return SignatureAlert(
        time_ns=_time(event, "timestamp"),
        signature=short(json_text(alert, "signature")),
        category=short(alert.get("category"), 100),
        severity=severity,
        gid=gid,
        sid=sid,
        rev=rev,
        action=short(alert.get("action"), 20),
        src_ip=short(event.get("src_ip")),
        src_port=src_port,
        dst_ip=short(event.get("dest_ip")),
        dst_port=dst_port,
        proto=protocol(short(event.get("proto"))),
        flow_id=flow_name(event.get("flow_id")),
    )
