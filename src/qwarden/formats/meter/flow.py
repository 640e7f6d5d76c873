"""One flow's row: how it begins, what a packet adds to it, and what is made of it at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from qwarden.core.compiled import compiled
from qwarden.formats.flows import PAUSE_S, UNKNOWN
from qwarden.formats.meter.state import IN, OUT
from qwarden.formats.meter.tcp import ACK, SYN, advance, name_state
from qwarden.formats.readers.packets import WHOLE

_TCP, _UDP = 6, 17
_SECONDS = 1e-9


@compiled
def is_answer(packet: Any) -> bool:
    """Return whether a flow's first packet was sent by the responder, its request not captured."""
    if packet.src_lo == packet.dst_lo and packet.src_hi == packet.dst_hi and packet.src_key == packet.dst_key:
        return False  # both ends are one
    if packet.proto == _TCP and packet.tcp_flags >= 0 and packet.tcp_flags & SYN:
        return bool(packet.tcp_flags & ACK)
    if packet.proto == _TCP or packet.proto == _UDP:
        return bool(0 <= packet.src_port < 1024 <= packet.dst_port)
    return False


@compiled
def set_ends(flow: Any, packet: Any) -> int:
    """Settle who began the flow of which `packet` is the first; return the packet's direction."""
    flow.proto = packet.proto
    flow.icmp_type = packet.icmp_type
    flow.icmp_code = packet.icmp_code
    flow.vlan = packet.vlan
    flow.ip_version = packet.ip_version
    for way in range(2):
        flow.end_state[way] = 0
        flow.end_state_before[way] = 0
    if is_answer(packet):
        flow.src_hi, flow.src_lo, flow.src_key = packet.dst_hi, packet.dst_lo, packet.dst_key
        flow.dst_hi, flow.dst_lo, flow.dst_key = packet.src_hi, packet.src_lo, packet.src_key
        flow.src_port, flow.dst_port = packet.dst_port, packet.src_port
        flow.src_mac = packet.dst_mac
        return IN
    flow.src_hi, flow.src_lo, flow.src_key = packet.src_hi, packet.src_lo, packet.src_key
    flow.dst_hi, flow.dst_lo, flow.dst_key = packet.dst_hi, packet.dst_lo, packet.dst_key
    flow.src_port, flow.dst_port = packet.src_port, packet.dst_port
    flow.src_mac = packet.src_mac
    return OUT


@compiled
def start_counting(meter: Any, flow: Any, packet: Any) -> None:
    """Start the counters of a flow; who its ends are, and their TCP states, is the caller's."""
    flow.seq = meter.next_seq
    meter.next_seq += 1
    flow.born_ns = meter.clock_ns
    flow.start_ns = packet.ts_ns
    flow.end_ns = packet.ts_ns
    flow.extension = 0
    flow.fragments = 0
    flow.saw_tcp = 0
    flow.told = 0
    flow.pauses = 0
    flow.pause_mean = 0.0
    flow.pause_square = 0.0
    for way in range(2):
        flow.packets[way] = 0
        flow.bytes[way] = 0
        flow.payload[way] = 0
        flow.ttl[way] = UNKNOWN
        flow.last_ns[way] = 0
        flow.gap_mean[way] = 0.0
        flow.gap_square[way] = 0.0
        flow.gap_max[way] = 0.0
        flow.size_mean[way] = 0.0
        flow.size_square[way] = 0.0
        flow.size_max[way] = 0.0
        for flag in range(6):
            flow.flags[way, flag] = 0


@compiled
def add_packet(flow: Any, packet: Any, way: int) -> None:
    """Add a packet to its flow."""
    flow.packets[way] += 1
    count = flow.packets[way]
    flow.bytes[way] += packet.bytes
    flow.payload[way] += packet.payload
    flow.extension += packet.extension
    if packet.fragment != WHOLE:
        flow.fragments += 1
    if packet.ttl >= 0 and (flow.ttl[way] < 0 or packet.ttl < flow.ttl[way]):
        flow.ttl[way] = packet.ttl
    silence = (packet.ts_ns - flow.end_ns) * _SECONDS
    if silence >= PAUSE_S:
        flow.pauses += 1
        step = silence - flow.pause_mean
        flow.pause_mean += step / flow.pauses
        flow.pause_square += step * (silence - flow.pause_mean)
    flow.start_ns = min(flow.start_ns, packet.ts_ns)
    flow.end_ns = max(flow.end_ns, packet.ts_ns)

    size = float(packet.payload)
    step = size - flow.size_mean[way]
    flow.size_mean[way] += step / count
    flow.size_square[way] += step * (size - flow.size_mean[way])
    flow.size_max[way] = max(flow.size_max[way], size)
    if count > 1:
        # Out of order: no time has passed.
        gap = max(packet.ts_ns - flow.last_ns[way], 0) * _SECONDS
        step = gap - flow.gap_mean[way]
        flow.gap_mean[way] += step / (count - 1)
        flow.gap_square[way] += step * (gap - flow.gap_mean[way])
        flow.gap_max[way] = max(flow.gap_max[way], gap)
        flow.last_ns[way] = max(flow.last_ns[way], packet.ts_ns)
    else:
        flow.last_ns[way] = packet.ts_ns

    if packet.proto == _TCP and packet.tcp_flags >= 0:
        flow.saw_tcp = 1
        for flag in range(6):
            flow.flags[way, flag] += (packet.tcp_flags >> flag) & 1
        advance(flow.end_state, flow.end_state_before, way, packet.tcp_flags, packet.payload)


@compiled
def _spread(square: float, count: int) -> float:
    return float(np.sqrt(max(square, 0.0) / count)) if count > 0 else np.nan


@compiled
def export(flow: Any, out: Any, reason: int) -> None:
    """Write a finished flow as a row of `FLOW`."""
    out.seq = flow.seq
    out.start_ns = flow.start_ns
    out.end_ns = flow.end_ns
    out.src_hi, out.src_lo = flow.src_hi, flow.src_lo
    out.dst_hi, out.dst_lo = flow.dst_hi, flow.dst_lo
    out.src_mac = flow.src_mac
    out.proto = flow.proto
    out.src_port, out.dst_port = flow.src_port, flow.dst_port
    out.icmp_type, out.icmp_code = flow.icmp_type, flow.icmp_code
    out.vlan = flow.vlan
    out.ip_version = flow.ip_version
    out.end_reason = reason
    out.packets_out, out.packets_in = flow.packets[OUT], flow.packets[IN]
    out.bytes_out, out.bytes_in = flow.bytes[OUT], flow.bytes[IN]
    out.payload_out, out.payload_in = flow.payload[OUT], flow.payload[IN]
    out.ext_header_bytes = flow.extension
    out.fragments = flow.fragments
    out.ttl_out, out.ttl_in = flow.ttl[OUT], flow.ttl[IN]
    tcp = flow.saw_tcp
    out.tcp_state = name_state(flow.end_state, flow.payload[OUT] + flow.payload[IN]) if tcp else UNKNOWN
    out.fin_out = flow.flags[OUT, 0] if tcp else UNKNOWN
    out.syn_out = flow.flags[OUT, 1] if tcp else UNKNOWN
    out.rst_out = flow.flags[OUT, 2] if tcp else UNKNOWN
    out.psh_out = flow.flags[OUT, 3] if tcp else UNKNOWN
    out.ack_out = flow.flags[OUT, 4] if tcp else UNKNOWN
    out.urg_out = flow.flags[OUT, 5] if tcp else UNKNOWN
    out.fin_in = flow.flags[IN, 0] if tcp else UNKNOWN
    out.syn_in = flow.flags[IN, 1] if tcp else UNKNOWN
    out.rst_in = flow.flags[IN, 2] if tcp else UNKNOWN
    out.psh_in = flow.flags[IN, 3] if tcp else UNKNOWN
    out.ack_in = flow.flags[IN, 4] if tcp else UNKNOWN
    out.urg_in = flow.flags[IN, 5] if tcp else UNKNOWN
    gaps_out, gaps_in = flow.packets[OUT] - 1, flow.packets[IN] - 1
    out.iat_mean_out = flow.gap_mean[OUT] if gaps_out > 0 else np.nan
    out.iat_mean_in = flow.gap_mean[IN] if gaps_in > 0 else np.nan
    out.iat_std_out = _spread(flow.gap_square[OUT], gaps_out)
    out.iat_std_in = _spread(flow.gap_square[IN], gaps_in)
    out.iat_max_out = flow.gap_max[OUT] if gaps_out > 0 else np.nan
    out.iat_max_in = flow.gap_max[IN] if gaps_in > 0 else np.nan
    out.size_mean_out = flow.size_mean[OUT] if gaps_out >= 0 else np.nan
    out.size_mean_in = flow.size_mean[IN] if gaps_in >= 0 else np.nan
    out.size_std_out = _spread(flow.size_square[OUT], flow.packets[OUT])
    out.size_std_in = _spread(flow.size_square[IN], flow.packets[IN])
    out.size_max_out = flow.size_max[OUT] if gaps_out >= 0 else np.nan
    out.size_max_in = flow.size_max[IN] if gaps_in >= 0 else np.nan
    out.pauses = flow.pauses
    out.pause_mean = flow.pause_mean if flow.pauses else np.nan
    out.pause_std = _spread(flow.pause_square, flow.pauses)
