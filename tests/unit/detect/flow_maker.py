"""Flows made by hand for the detection tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from qwarden.formats.flows import TCP_STATES, Flows, split_address, unknown_flows

SECOND = 1_000_000_000
T0 = 1_767_600_000 * SECOND


def make_flow(
    src: str = "10.0.0.5",
    dst: str = "10.0.0.9",
    port: int = 443,
    at_s: float = 0.0,
    lasts_s: float = 0.1,
    proto: int = 6,
    state: str = "SF",
    **columns: Any,
) -> Flows:
    """Return one complete TCP exchange, with the columns given."""
    flow = unknown_flows(1)
    flow["src_hi"], flow["src_lo"] = split_address(src)
    flow["dst_hi"], flow["dst_lo"] = split_address(dst)
    flow["dst_port"], flow["src_port"], flow["proto"], flow["ip_version"] = port, 50_000, proto, 4
    flow["start_ns"] = T0 + int(at_s * SECOND)
    flow["end_ns"] = flow["start_ns"] + int(lasts_s * SECOND)
    flow["tcp_state"] = TCP_STATES.index(state) if proto == 6 else -1
    defaults = {
        "packets_out": 6, "packets_in": 6, "bytes_out": 900, "bytes_in": 1500, "payload_out": 600,
        "payload_in": 1200, "ext_header_bytes": 0, "fragments": 0, "icmp_type": -1,
    }  # fmt: skip
    for name, value in {**defaults, **columns}.items():
        flow[name] = value
    return flow


def failed_syn(**where: Any) -> Flows:
    """Return a SYN that nobody answered."""
    return make_flow(
        state="S0",
        packets_out=1,
        packets_in=0,
        bytes_out=60,
        bytes_in=0,
        payload_out=0,
        payload_in=0,
        **where,
    )


def in_order(*flows: Flows) -> Flows:
    """Return the flows as one array, sorted by their end."""
    joined: Flows = np.concatenate(flows)
    joined["seq"] = np.arange(len(joined))
    return joined[np.argsort(joined["end_ns"], kind="stable")]
