"""Flow features: one row of numbers a flow, `nan` where the source could not know.

A row is `FLOW_NAMES` (what the flow itself shows) beside `windows.CONTEXT_NAMES` (what its hosts did
lately). Addresses, ports, times and hardware numbers never enter: they leak labels and do not
transfer (reference: the traps of NSL-KDD, CIC-IDS2017 and the Stratosphere logs). Ports are read
only as a class of service.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined
from qwarden.detect.windows import CONTEXT_NAMES, HostWindows
from qwarden.formats.flows import PROTO_ARP, TCP_STATES, Flows

F64 = npt.NDArray[np.float64]

SERVICES: Final = {
    "web": (80, 443, 8000, 8008, 8080, 8443),
    "name": (53, 137, 5353, 5355),
    "login": (22, 23, 2222, 512, 513, 3389, 5900, 5901, 5985, 5986),
    "mail": (25, 110, 143, 465, 587, 993, 995),
    "file": (20, 21, 69, 139, 445, 548, 873, 989, 990, 2049),
    "directory": (88, 135, 389, 464, 593, 636, 3268, 3269),
    "dhcp": (67, 68, 546, 547),
    "infrastructure": (123, 161, 162, 514, 1900),
    "database": (1433, 1521, 3306, 5432, 6379, 9200, 27017),
}
"""Responder ports by what they serve; the rest is `low` (< 1024), `registered` or `dynamic` (RFC 6335 6)."""

SERVICE_NAMES: Final = (*SERVICES, "low", "registered", "dynamic", "none")
_LOW, _REGISTERED, _DYNAMIC, _NONE = range(len(SERVICES), len(SERVICES) + 4)

_SERVICE_OF_PORT: Final = np.full(65536, _DYNAMIC, np.int8)
_SERVICE_OF_PORT[:1024] = _LOW
_SERVICE_OF_PORT[1024:49152] = _REGISTERED
for _at, _ports in enumerate(SERVICES.values()):
    _SERVICE_OF_PORT[list(_ports)] = _at

# UDP services that are asked; the last place is that of no port, -1.
_IS_ASKED: Final = np.append(
    np.isin(_SERVICE_OF_PORT, [list(SERVICES).index(s) for s in ("name", "dhcp", "infrastructure")]), False
)

_STATE: Final = {name: at for at, name in enumerate(TCP_STATES)}
_FAILED_STATES: Final = np.array([_STATE[s] for s in ("S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR")])
_HALF_SEEN_STATES: Final = np.array([_STATE[s] for s in ("RSTOS0", "RSTRH", "SH", "SHR")])
_RESET_STATES: Final = np.array([_STATE["RSTO"], _STATE["RSTR"]])

MEASURED_NAMES: Final = (
    "duration_s", "packets_out", "packets_in", "payload_out", "payload_in", "upload_share",
    "packets_per_s", "size_mean_out", "size_std_out", "size_max_out",
    "size_mean_in", "size_std_in", "size_max_in",
    "iat_mean_out", "iat_std_out", "iat_max_out", "iat_mean_in", "iat_std_in", "iat_max_in",
    "iat_variation_out", "extension_bytes_a_packet", "fragment_share",
    "syn_share_out", "rst_share_out", "psh_share_out", "urg_share_out", "fin_share_out", "rst_share_in",
    "pauses", "pause_mean_s", "pause_variation", "payload_a_pause",
)  # fmt: skip

FLAG_NAMES: Final = (
    "answered", "failed", "tcp", "udp", "icmp", "arp", "other_protocol", "ipv6",
    "state_s0", "state_rejected", "state_complete", "state_reset", "state_midstream",
    "source_private", "destination_inside", "destination_group",
    *(f"service_{name}" for name in SERVICE_NAMES),
)  # fmt: skip

FLOW_NAMES: Final = MEASURED_NAMES + FLAG_NAMES
FEATURE_NAMES: Final = FLOW_NAMES + CONTEXT_NAMES


def failed(flows: Flows) -> npt.NDArray[np.bool_]:
    """Return whether each flow is a failed attempt to reach a service.

    TCP: no completed handshake, or a reset before any answer; UDP, ICMP echo and ARP: no reply,
    unless the destination is a group address, which need not reply, or the datagram is itself the answer of
    a service (SSDP and multicast DNS answer from their port). A source that lost packets shows handshakes
    that seem incomplete: who got data, or several packets where a refusal takes one, was answered.
    """
    state = flows["tcp_state"]
    tcp = flows["proto"] == 6
    silent = flows["packets_in"] == 0
    answered = (flows["payload_in"] > 0) | (flows["packets_in"] >= 3)
    incomplete = np.isin(state, _FAILED_STATES) & ~(answered & np.isin(state, _HALF_SEEN_STATES))
    tcp_failed = incomplete | (np.isin(state, _RESET_STATES) & (flows["payload_in"] == 0))
    asks = (flows["proto"] == 17) & ~(_IS_ASKED[flows["src_port"]] & ~_IS_ASKED[flows["dst_port"]])
    expects = asks | (flows["proto"] == PROTO_ARP) | np.isin(flows["icmp_type"], (8, 128))
    result: npt.NDArray[np.bool_] = np.where(tcp, tcp_failed, expects & silent & ~is_group(flows))
    return result


def is_group(flows: Flows) -> npt.NDArray[np.bool_]:
    """Return whether the destination is multicast or the limited broadcast (RFC 5771, RFC 4291 2.7)."""
    hi, lo = flows["dst_hi"], flows["dst_lo"]
    v4 = (hi == 0) & (lo >> np.uint64(32) == 0xFFFF)
    last = lo & np.uint64(0xFFFF_FFFF)
    v4_group = v4 & ((last >> np.uint64(28) == 0xE) | (last == 0xFFFF_FFFF))
    result: npt.NDArray[np.bool_] = v4_group | (hi >> np.uint64(56) == 0xFF)
    return result


def is_private(hi: npt.NDArray[np.uint64], lo: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return whether addresses are local by plan: RFC 1918, link-local, RFC 4193."""
    v4 = (hi == 0) & (lo >> np.uint64(32) == 0xFFFF)
    last = lo & np.uint64(0xFFFF_FFFF)
    inside = (
        (last >> np.uint64(24) == 10)
        | (last >> np.uint64(20) == 0xAC1)
        | (last >> np.uint64(16) == 0xC0A8)
        | (last >> np.uint64(16) == 0xA9FE)
        | (last == 0)
    )
    v6 = (hi >> np.uint64(57) == 0x7E) | (hi >> np.uint64(54) == 0x3FA) | ((hi == 0) & (lo <= 1))
    result: npt.NDArray[np.bool_] = np.where(v4, inside, v6)
    return result


def is_inside(flows: Flows) -> npt.NDArray[np.bool_]:
    """Return whether the destination is private, or of the source's own site: its /16, in IPv6 its /48."""
    private = is_private(flows["dst_hi"], flows["dst_lo"])
    v4 = (flows["src_hi"] == 0) & (flows["dst_hi"] == 0)
    near4 = flows["src_lo"] >> np.uint64(16) == flows["dst_lo"] >> np.uint64(16)
    near6 = flows["src_hi"] >> np.uint64(16) == flows["dst_hi"] >> np.uint64(16)
    result: npt.NDArray[np.bool_] = private | np.where(v4, near4, near6)
    return result


class FeatureExtractor:
    """Flows in, feature rows out; holds the host windows between calls.

    >>> from qwarden.formats.flows import unknown_flows
    >>> FeatureExtractor().rows(unknown_flows(2)).shape == (2, len(FEATURE_NAMES))
    True
    """

    def __init__(self, windows: HostWindows | None = None) -> None:
        self.windows = windows or HostWindows()

    def rows(self, flows: Flows) -> F64:
        """Return (n, len(FEATURE_NAMES)) for flows sorted by ``end_ns``; updates the windows."""
        lost = failed(flows)
        out = np.empty((flows.size, len(FEATURE_NAMES)))
        own_columns(flows, lost, out)
        out[:, len(FLOW_NAMES) :] = self.windows.update(flows, lost)
        return out


def own_columns(flows: Flows, lost: npt.NDArray[np.bool_], out: F64) -> None:
    """Write `FLOW_NAMES`, what n flows themselves show, to the first columns of `out`, (n, d).

    `lost` (n,) is what `failed` says of them.
    """
    _measure(flows, out)
    _flag(flows, lost, out[:, len(MEASURED_NAMES) : len(FLOW_NAMES)])


def _flag(flows: Flows, lost: npt.NDArray[np.bool_], out: F64) -> None:
    proto, state = flows["proto"], flows["tcp_state"]
    tcp, udp, arp = proto == 6, proto == 17, proto == PROTO_ARP
    icmp = (proto == 1) | (proto == 58)
    ports = flows["dst_port"]
    service = np.where(ports >= 0, _SERVICE_OF_PORT[np.clip(ports, 0, 65535)], _NONE)
    columns = (
        np.where(flows["packets_in"] < 0, np.nan, flows["packets_in"] > 0),
        lost, tcp, udp, icmp, arp, ~(tcp | udp | icmp | arp), flows["ip_version"] == 6,
        tcp & (state == _STATE["S0"]),
        tcp & np.isin(state, (_STATE["REJ"], _STATE["RSTRH"], _STATE["RSTOS0"])),
        tcp & (state == _STATE["SF"]),
        tcp & np.isin(state, _RESET_STATES),
        tcp & (state == _STATE["OTH"]),
        is_private(flows["src_hi"], flows["src_lo"]),
        is_inside(flows),
        is_group(flows),
    )  # fmt: skip
    for at, column in enumerate(columns):
        out[:, at] = column
    for at in range(len(SERVICE_NAMES)):
        out[:, len(columns) + at] = service == at


@inlined
def _or_nan(value: Any) -> Any:
    return np.nan if value < 0 else float(value)


@compiled
def _measure(flows: Any, out: F64) -> None:
    """Write `MEASURED_NAMES`; an unknown count (-1) makes whatever rests on it unknown."""
    for i in range(flows.size):
        f = flows[i]
        row = out[i]
        out_n, in_n = _or_nan(f.packets_out), _or_nan(f.packets_in)
        out_b, in_b = _or_nan(f.payload_out), _or_nan(f.payload_in)
        seconds = (f.end_ns - f.start_ns) * 1e-9
        row[0] = seconds
        row[1] = out_n
        row[2] = in_n
        row[3] = out_b
        row[4] = in_b
        row[5] = (out_b - in_b) / (out_b + in_b + 1.0)
        # A burst shorter than 10 ms shows no rate worth naming.
        row[6] = (out_n + in_n) / max(seconds, 0.01)
        row[7] = f.size_mean_out
        row[8] = f.size_std_out
        row[9] = f.size_max_out
        row[10] = f.size_mean_in
        row[11] = f.size_std_in
        row[12] = f.size_max_in
        row[13] = f.iat_mean_out
        row[14] = f.iat_std_out
        row[15] = f.iat_max_out
        row[16] = f.iat_mean_in
        row[17] = f.iat_std_in
        row[18] = f.iat_max_in
        row[19] = f.iat_std_out / max(f.iat_mean_out, 1e-6)
        total = max(out_n + in_n, 1.0)
        row[20] = _or_nan(f.ext_header_bytes) / total
        row[21] = _or_nan(f.fragments) / total
        sent = max(out_n, 1.0)
        row[22] = _or_nan(f.syn_out) / sent
        row[23] = _or_nan(f.rst_out) / sent
        row[24] = _or_nan(f.psh_out) / sent
        row[25] = _or_nan(f.urg_out) / sent
        row[26] = _or_nan(f.fin_out) / sent
        row[27] = _or_nan(f.rst_in) / max(in_n, 1.0)
        row[28] = _or_nan(f.pauses)
        row[29] = f.pause_mean
        row[30] = f.pause_std / f.pause_mean  # a pause is never zero
        row[31] = (out_b + in_b) / (row[28] + 1.0)
