"""Room of formats: bytes from outside become canonical flows; flows and findings become formats outside.

In: capture files (pcap, pcapng, gzip of each). Out: arrays of `flows.FLOW`.

    with open_capture("office.pcap") as reader:
        for batch in reader:        # FlowBatch(flows, watermark_ns, epoch)
            ...
        reader.report               # packets read, malformed, truncated, other; problems with place

Start reading in `flows` (the one schema), then follow a packet: `captures` (the door) ->
`sandbox.host` and `sandbox.worker` (the process that reads) -> `readers.capture` (bytes, framing,
headers) -> `meter.meter` (flows).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwarden.formats.accounting import PacketCounts, SourceReport
    from qwarden.formats.captures import (
        CaptureReader,
        FlowBatch,
        find_captures,
        is_capture,
        open_capture,
        sandbox_report,
    )
    from qwarden.formats.flows import FLOW, Flows, join_address, proto_name, split_address, unknown_flows
    from qwarden.formats.meter.settings import MeterSettings
    from qwarden.formats.readers.warm import warm_up
    from qwarden.formats.sandbox.host import host, stop_host

# Loaded on first use: the command line's help must not wait for NumPy.
_HOME = {
    "PacketCounts": "accounting", "SourceReport": "accounting",
    "CaptureReader": "captures", "FlowBatch": "captures", "find_captures": "captures",
    "is_capture": "captures", "open_capture": "captures", "sandbox_report": "captures",
    "FLOW": "flows", "Flows": "flows", "join_address": "flows", "proto_name": "flows",
    "split_address": "flows", "unknown_flows": "flows",
    "MeterSettings": "meter.settings",
    "warm_up": "readers.warm",
    "host": "sandbox.host", "stop_host": "sandbox.host",
}  # fmt: skip

__all__ = [
    "FLOW",
    "CaptureReader",
    "FlowBatch",
    "Flows",
    "MeterSettings",
    "PacketCounts",
    "SourceReport",
    "find_captures",
    "host",
    "is_capture",
    "join_address",
    "open_capture",
    "proto_name",
    "sandbox_report",
    "split_address",
    "stop_host",
    "unknown_flows",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
