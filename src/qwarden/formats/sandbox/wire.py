"""What the reading process tells its parent, and how far it is believed.

A message is ``<II``: length of a JSON header, length of a body; then both. The body is raw rows of
`FLOW`; alerts and transactions stand in the header. The reading process may be in an attacker's hands, so
the parent checks everything: sizes before it allocates, types, ranges, and that counts and order are
possible.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.formats.accounting import (
    END_OF_TIME,
    MOST_PROBLEMS,
    LineCounts,
    PacketCounts,
    RecordCounts,
    SourceReport,
)
from qwarden.formats.alerts import SignatureAlert
from qwarden.formats.flows import FLOW, NOT_YET_AGAIN, PROTO_ARP, TCP_STATES, UNKNOWN, Flows
from qwarden.formats.transactions import FIELDS, LONGEST_ID, Transaction, is_value

PREFIX: Final = struct.Struct("<II")
MOST_HEADER: Final = 2 << 20
MOST_ALERTS: Final = 64
"""Alerts of a message, and transactions."""
MOST_FLOWS: Final = 8192
MOST_BODY: Final = MOST_FLOWS * FLOW.itemsize

LATEST_NS: Final = (1 << 62) - 1
_MOST_COUNT: Final = 1 << 53
_MOST_TEXT: Final = 300


class Distrust(Exception):  # noqa: N818
    """The reading process said something impossible."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the reading process.

    Attributes
    ----------
    report : counts so far, and all problems so far.
    watermark_ns, epoch : of the flows that come with it, see `FlowBatch`.
    cage : on the first message, the measures that hold; else empty.
    last : nothing follows.
    alerts : those that were read since the message before.
    flow_ids : what the sensor calls each flow, a line each; empty if it names none.
    transactions : those that were read since the message before.
    """

    report: SourceReport
    watermark_ns: int
    epoch: int
    cage: list[dict[str, Any]]
    last: bool
    alerts: tuple[SignatureAlert, ...] = ()
    flow_ids: str = ""
    transactions: tuple[Transaction, ...] = ()


def encode(message: Message, flows: Flows) -> tuple[bytes, memoryview]:
    """Return prefix and header, and the body."""
    document = asdict(replace(message, transactions=()))
    document["transactions"] = [  # `asdict` would copy every text of them
        {"flow_id": said.flow_id, "protocol": said.protocol, "values": said.values}
        for said in message.transactions
    ]
    header = json.dumps(document, separators=(",", ":")).encode()
    body = np.ascontiguousarray(flows).view(np.uint8).data
    return PREFIX.pack(len(header), len(body)) + header, body


def check_sizes(header: int, body: int) -> None:
    """Raise `Distrust` unless a message of these lengths may be read into memory."""
    if not 0 < header <= MOST_HEADER or body > MOST_BODY or body % FLOW.itemsize:
        raise Distrust(f"a message of {header} and {body} bytes")


def checked_integer(value: object, low: int, high: int, what: str) -> int:
    """Return `value` if it is an integer within its range."""
    if type(value) is not int or not low <= value <= high:
        raise Distrust(f"{what} out of its range")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise Distrust(f"{what} is no short text")
    return "".join(char if char.isprintable() else "?" for char in value)


def checked_object(value: object, names: set[str], what: str) -> dict[str, Any]:
    """Return `value` if it is an object of these fields."""
    if not isinstance(value, dict) or set(value) != names:
        raise Distrust(f"{what} has other fields than expected")
    return value


def _names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def decode_header(header: bytes, path: str) -> Message:
    """Return the checked message; `path` names the source whatever the process says."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise Distrust("a header that is no JSON") from error
    top = checked_object(document, _names(Message), "the header")
    report, cage = checked_report(top["report"], path), checked_cage(top["cage"])
    alerts, transactions = (_list(top[name], MOST_ALERTS, name) for name in ("alerts", "transactions"))
    watermark = top["watermark_ns"]
    if watermark != END_OF_TIME:
        checked_integer(watermark, 0, LATEST_NS, "the watermark")
    return Message(
        report=report,
        watermark_ns=checked_integer(watermark, 0, END_OF_TIME, "the watermark"),
        epoch=checked_integer(top["epoch"], 0, _MOST_COUNT, "the epoch"),
        cage=cage,
        last=top["last"] is True,
        alerts=tuple(_alert(alert) for alert in alerts),
        flow_ids=_flow_ids(top["flow_ids"]),
        transactions=tuple(_transaction(transaction) for transaction in transactions),
    )


def _list(value: object, most: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Distrust(f"too many {what}")
    return value


def _flow_ids(value: object) -> str:
    plain = value.replace("\n", "") if isinstance(value, str) else "?"
    if (plain and not (plain.isalnum() and plain.isascii())) or len(plain) > MOST_FLOWS * LONGEST_ID:
        raise Distrust("names of flows that are none")
    assert isinstance(value, str)
    return value


def checked_report(value: object, path: str) -> SourceReport:
    """Return the report that a message carries; `path` names the source whatever the process says."""
    told = checked_object(value, _names(SourceReport), "the report")
    packets = PacketCounts(**_counts(told["packets"], _names(PacketCounts), "the packet counts"))
    lines = LineCounts(**_counts(told["lines"], _names(LineCounts), "the line counts"))
    records = RecordCounts(**_counts(told["records"], _names(RecordCounts), "the record counts"))
    if not (packets.adds_up and lines.adds_up and records.adds_up):
        raise Distrust("counts that do not add up")
    problems = told["problems"]
    if not isinstance(problems, list) or len(problems) > MOST_PROBLEMS:
        raise Distrust("too many problems")
    return SourceReport(
        path=path,
        format=_text(told["format"], "the format"),
        packets=packets,
        lines=lines,
        records=records,
        flows_read=checked_integer(told["flows_read"], 0, _MOST_COUNT, "flows_read"),
        flows_evicted=checked_integer(told["flows_evicted"], 0, _MOST_COUNT, "flows_evicted"),
        problems=[_text(problem, "a problem") for problem in problems],
        problems_total=checked_integer(told["problems_total"], len(problems), _MOST_COUNT, "problems_total"),
        complete=told["complete"] is True,
    )


def checked_cage(cage: object) -> list[dict[str, Any]]:
    """Return the measures that a message names."""
    if not isinstance(cage, list) or len(cage) > 32:
        raise Distrust("too many measures")
    for measure in cage:
        checked_object(measure, {"measure", "holds", "detail"}, "a measure")
    return [
        {
            "measure": _text(measure["measure"], "a measure"),
            "holds": measure["holds"] is True,
            "detail": _text(measure["detail"], "a measure"),
        }
        for measure in cage
    ]


def _counts(value: object, names: set[str], what: str) -> dict[str, int]:
    counts = checked_object(value, names, what)
    return {name: checked_integer(count, 0, _MOST_COUNT, name) for name, count in counts.items()}


_ALERT_TEXTS: Final = ("signature", "category", "action", "src_ip", "dst_ip")
_ALERT_NUMBERS: Final = {
    "time_ns": (0, LATEST_NS),
    **dict.fromkeys(("severity", "gid", "sid", "rev"), (UNKNOWN, _MOST_COUNT)),
    **dict.fromkeys(("src_port", "dst_port"), (UNKNOWN, 0xFFFF)),
    "proto": (UNKNOWN, 0xFF),
}


def _alert(value: object) -> SignatureAlert:
    told = checked_object(value, _names(SignatureAlert), "an alert")
    for name in ("src_ip", "dst_ip"):
        if told[name] != "":
            try:
                ipaddress.ip_address(_text(told[name], name))
            except ValueError:
                raise Distrust(f"{name} is no address") from None
    texts = {name: _text(told[name], name) for name in _ALERT_TEXTS}
    numbers = {name: checked_integer(told[name], *span, name) for name, span in _ALERT_NUMBERS.items()}
    flow_id = _flow_ids(_text(told["flow_id"], "the name of a flow"))
    return SignatureAlert(**texts, **numbers, flow_id=flow_id)  # type: ignore[arg-type]


def _transaction(value: object) -> Transaction:
    told = checked_object(value, _names(Transaction), "a transaction")
    protocol, values = _text(told["protocol"], "the protocol"), told["values"]
    order = FIELDS.get(protocol, ())
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values):
        raise Distrust("a transaction without values")
    names = [name for name, _ in values]
    if (
        not names
        or not all(is_value(name, str(text)) for name, text in values)
        or names != [name for name in order if name in names]
    ):
        raise Distrust("a transaction of other values than expected")
    return Transaction(
        _flow_ids(_text(told["flow_id"], "the name of a flow")),
        protocol,
        tuple((name, _text(text, name)) for name, text in values),
    )


def _within(values: npt.NDArray[Any], low: int, high: int) -> bool:
    return bool((values >= low).all() and (values <= high).all())


_SMALL: Final = {
    "proto": (UNKNOWN, PROTO_ARP),
    "src_port": (UNKNOWN, 0xFFFF),
    "dst_port": (UNKNOWN, 0xFFFF),
    "icmp_type": (UNKNOWN, 0xFFFF),
    "icmp_code": (UNKNOWN, 0xFF),
    "vlan": (UNKNOWN, 0x0FFF),
    "ip_version": (0, 6),
    "tcp_state": (UNKNOWN, len(TCP_STATES) - 1),
    "end_reason": (UNKNOWN, NOT_YET_AGAIN),
    "ttl_out": (UNKNOWN, 0xFF),
    "ttl_in": (UNKNOWN, 0xFF),
    "src_mac": (UNKNOWN, (1 << 48) - 1),
    "start_ns": (0, LATEST_NS),
    "end_ns": (0, LATEST_NS),
    "seq": (0, _MOST_COUNT),
}
_FLOATS: Final = [name for name in FLOW.names or () if FLOW[name].kind == "f"]
_COUNTS: Final = [name for name in FLOW.names or () if FLOW[name].kind == "i" and name not in _SMALL]


def check_flows(flows: Flows, logged: bool = False) -> None:
    """Raise `Distrust` unless every column is within the range of its kind.

    Parameters
    ----------
    logged : they were read from a log or told by an exporter, which need not know protocols, packets and
        reasons.
    """
    if flows.size == 0:
        return
    for name, (low, high) in _SMALL.items():
        if not _within(flows[name], low, high):
            raise Distrust(f"{name} out of its range")
    for name in _COUNTS:
        if not _within(flows[name], UNKNOWN, _MOST_COUNT):
            raise Distrust(f"{name} out of its range")
    for name in _FLOATS:
        values = flows[name]
        if (values < 0).any() or np.isinf(values).any():
            raise Distrust(f"{name} is negative or infinite")
    if (flows["start_ns"] > flows["end_ns"]).any():
        raise Distrust("a flow that ends before it starts")
    if (flows["ip_version"] % 2).any() or (flows["ip_version"] == 2).any():
        raise Distrust("ip_version out of its range")
    if logged:
        return
    if (flows["packets_out"] + flows["packets_in"] < 1).any():
        raise Distrust("a flow without a packet")
    if (flows["proto"] < 0).any() or (flows["end_reason"] < 0).any():
        raise Distrust("a flow without a protocol or an end")
