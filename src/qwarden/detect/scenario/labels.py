"""Labels: who every packet of a scenario belongs to, and the join of flows to them.

A label row is one conversation: protocol, both ends, first and last packet, packets. Rows with the
same ends never overlap in time, so ends and time find the one row of any packet, whatever tool cut
the capture into flows. `OUT.pcap.labels.csv` holds them as text:

``attack_id,label,technique,proto,src_ip,src_port,dst_ip,dst_port,start,end,packets``

Attack 0 is benign traffic; `src` is who started; `proto` is the IANA number, 2054 for ARP; times are
epoch seconds; ports are empty where the protocol has none.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from qwarden.core.errors import InputError
from qwarden.detect.scenario.headers import I64
from qwarden.detect.scenario.wire import TCP, UDP, Wire
from qwarden.formats.flows import UNKNOWN, Flows, join_address, split_address

KINDS: Final = (
    "scan_horizontal", "scan_vertical", "guessing", "flood_syn", "flood_udp", "flood_icmp", "beacon",
    "dead_c2", "dns_tunnel", "exfiltration", "arp_flood", "dhcp_flood",
)  # fmt: skip
"""The kinds of attack; a row's label is one of them or ``benign``."""

HEADER: Final = (
    "attack_id", "label", "technique", "proto", "src_ip", "src_port", "dst_ip", "dst_port",
    "start", "end", "packets",
)  # fmt: skip

LABEL: Final = np.dtype(
    [
        ("attack_id", "<i4"), ("label", "U16"), ("technique", "U12"), ("proto", "<i4"),
        ("src_hi", "<u8"), ("src_lo", "<u8"), ("src_port", "<i4"),
        ("dst_hi", "<u8"), ("dst_lo", "<u8"), ("dst_port", "<i4"),
        ("start_us", "<i8"), ("end_us", "<i8"), ("packets", "<i8"),
    ]
)  # fmt: skip
"""One label row; addresses as in `formats.flows`, ports `UNKNOWN` where there are none."""

Labels = npt.NDArray[np.void]
"""A one-dimensional array of dtype `LABEL`."""

_MERGE_GAP_US: Final = 60_000_000  # an attack's exchanges on the same ends are one row unless this far apart
_MAPPED: Final = 0xFFFF << 32


@dataclass(frozen=True)
class Belonging:
    """Which conversations stay, and their rows."""

    labels: Labels
    dropped: npt.NDArray[np.bool_]  # conversation collides with a more important one: not captured


def endpoint_key(
    proto: I64, src: npt.NDArray[np.uint64], dst: npt.NDArray[np.uint64], src_port: I64, dst_port: I64
) -> npt.NDArray[np.void]:
    """Return a comparable key of protocol and ends, the same for both directions.

    Parameters
    ----------
    proto, src_port, dst_port : arrays (n,); ports count only for TCP and UDP.
    src, dst : arrays (n, 2), the two halves of the addresses.
    """
    ported = (proto == TCP) | (proto == UDP)
    a = np.column_stack((src, np.where(ported, src_port, 0).astype(np.uint64)))
    b = np.column_stack((dst, np.where(ported, dst_port, 0).astype(np.uint64)))
    swap = np.zeros(len(proto), bool)
    equal = np.ones(len(proto), bool)
    for i in range(3):
        swap |= equal & (a[:, i] > b[:, i])
        equal &= a[:, i] == b[:, i]
    low, high = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    key = np.ascontiguousarray(np.column_stack((proto.astype(np.uint64), low, high)))
    return key.view([("", np.uint64)] * 7).ravel()


def belonging(wire: Wire, packets: dict[str, I64], start_us: int) -> Belonging:
    """Return the label rows of captured packets.

    Conversations with the same ends that overlap in time become one row if they belong to the same
    attack (or to none); otherwise the one with the smaller attack id goes: benign traffic yields.
    """
    count = len(wire.talks)
    times, conversation = packets["time"] + start_us, packets["conversation"]
    seen = np.bincount(conversation, minlength=count)
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, -1)
    np.minimum.at(first, conversation, times)
    np.maximum.at(last, conversation, times)
    present = np.flatnonzero(seen > 0)
    rows = np.zeros(len(present), LABEL)
    talks = [wire.talks[i] for i in present.tolist()]
    half = (1 << 64) - 1
    for name, which in (("src", 0), ("dst", 1)):
        ends = [(t.client, t.server)[which] for t in talks]
        rows[f"{name}_hi"] = np.array([end.ip >> 64 for end in ends], np.uint64)
        rows[f"{name}_lo"] = np.array(
            [
                (end.ip & half) if t.version == 6 else end.ip | _MAPPED
                for end, t in zip(ends, talks, strict=True)
            ],
            np.uint64,
        )
        rows[f"{name}_port"] = [
            end.port if t.proto in (TCP, UDP) else UNKNOWN for end, t in zip(ends, talks, strict=True)
        ]
    rows["proto"] = [t.proto for t in talks]
    for name in ("attack_id", "label", "technique"):
        rows[name] = [getattr(t.tag, name) for t in talks]
    rows["start_us"], rows["end_us"], rows["packets"] = first[present], last[present], seen[present]
    kept, lost = _merged(rows)
    dropped = np.zeros(count, bool)
    dropped[present[lost]] = True
    return Belonging(kept, dropped)


def _keys(rows: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    src = np.column_stack((rows["src_hi"], rows["src_lo"]))
    dst = np.column_stack((rows["dst_hi"], rows["dst_lo"]))
    return endpoint_key(
        rows["proto"].astype(np.int64), src, dst,
        rows["src_port"].astype(np.int64), rows["dst_port"].astype(np.int64),
    )  # fmt: skip


def _merged(rows: Labels) -> tuple[Labels, I64]:
    """Return rows without overlaps, and the places of the rows that had to go."""
    _, key = np.unique(_keys(rows), return_inverse=True)
    # Attacks first within a key, so that whoever comes later in the loop is who yields.
    order = np.lexsort((rows["start_us"], -rows["attack_id"], key))
    kept: list[tuple[int, int, int, list[int]]] = []  # start, end, attack, members
    lost: list[int] = []
    groups: list[tuple[int, int, int, list[int]]] = []
    previous = -1
    starts, ends, ids = (rows[n].tolist() for n in ("start_us", "end_us", "attack_id"))
    for row in order.tolist():
        if key[row] != previous:
            kept.extend(groups)
            groups, previous = [], key[row]
        start, end, attack = starts[row], ends[row], ids[row]
        if any(a != attack and s <= end and start <= e for s, e, a, _ in groups):
            lost.append(row)
            continue
        if groups and groups[-1][2] == attack:
            s, e, _, members = groups[-1]
            gap = _MERGE_GAP_US if attack else 0
            reach = max(e, end)
            if start <= e + gap and not any(
                a != attack and s2 <= reach and s <= e2 for s2, e2, a, _ in groups
            ):
                members.append(row)
                groups[-1] = (s, reach, attack, members)
                continue
        groups.append((start, end, attack, [row]))
    kept.extend(groups)
    out = rows[[members[0] for *_, members in kept]]
    out["start_us"] = [start for start, *_ in kept]
    out["end_us"] = [end for _, end, *_ in kept]
    out["packets"] = [int(rows["packets"][members].sum()) for *_, members in kept]
    return out[np.argsort(out["start_us"], kind="stable")], np.array(lost, np.int64)


def labels_path(capture: str | Path) -> Path:
    """Return where the labels of a capture stand.

    >>> labels_path("range.pcap").name
    'range.pcap.labels.csv'
    """
    return Path(f"{capture}.labels.csv")


def write_labels(path: str | Path, labels: Labels) -> None:
    """Write label rows as CSV; raises `InputError` where that is not possible."""
    lines = [",".join(HEADER)]
    texts: dict[tuple[int, int], str] = {}

    def address(hi: int, lo: int) -> str:
        if (hi, lo) not in texts:
            texts[hi, lo] = join_address(hi, lo)
        return texts[hi, lo]

    for row in labels.tolist():
        attack, label, technique, proto, shi, slo, sport, dhi, dlo, dport, start, end, packets = row
        one = f"{address(shi, slo)},{'' if sport == UNKNOWN else sport}"
        two = f"{address(dhi, dlo)},{'' if dport == UNKNOWN else dport}"
        when = f"{_seconds(start)},{_seconds(end)}"
        lines.append(f"{attack},{label},{technique},{proto},{one},{two},{when},{packets}")
    try:
        Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from error


def _seconds(microseconds: int) -> str:
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _microseconds(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 1_000_000 + int(f"{fraction:0<6}"[:6])


def read_labels(path: str | Path) -> Labels:
    """Read label rows back from CSV.

    Raises
    ------
    InputError
        The file cannot be read, or a line is not a label row (the line is named).
    """
    try:
        with Path(path).open(newline="", encoding="ascii") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not ASCII text"
        raise InputError(path, f"labels cannot be read: {reason}") from error
    if not lines or tuple(lines[0]) != HEADER:
        raise InputError(path, f"expected the header {','.join(HEADER)}", "line 1")
    rows: list[tuple[object, ...]] = []
    for number, line in enumerate(lines[1:], 2):
        try:
            attack, label, technique, proto, src, sport, dst, dport, start, end, packets = line
            source, target = split_address(src), split_address(dst)
            ports = [int(text) if text else UNKNOWN for text in (sport, dport)]
            rows.append(
                (
                    int(attack), label, technique, int(proto), *source, ports[0], *target, ports[1],
                    _microseconds(start), _microseconds(end), int(packets),
                )
            )  # fmt: skip
        except ValueError as error:
            raise InputError(
                path, f"expected a label row of {len(HEADER)} fields: {error}", f"line {number}"
            ) from error
    return np.array(rows, LABEL)


def label_flows(flows: Flows, labels: Labels) -> tuple[I64, I64]:
    """Find the label row of every flow.

    A flow belongs to the row with its protocol and ends, in either direction, whose packets within
    the flow's time are the most: where a flow meter joins two conversations, the greater one counts.

    Parameters
    ----------
    flows : array of `FLOW` of the labelled capture.
    labels : array of `LABEL`, see `read_labels`.

    Returns
    -------
    index : array (n,) into `labels`, -1 for a flow that no row explains.
    attack_id : array (n,), 0 for benign, -1 for a flow that no row explains.
    """
    index = np.full(len(flows), -1, np.int64)
    if not len(flows) or not len(labels):
        return index, index.copy()
    _, key = np.unique(np.concatenate((_keys(labels), _keys(flows))), return_inverse=True)
    label_key, flow_key = key[: len(labels)], key[len(labels) :]
    order = np.argsort(label_key, kind="stable")
    low = np.searchsorted(label_key[order], flow_key, "left")
    many = np.searchsorted(label_key[order], flow_key, "right") - low
    flow = np.repeat(np.arange(len(flows)), many)
    rank = np.arange(len(flow)) - np.repeat(np.cumsum(many) - many, many)
    label = order[np.repeat(low, many) + rank]
    start, end = labels["start_us"][label], labels["end_us"][label]
    flow_start, flow_end = flows["start_ns"][flow] // 1000, flows["end_ns"][flow] // 1000
    shared = np.minimum(end, flow_end) - np.maximum(start, flow_start)
    weight = labels["packets"][label] * (shared + 1.0) / (end - start + 1.0)
    fits = shared >= 0
    flow, label, weight = flow[fits], label[fits], weight[fits]
    best = np.lexsort((weight, flow))  # the heaviest of a flow comes last and stays
    index[flow[best]] = label[best]
    return index, np.where(index >= 0, labels["attack_id"][index], -1)
