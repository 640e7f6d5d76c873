"""A large capture of mixed traffic, written by NumPy: the same bytes for the same seed.

TCP and UDP over IPv4 and IPv6, a share in VLANs, echo requests and ARP; flows overlap in time, have
a heavy-tailed number of packets, and start and end as connections do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_STEP = 100_000

TCP4, UDP4, TCP6, VLAN, ECHO, ARP = range(6)
_SHARES = (0.50, 0.27, 0.12, 0.07, 0.03, 0.01)
_LINK = {TCP4: 14, UDP4: 14, TCP6: 14, VLAN: 18, ECHO: 14, ARP: 14}
_NETWORK = {TCP4: 20, UDP4: 20, TCP6: 40, VLAN: 20, ECHO: 20, ARP: 28}
_TRANSPORT = {TCP4: 20, UDP4: 8, TCP6: 20, VLAN: 20, ECHO: 8, ARP: 0}

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Flows:
    kind: Ints
    client: Ints
    server: Ints
    client_port: Ints
    server_port: Ints
    start_us: Ints
    duration_us: Ints
    packets: Ints


def _draw_flows(rng: np.random.Generator, packets: int) -> _Flows:
    count = max(packets // 16, 1)
    kind = rng.choice(len(_SHARES), count, p=_SHARES)
    size = np.maximum(rng.lognormal(1.9, 1.1, count), 1).astype(np.int64)
    size[kind == ARP] = 2
    size = np.minimum(size * packets // size.sum() + 1, 5000)
    seconds = packets / 20_000  # a link that carries 20,000 packets a second
    return _Flows(
        kind,
        rng.integers(0, 4000, count),
        rng.integers(0, 1500, count),
        rng.integers(1024, 65536, count),
        rng.choice(np.array([443, 80, 22, 25, 445, 53, 123, 8080]), count),
        rng.integers(0, max(int(seconds * 1e6), 1), count),
        (rng.lognormal(0.0, 1.5, count) * 1e6).astype(np.int64),
        size,
    )


def _big_endian(values: Ints, width: int) -> Bytes:
    shifts = np.arange(width - 1, -1, -1) * 8
    return ((values[:, None] >> shifts) & 0xFF).astype(np.uint8)


def _headers(
    kind: int, flows: _Flows, flow: Ints, back: npt.NDArray[np.bool_], flags: Ints, payload: Ints
) -> Bytes:
    """Return the headers of packets of one kind, a row a packet."""
    link, network, transport = _LINK[kind], _NETWORK[kind], _TRANSPORT[kind]
    rows = np.zeros((len(flow), link + network + transport), np.uint8)
    client, server = flows.client[flow], flows.server[flow]
    source, target = np.where(back, server, client), np.where(back, client, server)
    rows[:, 0:6] = _big_endian(0x020000000000 + target, 6)
    rows[:, 6:12] = _big_endian(0x020000000000 + source, 6)
    ip = rows[:, link:]
    if kind == VLAN:
        rows[:, 12:14] = 0x81, 0x00
        rows[:, 15] = 42
    rows[:, link - 2 : link] = {TCP6: (0x86, 0xDD), ARP: (0x08, 0x06)}.get(kind, (0x08, 0x00))
    if kind == ARP:
        ip[:, :6] = 0, 1, 8, 0, 6, 4
        ip[:, 7] = 1 + back
        ip[:, 14:18] = _big_endian(0x0A000000 + source, 4)
        ip[:, 24:28] = _big_endian(0x0A000000 + target, 4)
        return rows
    proto = {UDP4: 17, ECHO: 1}.get(kind, 6)
    if kind == TCP6:
        ip[:, 0] = 0x60
        ip[:, 4:6] = _big_endian(payload + transport, 2)
        ip[:, 6:8] = proto, 64
        for at, end in ((8, source), (24, target)):
            ip[:, at : at + 4] = 0x20, 0x01, 0x0D, 0xB8
            ip[:, at + 12 : at + 16] = _big_endian(end, 4)
    else:
        ip[:, 0] = 0x45
        ip[:, 2:4] = _big_endian(payload + network + transport, 2)
        ip[:, 8:10] = 64, proto
        ip[:, 12:16] = _big_endian(np.where(back, 0xC6120000, 0x0A000000) + source, 4)
        ip[:, 16:20] = _big_endian(np.where(back, 0x0A000000, 0xC6120000) + target, 4)
    upper = ip[:, network:]
    client_port, server_port = flows.client_port[flow], flows.server_port[flow]
    if kind == ECHO:
        upper[:, 0] = np.where(back, 0, 8)
        upper[:, 4:6] = _big_endian(client_port, 2)
        return rows
    upper[:, 0:2] = _big_endian(np.where(back, server_port, client_port), 2)
    upper[:, 2:4] = _big_endian(np.where(back, client_port, server_port), 2)
    if proto == 17:
        upper[:, 4:6] = _big_endian(payload + 8, 2)
    else:
        upper[:, 12] = 0x50
        upper[:, 13] = flags
    return rows


def write_traffic(path: Path, packets: int, seed: int) -> int:
    """Write a capture of about `packets` packets; return how many it has."""
    rng = np.random.default_rng(seed)
    flows = _draw_flows(rng, packets)
    flow = np.repeat(np.arange(len(flows.kind)), flows.packets)
    first = np.cumsum(flows.packets) - flows.packets
    place = np.arange(len(flow)) - first[flow]
    time_us = flows.start_us[flow] + (flows.duration_us[flow] * place) // flows.packets[flow]
    order = np.argsort(time_us, kind="stable")
    flow, place, time_us = flow[order], place[order], time_us[order]

    left = flows.packets[flow] - 1 - place
    back = np.where((place < 2) | (left < 2), place % 2 == 1, rng.random(len(flow)) < 0.5)
    quiet = (place < 3) | (left < 2)
    sizes = rng.choice(np.array([0, 36, 120, 517, 1460]), len(flow), p=(0.42, 0.18, 0.15, 0.10, 0.15))
    flags = np.where(place == 0, 0x02, np.where(place == 1, 0x12, np.where(left < 2, 0x11, 0x18)))
    kind = flows.kind[flow]
    tcp = (kind != UDP4) & (kind != ECHO)
    payload = np.where(tcp & quiet, 0, np.where(tcp, sizes, 40))
    payload[kind == ARP] = 0

    headers = np.array([_LINK[k] + _NETWORK[k] + _TRANSPORT[k] for k in range(len(_SHARES))])
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for begin in range(0, len(flow), _STEP):
            part = slice(begin, begin + _STEP)
            length = headers[kind[part]] + payload[part]
            offset = np.cumsum(length + 16) - (length + 16)
            data = np.full(int(offset[-1] + length[-1] + 16), 0x5A, np.uint8)
            stamp = 1_700_000_000_000_000 + time_us[part]
            record = np.stack([stamp // 1_000_000, stamp % 1_000_000, length, length], 1).astype("<u4")
            data[offset[:, None] + np.arange(16)] = record.view(np.uint8)
            for which in range(len(_SHARES)):
                mine = np.flatnonzero(kind[part] == which)
                if mine.size:
                    pick = begin + mine
                    rows = _headers(which, flows, flow[pick], back[pick], flags[pick], payload[pick])
                    data[offset[mine][:, None] + 16 + np.arange(rows.shape[1])] = rows
            file.write(data.tobytes())
    return len(flow)
