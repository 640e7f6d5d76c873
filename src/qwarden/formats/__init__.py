"""Room of formats: bytes from outside become canonical flows; flows and findings become formats outside.

In: captures (pcap, pcapng), logs (Zeek, Suricata's EVE), flow records (Argus, nfdump, the clouds' flow
logs, tables with a mapping), gzip of each. Out: arrays of `flows.FLOW`, the alerts of Suricata and Zeek, and
what they say was said within flows (`transactions`).

    with open_capture("office.pcap") as reader:
        for batch in reader:        # FlowBatch(flows, watermark_ns, epoch, alerts, flow_ids, transactions)
            ...
        reader.report               # packets or lines read, malformed, other; problems with place

Start reading in `flows` (the one schema), then follow a packet: `captures` (the door) ->
`sandbox.host` and `sandbox.worker` (the process that reads) -> `readers.opening` -> `readers.capture`
(bytes, framing, headers) -> `meter.meter` (flows). Logs part at `readers.opening`: `readers.log`, then
`readers.zeek` and `readers.connection`, `readers.eve`, or another format's reader, then `readers.rows`
(flows); what tells one direction only passes through `readers.pairing`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwarden.formats.accounting import LineCounts, PacketCounts, SourceReport
    from qwarden.formats.alerts import SignatureAlert
    from qwarden.formats.captures import (
        CaptureReader,
        FlowBatch,
        Survey,
        find_captures,
        format_of,
        is_capture,
        open_capture,
        sandbox_report,
        survey,
    )
    from qwarden.formats.flows import FLOW, Flows, join_address, proto_name, split_address, unknown_flows
    from qwarden.formats.mapping import Mapping, read_mapping
    from qwarden.formats.meter.settings import MeterSettings
    from qwarden.formats.readers.warm import warm_up
    from qwarden.formats.sandbox.host import host, stop_host

# Loaded on first use: the command line's help must not wait for NumPy.
_HOME = {
    "LineCounts": "accounting", "PacketCounts": "accounting", "SourceReport": "accounting",
    "SignatureAlert": "alerts",
    "CaptureReader": "captures", "FlowBatch": "captures", "Survey": "captures",
    "find_captures": "captures", "format_of": "captures", "is_capture": "captures",
    "open_capture": "captures", "sandbox_report": "captures", "survey": "captures",
    "FLOW": "flows", "Flows": "flows", "join_address": "flows", "proto_name": "flows",
    "split_address": "flows", "unknown_flows": "flows",
    "Mapping": "mapping", "read_mapping": "mapping",
    "MeterSettings": "meter.settings",
    "warm_up": "readers.warm",
    "host": "sandbox.host", "stop_host": "sandbox.host",
}  # fmt: skip

__all__ = [
    "FLOW",
    "CaptureReader",
    "FlowBatch",
    "Flows",
    "LineCounts",
    "Mapping",
    "MeterSettings",
    "PacketCounts",
    "SignatureAlert",
    "SourceReport",
    "Survey",
    "find_captures",
    "format_of",
    "host",
    "is_capture",
    "join_address",
    "open_capture",
    "proto_name",
    "read_mapping",
    "sandbox_report",
    "split_address",
    "stop_host",
    "survey",
    "unknown_flows",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
