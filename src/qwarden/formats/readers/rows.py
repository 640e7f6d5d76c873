"""A log line's values, and what follows from them: rows become canonical flows.

A row has the columns of `COLUMNS`, in their order; every other column of `FLOW` is unknown. Beside
numbers and `UNKNOWN`, a row's flag counts may be `EVERY` or `SOME`, which `to_flows` resolves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.formats.flows import FLAG_NAMES, FLOW, UNKNOWN, Flows, unknown_flows

COLUMNS: Final = (
    "start_ns", "end_ns", "src_hi", "src_lo", "dst_hi", "dst_lo", "ip_version", "proto",
    "src_port", "dst_port", "icmp_type", "icmp_code", "src_mac", "vlan", "tcp_state",
    "packets_out", "packets_in", "bytes_out", "bytes_in", "payload_out", "payload_in",
    *(f"{flag}_{way}" for way in ("out", "in") for flag in FLAG_NAMES),
)  # fmt: skip

Row = tuple[int, ...]


@dataclass(slots=True)
class NamedRow:
    """A row, and what the sensor calls the flow."""

    row: Row
    flow_id: str


COMMENT, OTHER = "comment", "other"
"""What a line is that holds neither a row nor an alert: no record at all, or one of another kind."""

EVERY: Final = -2
"""The flag was on every packet that way."""
SOME: Final = -3
"""The flag was on at least one packet that way."""

NO_FLAGS: Final = (UNKNOWN,) * len(FLAG_NAMES)

_ONCE: Final = ("fin", "syn", "rst")
"""Flags that an ordinary connection shows once a way: some of them is one of them."""


@dataclass(slots=True)
class OneWay:
    """What one record tells of one direction of a flow, or of a piece of it: NetFlow, cloud flow logs.

    Attributes
    ----------
    start, end : nanoseconds.
    src, dst : both halves of the address, and the port; `UNKNOWN` without ports, so of ICMP.
    version, proto : of IP; IANA number.
    packets, bytes : that way, network layer; `UNKNOWN` where they are not told.
    flags : TCP flags that were seen that way, a bit each (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32);
        `UNKNOWN` where the source does not tell.
    packets_back, bytes_back : where a record counts the other way as well; `UNKNOWN` where it does not.
    flags_back : the flags of the other way, likewise.
    kind, code : of ICMP.
    mac, vlan : of the sender; the id.
    rejected : a filter let nothing of it through.
    begun : the source is known to have begun the flow.
    observer : who recorded it; what two have recorded does not join.
    """

    start: int
    end: int
    src: tuple[int, int, int]
    dst: tuple[int, int, int]
    version: int
    proto: int
    packets: int
    bytes: int
    flags: int = UNKNOWN
    packets_back: int = UNKNOWN
    bytes_back: int = UNKNOWN
    flags_back: int = UNKNOWN
    kind: int = UNKNOWN
    code: int = UNKNOWN
    mac: int = UNKNOWN
    vlan: int = UNKNOWN
    rejected: bool = False
    begun: bool = False
    observer: str = ""


def to_flows(rows: Sequence[Row], first_seq: int) -> Flows:
    """Return one flow a row, numbered from `first_seq`."""
    if not rows:
        return np.empty(0, FLOW)
    flows = unknown_flows(len(rows))
    flows["seq"] = np.arange(first_seq, first_seq + len(rows))
    for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        flows[name] = np.array(column, FLOW[name])
    for way in ("out", "in"):
        _settle_flags(flows, way)
        _settle_payload(flows, way)
    return flows


def _settle_flags(flows: Flows, way: str) -> None:
    packets: npt.NDArray[np.int64] = flows[f"packets_{way}"]
    for flag in FLAG_NAMES:
        counts: npt.NDArray[np.int64] = flows[f"{flag}_{way}"]
        if (counts >= UNKNOWN).all():
            continue
        one = 1 if flag in _ONCE else UNKNOWN
        every, some = counts == EVERY, counts == SOME
        counts[every] = np.where(packets > 0, packets, one)[every]
        counts[some] = np.where(packets == 1, 1, one)[some]


def _settle_payload(flows: Flows, way: str) -> None:
    """Drop what cannot be, and fill in the packet sizes that follow from what is known."""
    packets, payload = flows[f"packets_{way}"], flows[f"payload_{way}"]
    bytes_seen = flows[f"bytes_{way}"]
    # Counted by sequence numbers, payload includes what was never seen; then how much was is unknown.
    payload[(bytes_seen >= 0) & (payload > bytes_seen)] = UNKNOWN
    payload[packets == 0] = 0
    known = (payload >= 0) & (packets > 0)
    even = known & ((payload == 0) | (packets == 1))  # all packets alike
    flows[f"size_mean_{way}"][known] = payload[known] / packets[known]
    flows[f"size_std_{way}"][even] = 0.0
    flows[f"size_max_{way}"][even] = payload[even]
